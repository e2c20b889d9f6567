"""The model card: what a published model is, what it learned from, and its limits."""

import collections
import pathlib
from collections.abc import Iterator, Sequence

from nexperia_tf import files, labels
from nexperia_tf.data import manifest
from nexperia_tf.evaluation.report import formats
from nexperia_tf.promotion import comparing, models
from nexperia_tf.promotion.record import Record
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import choices, wording


def text(record: Record, bill: pathlib.PurePosixPath) -> str:
    """The card of a model that is being published.

    Args:
        record: of its promotion.
        bill: where its bill of materials lies in the version.
    """
    parts = (
        _what(record.new),
        _training(record.new),
        _figures(record.compared),
        _limits(record),
        _made_with(record.new, bill),
    )
    return "\n".join(line for part in parts for line in (*part, "")).rstrip() + "\n"


def _what(model: models.Model) -> Iterator[str]:
    facts = model.served.facts
    yield f"# Model card: {run_folders.known_as(pathlib.Path(model.name))}"
    yield ""
    yield (
        "Tells good devices from defective ones by one photograph each. A score is the "
        "probability of a defect; from the threshold on a device is called defect."
    )
    yield ""
    yield f"- Network: {_network(facts)}"
    channels = "grey" if facts["channels"] == 1 else "colour"
    yield f"- Sees: {channels} pictures, letterboxed to {facts['image_size']} pixels"
    if facts.get("depth_range"):
        low, high = facts["depth_range"]
        yield f"- 16-bit pictures: {low:g} is black, {high:g} white"
    yield f"- In force: {model.served.calibration.words}"
    yield f"- Computes in {facts.get('number_type', 'float32')}"


def _network(facts: dict) -> str:
    if choices.MEMBERS not in facts:
        return str(facts.get("backbone", "not known"))
    members = (
        f"{each['name']} ({each.get('backbone', 'an ensemble')}, weight "
        f"{each['weight']:.4g})"
        for each in facts[choices.MEMBERS]
    )
    return f"an ensemble of {', '.join(members)}"


def _training(model: models.Model) -> Iterator[str]:
    yield "## What it learned from"
    yield ""
    runs = sorted({line.run for line in model.training_set.lines})
    pictures = sum(line.what == "picture" for line in model.training_set.lines)
    yield (
        f"{wording.counted(pictures, 'picture')}, trained on by "
        f"{', '.join(runs) or 'nobody'}; by hash in assets.extra/trained_on.csv."
    )
    if model.run is None:
        yield ""
        yield (
            "Only its SavedModel was named: counts by split and kind, and the starting "
            "weights, stand in the runs it was made of."
        )
        return
    yield ""
    yield from _counts(_rows(model.run))
    yield ""
    yield f"Starting weights: {_weights(model.run)}"


def _rows(run: run_folders.Run) -> Sequence[manifest.Row]:
    path = run.folder / run_folders.PICTURES
    return manifest.read(path) if path.is_file() else ()


def _counts(rows: Sequence[manifest.Row]) -> Iterator[str]:
    """A table of pictures by split and kind, and what was dropped."""
    used = [row for row in rows if row.used and row.label]
    counts = collections.Counter((_kind(row), row.split) for row in used)
    splits = [name for name in manifest.SPLITS if any(s == name for _, s in counts)]
    kinds = sorted({kind for kind, _ in counts}, key=lambda k: (k != labels.GOOD, k))
    yield f"| pictures | {' | '.join(splits)} |"
    yield f"|---|{'---|' * len(splits)}"
    for kind in kinds:
        yield f"| {kind} | {' | '.join(str(counts[kind, s]) for s in splits)} |"
    groups = [len({row.group for row in used if row.split == s}) for s in splits]
    yield f"| lots or groups | {' | '.join(map(str, groups))} |"
    dropped = collections.Counter(
        row.dropped_because for row in rows if row.dropped_because
    )
    if dropped:
        yield ""
        told = ", ".join(f"{count} {why}" for why, count in sorted(dropped.items()))
        yield f"Left out of all splits: {told}."


def _kind(row: manifest.Row) -> str:
    return labels.GOOD if row.label == labels.GOOD else row.defect_type or labels.DEFECT


def _weights(run: run_folders.Run) -> str:
    """What training started from, with its licence where that is known."""
    from nexperia_tf.models import backbones
    from nexperia_tf.training import model_setup

    network = run.config.network
    if network.init:
        return f"those of the run {network.init}; its own card names the licence."
    if network.weights == "none":
        return "random ones; nobody else's licence holds for them."
    name = backbones.full_name(network.backbone)
    said = model_setup.in_words(network.weights, name)
    known = "" if said.startswith("timm/") else ", licence not known to nexperia_tf"
    return f"{said}{known}; SHA-256 {run.facts.get('weights_sha256')}."


def _figures(compared: comparing.Compared) -> Iterator[str]:
    new = compared.new
    yield "## What it reached on devices it had not seen"
    yield ""
    yield f"- Defects caught: {new.caught.words}"
    yield f"- Good devices rejected: {new.overkill.words}"
    yield f"- AUC: {formats.auc(new.auc)}"
    for kind in compared.kinds:
        yield f"- Of kind {kind.kind}: {kind.new} of {kind.of} caught"


def _limits(record: Record) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield (
        "- It knows pictures like those it learned from. Another camera, light or "
        "product needs pictures of its own, and a comparison on them."
    )
    if record.new.served.gives("unfamiliar"):
        yield "- Its output unfamiliar is 1 or more where a picture is unlike those."
    else:
        yield "- It does not say when a picture is unlike those."
    untrained, untried = _one_sided(record)
    if untrained:
        yield f"- Kinds of defect it was tried on but never trained on: {untrained}."
    if untried:
        yield f"- Kinds of defect it was trained on but not tried on: {untried}."
    yield "- Kinds of defect that are in no table above were never shown to it."
    origin = record.new.served.calibration.origin
    if origin != run_folders.GUARANTEED:
        yield "- No escape rate is guaranteed at its threshold."
    if record.compared.groups is not None:
        yield f"- Its figures rest on {record.compared.groups} lots or groups."


def _one_sided(record: Record) -> tuple[str, str]:
    """Kinds of defect that were only tried, and those that were only trained on."""
    if record.new.run is None:
        return "", ""
    rows = [row for row in _rows(record.new.run) if row.used and row.split == "train"]
    trained = {_kind(row) for row in rows if row.label == labels.DEFECT}
    tried = {kind.kind for kind in record.compared.kinds}
    return ", ".join(sorted(tried - trained)), ", ".join(sorted(trained - tried))


def _made_with(model: models.Model, bill: pathlib.PurePosixPath) -> Iterator[str]:
    yield "## Made with"
    yield ""
    path = model.run and model.run.folder / run_folders.ENVIRONMENT
    if path and path.is_file():
        told = files.read_json(path)
        versions = ", ".join(f"{k} {v}" for k, v in told.get("versions", {}).items())
        yield (
            f"Trained {told.get('started', '')} with {versions}, Python "
            f"{told.get('python', '')} on {told.get('platform', '')}."
        )
    yield f"What it was compared and published with stands in {bill} (CycloneDX)."
