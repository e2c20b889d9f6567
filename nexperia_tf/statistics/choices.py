"""How many models were compared on the devices that set a threshold.

The epoch that training keeps is the best on validation: partly by luck with just those
devices, which then set its threshold, too. A guarantee from them must hold for each
epoch that could have been kept. Temperature and offset, fitted on validation as well,
choose nothing: they do not change which device scores below which. (In a mean of
several models' scores they shift some weight between members; that is taken for too
little to count.)
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping

from nexperia_tf import configs, errors, files, predictions
from nexperia_tf.data import manifest, tables
from nexperia_tf.runs import run_folders

CHOSE_AMONG = "chose_among"  # in metrics.json, by split, and in nexperia.json


@dataclasses.dataclass(frozen=True)
class Choices:
    """What is known of the devices that set a threshold.

    Attributes:
        count: models they chose among, 1 when they chose nothing; None when unknown.
        why: how that is known, for a sentence that begins with "they".
    """

    count: int | None
    why: str


ASSUMED = Choices(1, "are taken to have chosen nothing else (else pass --choices N)")
NOTHING = Choices(1, "chose nothing else")
UNKNOWN = Choices(None, "chose among a number of models that is unknown")
MEMBERS = "members"  # in nexperia.json: it is an ensemble


def stated(count: int) -> Choices:
    """The number a person gave with `--choices`."""
    return Choices(count, f"chose among {count} by --choices")


def of_epochs(count: int | None) -> Choices:
    """From the number recorded in a run or an export."""
    if count is None:
        return UNKNOWN
    return NOTHING if count == 1 else Choices(count, f"chose among {count} epochs")


def of_combinations(count: int | None) -> Choices:
    """The same for several models as one: each could have been any of its epochs."""
    if count is None or count == 1:
        return of_epochs(count)
    return Choices(count, f"chose among {count} combinations of epochs")


def of_run(run: run_folders.Run, split: str) -> Choices:
    """How many models the devices of a split of a run chose among.

    As training recorded it; counted now for a run that is older than the record.
    """
    metrics = run.folder / run_folders.METRICS
    recorded = files.read_json(metrics).get(split, {}) if metrics.is_file() else {}
    if CHOSE_AMONG in recorded:
        return of_epochs(recorded[CHOSE_AMONG])
    table = run.folder / "predictions" / f"{split}.csv"
    ids = predictions.read(table).image_id if table.is_file() else ()
    return of_epochs(count(run.folder, run.config, split, ids))


def of_facts(facts: Mapping) -> Choices:
    """How many models its validation devices chose among, from a nexperia.json.

    Unknown for older exports, which do not record it.
    """
    count = facts.get(CHOSE_AMONG)
    return of_combinations(count) if MEMBERS in facts else of_epochs(count)


def of_export(facts: Mapping, split: str) -> Choices:
    """How many models the devices of a split of a data set chose among, for an export.

    They are taken to be those that its training validated on.
    """
    if split == manifest.CALIBRATION:
        return NOTHING
    if split != "validation":
        return ASSUMED
    recorded = of_facts(facts)
    if recorded.count in (None, 1):
        return recorded
    why = f"{recorded.why}, if its training judged them (else pass --choices 1)"
    return dataclasses.replace(recorded, why=why)


def of_table(path: str | pathlib.Path) -> Choices:
    """The same for a table of scores: one of a run or a forest is known by its place.

    Any other is taken to have chosen nothing.
    """
    path = pathlib.Path(path)
    folder = path.resolve().parent.parent
    if path.parent.name != "predictions":
        return ASSUMED
    if (folder / run_folders.CONFIG).is_file() and (folder / files.MANIFEST).is_file():
        return of_run(run_folders.load(folder), path.stem)
    if (folder / "forest.json").is_file() and path.stem == "validation":
        tried = len(files.read_json(folder / "forest.json").get("tried", ()))
        return Choices(tried, f"chose among {tried} forests") if tried > 1 else NOTHING
    return ASSUMED


def count(
    folder: pathlib.Path, config: configs.Config, split: str, image_ids: Iterable[str]
) -> int | None:
    """Models that these devices chose among in a run and in those it started from.

    Args:
        folder: the run folder, with its history.csv.
        config: of the run.
        split: the one of the devices; only validation chooses anything.
        image_ids: the devices.

    Returns:
        the number of epochs validated, times that of each run it was initialised from,
        unless that one validated on other devices; None where one of these is gone.
    """
    judged: int | None = 1
    # With --monitor last nothing is chosen, nor does it ever stop early.
    if split == "validation" and config.run.monitor != "last":
        judged = _epochs(folder / run_folders.HISTORY)
    before = _before(config, frozenset(image_ids))
    return None if None in (judged, before) else judged * before


def product(several: Iterable[Choices]) -> Choices:
    """Of several models as one: each member could have been any of its epochs."""
    several = list(several)
    if None in (choices.count for choices in several):
        return UNKNOWN
    total = math.prod(choices.count for choices in several)
    if total > 1:
        return of_combinations(total)
    return ASSUMED if ASSUMED in several else NOTHING


def _epochs(history: pathlib.Path) -> int | None:
    if not history.is_file():
        return None
    return max(len(tables.table(history, ["epoch"]).rows), 1)


def _before(config: configs.Config, image_ids: frozenset[str]) -> int | None:
    if not config.network.init:
        return 1
    try:
        before = run_folders.load(config.network.init)
    except errors.BadInput:
        return None
    table = before.folder / "predictions" / "validation.csv"
    # Names tell devices apart within one data set only.
    if before.config.data.data == config.data.data and table.is_file():
        judged = frozenset(predictions.read(table).image_id)
        if not judged & image_ids:
            return _before(before.config, image_ids)
    return of_run(before, "validation").count
