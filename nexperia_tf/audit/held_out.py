"""Scores of all labelled pictures by models that have not seen them."""

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nexperia_tf import errors, labels, predictions
from nexperia_tf.audit import opening, ranking
from nexperia_tf.baseline import floor
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import splits
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import metrics

if typing.TYPE_CHECKING:
    from nexperia_tf.data.records import store

Fold = tuple[np.ndarray, np.ndarray]  # places to fit on, places to score


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """Labelled pictures with their held-out scores, in the order of the manifest.

    Attributes:
        rows: of the manifest.
        label: int array of shape `(pictures,)`, 1 for defect, 0 for good.
        score: probability of defect, float64 of shape `(pictures,)`.
        looks: float32 of shape `(pictures, numbers)`: what pictures are compared by.
        method: opening.BASELINE, FEATURES or RUNS.
        facts: how the scores were made, for audit.json.
    """

    rows: Sequence[manifest.Row]
    label: np.ndarray
    score: np.ndarray
    looks: np.ndarray
    method: str
    facts: Mapping[str, object]

    @property
    def groups(self) -> list[str]:
        """Lots, or what else pictures share; "" for one that stands alone."""
        return ["" if r.group == r.image_id else r.group for r in self.rows]

    @property
    def auc(self) -> float:
        """Of the held-out scores by the given labels."""
        return metrics.auc(self.label, self.score)


def labelled(dataset: "store.Dataset") -> list[manifest.Row]:
    """The rows of all records that have a label."""
    rows = manifest.read(dataset.prepared / "manifest.csv")
    return [row for row in rows if row.used and row.label]


def labels_of(rows: Sequence[manifest.Row]) -> np.ndarray:
    """1 for defect, 0 for good, int array of shape `(rows,)`."""
    return np.array([labels.NAMES.index(row.label) for row in rows])


def mean(scores: Sequence) -> np.ndarray:
    """The scores whose logits are the mean of these; numbers or arrays of any shape."""
    return run_folders.probability(np.mean([ranking.logits(s) for s in scores], axis=0))


def of_baseline(dataset: "store.Dataset", rows: Sequence[manifest.Row]) -> floor.Table:
    """The baseline's numbers of these pictures, in their order."""
    from nexperia_tf.baseline import records

    return _in_order(dataset, rows, lambda split: records.table(dataset, split))


def of_features(run: "run_folders.Run", rows: Sequence[manifest.Row]) -> floor.Table:
    """What a run's network makes of these pictures, in their order."""
    from nexperia_tf.study import features

    model = run.model()

    def seen(split: str) -> floor.Table:
        found = features.extract(model, run.dataset, split)
        names = [f"feature {number}" for number in range(found.values.shape[1])]
        none = np.empty((len(found.values), 0), np.float32)
        label = found.label.astype(int)
        return floor.Table(names, found.values, none, label, found.columns["group"])

    return _in_order(run.dataset, rows, seen)


def _in_order(
    dataset: "store.Dataset",
    rows: Sequence[manifest.Row],
    of_split: Callable[[str], floor.Table],
) -> floor.Table:
    """The tables of all splits that hold these rows as one, in the rows' order."""
    from nexperia_tf.data.records import reading

    tables, place = [], {}
    for split in sorted({row.split for row in rows}):
        for name in reading.metadata(dataset, split, ("image_id",))["image_id"]:
            place[str(name)] = len(place)
        tables.append(of_split(split))
    at = [place[row.image_id] for row in rows]
    whole = {
        name: np.concatenate([getattr(table, name) for table in tables])[at]
        for name in ("values", "thumbnails", "label", "group")
    }
    return floor.Table(tables[0].names, **whole)


def dealt(rows: Sequence[manifest.Row], folds: int, *, seed: int = 0) -> list[Fold]:
    """Folds of whole groups, with copies and twins; places to fit on, and to score.

    Raises:
        errors.BadInput: fewer groups than folds, or a class is missing in training.
    """
    names = np.array(splits.folds(rows, folds, seed=seed))
    label = labels_of(rows)
    parts = [
        (np.flatnonzero(names != name), np.flatnonzero(names == name))
        for name in sorted(set(names))
    ]
    for fitted_on, _ in parts:
        floor.check_classes(label[fitted_on])
    return parts


def by_numbers(
    rows: Sequence[manifest.Row],
    table: floor.Table,
    folds: Sequence[Fold],
    *,
    method: str,
    seed: int = 0,
) -> HeldOut:
    """Trees and logistic regression on folds of whole groups, both averaged.

    The mean is of logits. Which of the two is better is not asked: the labels that
    would say are those in doubt.

    Args:
        rows: of the manifest.
        table: the same pictures as numbers, in the same order.
        folds: as `dealt`.
        method: opening.BASELINE or FEATURES, what the numbers are.
        seed: of the trees.
    """
    scores = dict(floor.held_out(table, folds, seed=seed))
    facts = {
        "folds": len(folds),
        "numbers": len(table.names),
        "auc_by_model": {n: metrics.auc(table.label, s) for n, s in scores.items()},
    }
    score = mean(list(scores.values()))
    return HeldOut(rows, table.label, score, table.values, method, facts)


def by_runs(
    rows: Sequence[manifest.Row],
    tables: Sequence[predictions.Predictions],
    looks: np.ndarray,
    *,
    names: Sequence[str],
) -> HeldOut:
    """The held-out predictions of several fold runs, joined.

    A picture that several runs have held out gets the mean of their logits. Pictures
    that none has are left out.

    Args:
        rows: of the manifest.
        tables: each run's scores of the pictures that it has held out.
        looks: of the rows, shape `(pictures, numbers)`.
        names: of the runs.

    Raises:
        errors.BadInput: a run names a picture that is none of these, or labels it
            otherwise.
    """
    place = {row.image_id: i for i, row in enumerate(rows)}
    label = labels_of(rows)
    found: list[list[float]] = [[] for _ in rows]
    for table in tables:
        for name, given, score in zip(table.image_id, table.label, table.score):
            if name not in place:
                raise errors.BadInput(
                    f"{table.source}: {name} is none of the first run's pictures; "
                    "audit runs of the same data."
                )
            if given != label[place[name]]:
                raise errors.BadInput(
                    f"{table.source}: labels {name} otherwise than the first run; "
                    "audit runs of the same labels."
                )
            found[place[name]].append(score)
    held = np.array([i for i, scores in enumerate(found) if scores])
    score = np.array([mean(found[i]) for i in held])
    facts = {"runs": list(names), "not_held_out": len(rows) - len(held)}
    return HeldOut(
        [rows[i] for i in held], label[held], score, looks[held], opening.RUNS, facts
    )
