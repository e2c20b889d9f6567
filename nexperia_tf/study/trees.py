"""Forests and AdaBoost on what the study's networks see: Table 1, and one ensemble."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from nexperia_tf import errors, files, predictions
from nexperia_tf.statistics import calibration
from nexperia_tf.study import features, forest, stacking

FORESTS = "forests"
BOOSTED = "adaboost"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of forest: what its row is called, and what it is."""

    title: str
    described: str


ORIGINAL = "stage3"  # the original grew 100 trees on the third stage's flattened output
KINDS = {
    ORIGINAL: Kind("100 trees, stage 3", "100 trees, stage 3 flattened"),
    "100": Kind("100 trees", "100 trees, pooled features"),
    "tuned": Kind("tuned forest", "tuned forest, pooled features"),
}
STAGES = {"stage3": "stage3", "100": "features", "tuned": "features"}
SPLITS = ("train", "validation", "test")
# Of forest.GRID what takes no minutes on two cores.
SMALL_GRID = [
    {"n_estimators": 300, "max_features": "sqrt", "min_samples_leaf": 3},
    {"n_estimators": 100, "max_features": 0.1, "min_samples_leaf": 3},
]


@dataclasses.dataclass(frozen=True)
class Source:
    """A column of Table 1.

    Attributes:
        key: its name in folders, such as bce.
        open: gives the network; called only when features are needed.
    """

    key: str
    open: Callable


def grow(out: pathlib.Path, source: Source, dataset, *, small: bool) -> dict[str, str]:
    """Grows the forests of one column that are not there yet.

    Args:
        out: the study's folder.
        source: whose features.
        dataset: the records.
        small: tune over few settings.

    Returns:
        why a kind of forest could not be grown, by kind.
    """
    seen = _Seen(source.open, dataset)
    problems = {}
    for kind, stage in STAGES.items():
        folder = out / FORESTS / f"{source.key}-{kind}"
        if (folder / files.MANIFEST).is_file():
            continue
        try:
            splits = seen.at(stage)
        except errors.BadInput as error:  # larger than memory
            problems[kind] = str(error)
            continue
        chosen = forest.fit(
            splits["train"],
            splits["validation"],
            tuned=kind == "tuned",
            grid=SMALL_GRID if small else None,
        )
        scored = {split: splits[split] for split in SPLITS[1:]}
        facts = {"features": {"of": source.key, "stage": stage}, "seed": 0}
        forest.publish(folder, chosen, scored, facts)
    return problems


def boost(out: pathlib.Path, source: Source, dataset) -> None:
    """AdaBoost on the pooled features of one network, unless it is there."""
    folder = out / FORESTS / BOOSTED
    if (folder / files.MANIFEST).is_file():
        return
    splits = _Seen(source.open, dataset).at("features")
    boosted = stacking.boost(splits["train"], splits["validation"])
    raw = {split: boosted.logits(splits[split].values) for split in SPLITS[1:]}
    calibrated = calibration.fit(raw["validation"], splits["validation"].label)
    facts = {"schema": 1, "of": source.key, "stumps": boosted.stumps}
    with files.new_folder(folder) as partial:
        (partial / "predictions").mkdir()
        for split, logits in raw.items():
            table = splits[split].table(calibrated.scores(logits), source=BOOSTED)
            predictions.write(partial / "predictions" / f"{split}.csv", table)
        files.write_json(
            partial / f"{BOOSTED}.json",
            facts
            | {"validation_auc": boosted.validation_auc}
            | dataclasses.asdict(calibrated),
        )
        files.write_manifest(partial)


def facts(out: pathlib.Path) -> Mapping:
    """What AdaBoost was fitted on, and how many stumps it kept."""
    return files.read_json(out / FORESTS / BOOSTED / f"{BOOSTED}.json")


def read(out: pathlib.Path, name: str) -> dict[str, predictions.Predictions] | None:
    """The scores of a forest by split; None where it was not grown."""
    folder = out / FORESTS / name
    if not (folder / files.MANIFEST).is_file():
        return None
    tables = folder / "predictions"
    return {split: predictions.read(tables / f"{split}.csv") for split in SPLITS[1:]}


class _Seen:
    """Features by stage, extracted when they are first asked for."""

    def __init__(self, open_network: Callable, dataset):
        self._open, self._dataset = open_network, dataset
        self._network = None
        self._found: dict[str, dict[str, features.Features]] = {}

    def at(self, stage: str) -> dict[str, features.Features]:
        if self._network is None:
            self._network = self._open()
        if stage not in self._found:
            self._found = {  # one stage at a time: they are large
                stage: {
                    split: features.extract(
                        self._network, self._dataset, split, stage=stage
                    )
                    for split in SPLITS
                }
            }
        return self._found[stage]
