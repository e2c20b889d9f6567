"""The pictures of a data set scored by simple numbers alone."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import errors, predictions
from nexperia_tf.baseline import floor, records
from nexperia_tf.data.records import reading, store
from nexperia_tf.evaluation import serialise
from nexperia_tf.evaluation.report import judging, results
from nexperia_tf.evaluation.subjects import Baseline, Subject
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import certificate, metrics

SHOWN_ALONE = 3  # single numbers, by their AUC on the training pictures


@dataclasses.dataclass(frozen=True)
class Scored:
    """What simple numbers say of some splits.

    Attributes:
        floor: what was fitted on the training pictures.
        tables: scores by split.
        beside: scores of simpler things by split, then by name: the single numbers
            that ranked the training pictures best, and the nearest neighbour.
        seconds: that it took.
    """

    floor: floor.Floor
    tables: Mapping[str, predictions.Predictions]
    beside: Mapping[str, Mapping[str, np.ndarray]]
    seconds: float

    def alone(self, split: str) -> dict[str, float]:
        """AUC of the simpler things on a split that has both classes, by name."""
        label = self.tables[split].label
        return {
            name: metrics.auc(label, scores)
            for name, scores in self.beside[split].items()
        }

    def facts(self) -> dict:
        """What was fitted, for metrics.json."""
        return {
            "model": self.floor.model,
            "auc_by_cross_validation": self.floor.tried,
            "numbers": len(self.floor.train.names),
            "training_pictures": len(self.floor.train),
        }


def score(dataset: store.Dataset, splits: Sequence[str], *, seed: int = 0) -> Scored:
    """Fits on the training split and scores others.

    Args:
        dataset: the records.
        splits: those of them that there are are scored.
        seed: of folds, trees and the pictures drawn from a large training split.

    Raises:
        errors.BadInput: no training split, or one class in it.
    """
    start = time.perf_counter()
    sizes = reading.split_sizes(dataset)
    known = reading.metadata(dataset, "train", ("label",))["label"]
    floor.check_classes(known)
    most = records.MOST_TRAINING
    fitted = floor.fit(records.table(dataset, "train", most=most, seed=seed), seed=seed)
    alone, tables, beside = fitted.distinct(SHOWN_ALONE), {}, {}
    for split in (split for split in splits if split in sizes):
        numbers = records.table(dataset, split)
        scores = fitted.scores(numbers)
        tables[split] = run_folders.table(dataset, split, scores)
        beside[split] = {
            number.words: fitted.scores_alone(number, numbers) for number in alone
        }
        beside[split][floor.NEIGHBOUR] = fitted.scores_of_neighbour(numbers)
    return Scored(fitted, tables, beside, time.perf_counter() - start)


def write(folder: pathlib.Path, scored: Scored) -> None:
    """Writes `predictions/SPLIT.csv` below a folder, as a run has them."""
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    for split, table in scored.tables.items():
        predictions.write(folder / "predictions" / f"{split}.csv", table)


def beside_network(
    dataset: store.Dataset,
    network: Mapping[str, predictions.Predictions],
    folder: pathlib.Path,
    *,
    advice: str,
) -> dict:
    """Computes the baseline of a run, keeps its scores, and compares.

    Args:
        dataset: the run's records.
        network: the run's scores by split.
        folder: where the scores are kept.
        advice: what to try where the network is no better.

    Returns:
        what metrics.json says of it: the model, and by split the figures and the
        verdict; or why there is none.
    """
    try:
        scored = score(dataset, list(network))
    except errors.BadInput as error:
        return {"skipped": str(error)}
    except Exception as error:  # ours, but hours of training must not fail for it
        return {"skipped": f"{type(error).__name__}: {error}"}
    write(folder, scored)
    judged = {}
    for split, table in network.items():
        if len(set(table.label)) == 2:
            judged[split] = _judged(table, scored, split, advice)
    return scored.facts() | {"splits": serialise.plain(judged)}


def _judged(
    table: predictions.Predictions, scored: Scored, split: str, advice: str
) -> results.Baseline:
    simple = Baseline(
        scored.tables[split],
        model=scored.floor.model,
        alone=scored.alone(split),
        advice=advice,
    )
    subject = Subject("the network", table, baseline=simple)
    return judging.baseline(subject, certificate.CONFIDENCE)
