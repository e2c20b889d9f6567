"""`nexperia promote`: a newer model in the place of an older one, if it is no worse."""

import dataclasses
import pathlib
from typing import Annotated, Literal

import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files
from nexperia_tf.data.source import NOTHING, DataSource
from nexperia_tf.promotion import golden_set, versions
from nexperia_tf.promotion import rule as rules
from nexperia_tf.promotion.record import Record
from nexperia_tf.serving import version_folders

REFUSED = 1  # exit code, as of a golden device that escapes


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Compares a newer model with the one in force and publishes it if the rule allows,
    with the record of why; else says why not."""

    new: tyro.conf.Positional[str]
    """Run folder or SavedModel folder of the newer model."""

    models: str = "models/line"
    """Folder of the versions that servers watch; the next one is published in it."""

    over: str = ""
    """The older model by another name, such as its run, which knows more than its
    export; the newest version in --models when empty."""

    pictures: str = ""
    """Labelled folder, taken whole, to compare on; the test split of --data or of the
    newer run when empty."""

    source: DataSource = NOTHING
    """Pictures whose test split is compared on, where no run knows them."""

    golden: str = ""
    """Golden set that nexperia golden add has made."""

    line: str = ""
    """Folder of pictures that the line takes now, without labels: whether they are like
    those of the newer model's training."""

    lots: Literal["names", "folders", "each"] = "names"
    """What tells the lot of a picture of --line, as of nexperia drift."""

    rule: Annotated[str, *bounds.a_file()] = ""
    """JSON file of what the newer model must show; the usual margins when empty."""

    who: str = ""
    """Who decides; the user of this computer when empty."""

    note: str = ""
    """What to say of it in the record."""

    out: str = ""
    """Folder for the record of a refusal; beside NEW when empty. An earlier one in it
    is replaced."""

    trust: bool = False
    """Run a SavedModel that no MANIFEST.sha256 vouches for: it is a program."""


def main(arguments: Arguments) -> int:
    """Compares, decides, publishes or not; returns the exit code."""
    rule = rules.read(arguments.rule) if arguments.rule else rules.Rule()
    base, out = pathlib.Path(arguments.models), _out(arguments)
    if arguments.golden and not golden_set.read(arguments.golden):
        raise errors.BadInput(
            f"{arguments.golden}: holds no golden set; make one with nexperia golden "
            "add."
        )
    if arguments.pictures and arguments.source.data:
        raise errors.BadInput("--pictures and --data: one of them; leave one out.")
    if not arguments.line:
        bounds.check_unused(arguments, ["lots"], "without --line")
    _check_out(out)
    versions.refuse_run(base)
    files.check_writable(base)
    command.import_tensorflow()
    newest = next(reversed(version_folders.versions(base)), None)
    record = _decided(arguments, rule, base)
    for check in record.checks:
        print(f"{'passed' if check.passed else 'FAILED'} {check.what}: {check.said}")
    if not record.promoted:
        return _refuse(record, base, out)
    return _publish(record, base, newest)


def _decided(arguments: Arguments, rule: rules.Rule, base: pathlib.Path) -> Record:
    from nexperia_tf.promotion import comparing, held_out, models

    new = models.open_model(arguments.new, trust=arguments.trust)
    old = models.open_old(arguments.over, base, new, trust=arguments.trust)
    held = held_out.find(new, old, pictures=arguments.pictures, named=arguments.source)
    held = held_out.unseen(held, new, old)
    drift = _drift(new, arguments) if arguments.line else None
    golden = None
    if arguments.golden:
        held_out.check_golden(held, golden_set.read(arguments.golden))
        checked = golden_set.check(new.served, arguments.golden)
        golden = arguments.golden, checked
    names = list(held.table.image_id)
    said = [held.ask(model.served, names) for model in (new, old)]
    compared = comparing.compare(held.table, *said, confidence=rule.confidence)
    flips = _flips(held, (new, old), rule) if rule.repeat else None
    checks = rules.decide(
        rule,
        compared,
        golden=golden and golden[1],
        flips=flips,
        thresholds=[model.served.calibration for model in (new, old)],
        drift=drift,
    )
    return Record(
        new=new,
        old=old,
        held=held,
        compared=compared,
        rule=rule,
        checks=checks,
        golden=golden,
        flips=flips,
        who=arguments.who or golden_set.user(),
        when=golden_set.now(),
        note=arguments.note,
    )


def _flips(held, opened, rule: rules.Rule):
    """Which verdicts flip on pictures changed a little, of up to so many devices."""
    from nexperia_tf.evaluation import repeat, repeatability
    from nexperia_tf.evaluation.report import pictures
    from nexperia_tf.promotion import comparing
    from nexperia_tf.statistics import clustered

    table = pictures.of_each_class(held.table, rule.repeat)
    names, flipped, scores = list(table.image_id), [], []
    for model in opened:
        found = repeat.scores_of(model.served, held.pixels(model.served, names))
        threshold = np.float32(model.served.calibration.threshold)
        flipped.append(repeatability.flipped(found, threshold).any(axis=1))
        scores.append(found[:, 0])
    return comparing.flips(
        *flipped,
        scores=scores,
        groups=clustered.groups_of(table),
        confidence=rule.confidence,
    )


def _drift(new, arguments: Arguments):
    """Whether pictures of the line are like those of the newer model's training."""
    from nexperia_tf.drift import reference
    from nexperia_tf.evaluation import drift

    if reference.of_export(new.served.folder) is None:
        raise errors.BadInput(
            f"--line {arguments.line}: {new.name} keeps no pictures of its training to "
            "compare with, as an ensemble and older exports do; leave --line out."
        )
    asked = drift.Arguments(arguments.new, arguments.line, lots=arguments.lots)
    return drift.of_model(new.served, asked)


def _publish(record: Record, base: pathlib.Path, newest: pathlib.Path | None) -> int:
    from nexperia_tf.promotion import card, sbom

    beside = {
        versions.PROMOTION: record.as_json(),
        versions.RECORD: record.as_text("published"),
        versions.CARD: card.text(record, versions.BILL),
        versions.BILL: sbom.document(when=record.when),
    }
    folder = versions.copied(record.new.served.folder, base, beside, expect=newest)
    print(f"SavedModel: {folder}")
    print(f"Record: {folder / versions.RECORD}")
    print(f"History: {base / versions.HISTORY}")
    return 0


def _refuse(record: Record, base: pathlib.Path, out: pathlib.Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(out / versions.PROMOTION.name, record.as_json())
    files.write_text(
        out / versions.RECORD.name, record.as_text(f"not published in {base}")
    )
    failed = ", ".join(check.what for check in record.checks if not check.passed)
    print(f"Not published: {failed}. Record: {out / versions.RECORD.name}")
    return REFUSED


def _out(arguments: Arguments) -> pathlib.Path:
    """The folder of a refusal's record; never in a folder that servers watch."""
    if arguments.out:
        return pathlib.Path(arguments.out)
    new = pathlib.Path(arguments.new)
    place, name = new.parent, new.name
    if name.isdecimal():
        place, name = new.parent.parent, f"{new.parent.name}-{name}"
    return place / f"{name}-promotion"


def _check_out(out: pathlib.Path) -> None:
    is_earlier = (out / versions.PROMOTION.name).is_file()
    if out.exists() and not is_earlier and (not out.is_dir() or any(out.iterdir())):
        files.refuse_existing(out)
    files.check_writable(out)
