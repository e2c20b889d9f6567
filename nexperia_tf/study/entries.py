"""What stands in a row of the study's tables: networks, forests, combinations."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import files, predictions
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import combination, ensemble_calibration
from nexperia_tf.statistics import calibration, metrics
from nexperia_tf.study import networks, stacking, trees

WEIGHTS = "ensembles"
SCORED = ("validation", "test")  # no table here shows a threshold


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row: something that scores devices.

    Attributes:
        key: what it is known by, once in a study; its name is only printed.
        subject: its scores of test, and of validation as calibration.
        runs: the networks it asks, by run name.
        published: AUC of the original study.
        cells: further cells of the row, by column.
    """

    key: str
    subject: Subject
    runs: tuple[str, ...] = ()
    published: float | None = None
    cells: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def validation_auc(self) -> float:
        table = self.subject.calibration
        return metrics.auc(table.label, table.score)


class Scores:
    """The scores of a study's runs on validation and test, in one order of devices.

    Args:
        trained: the runs by name.
        out: the study's folder.
        dataset: the records.
        relabelled: judges a test table by other labels.
    """

    def __init__(
        self, trained: Mapping[str, networks.Trained], out, dataset, relabelled
    ):
        self.trained, self.out, self.dataset = trained, out, dataset
        self._relabelled = relabelled
        self._first: dict[str, predictions.Predictions] = {}

    def subject(self, name: str, tables: Mapping[str, predictions.Predictions]):
        """What evaluation judges, from tables of validation and test."""
        tables_by_split = {}
        for split in SCORED:
            table = dataclasses.replace(tables[split], source=f"{name}, {split}")
            first = self._first.setdefault(split, table)
            tables_by_split[split] = predictions.aligned([first, table])[1]
        test = self._relabelled(tables_by_split["test"])
        return Subject(name, test, calibration=tables_by_split["validation"])

    def of_run(self, run: str, title: str) -> Entry:
        """A single network."""
        folder, step = self.trained[run].folder, self.trained[run].step
        opened = run_folders.load(folder)
        tables = {split: opened.predictions(split) for split in SCORED}
        counts = {split: len(table) for split, table in self._first.items()}
        if step.part and counts != {s: len(table) for s, table in tables.items()}:
            # Preparing the bag has dropped pictures that the others were judged on.
            tables = {s: _scored(opened, self.dataset, s) for s in tables}
        return Entry(run, self.subject(title, tables), (run,))

    def of_forest(self, folder: str, title: str, run: str) -> Entry | None:
        """A forest or AdaBoost on a run's features; None where it was not grown."""
        tables = trees.read(self.out, folder)
        if tables is None:
            return None
        return Entry(folder, self.subject(title, tables), (run,) if run else ())


def _scored(run: run_folders.Run, dataset, split: str) -> predictions.Predictions:
    logits = run_folders.logits_of(run.model(), dataset, split)
    return run_folders.table(dataset, split, run.calibration.scores(logits))


def combined(
    key: str, name: str, how: combination.Combination, entries: Sequence[Entry]
) -> Entry:
    """What an averaged SavedModel of the same combination answers."""
    validation = _combine(how, [entry.subject.calibration for entry in entries])
    test = _combine(how, [entry.subject.scored for entry in entries])
    calibrated = ensemble_calibration.calibrate(how, validation)
    tables = [
        _rescored(table, calibrated.scores(calibration.logits(table.score)))
        for table in (validation, test)
    ]
    return _entry(key, name, *tables, entries)


def _combine(
    how: combination.Combination, tables: Sequence[predictions.Predictions]
) -> predictions.Predictions:
    logits = np.stack([calibration.logits(table.score) for table in tables])
    score = run_folders.probability(how.logit(logits.astype(np.float32)).numpy())
    return _rescored(tables[0], score)


def voted(key: str, name: str, entries: Sequence[Entry]) -> Entry:
    """The share of members that call a device defect.

    Each calls as many of the validation devices defect as there are: at score .5 weak
    members would call none.
    """
    validation = [entry.subject.calibration for entry in entries]
    rarity = 1 - np.mean(validation[0].label)
    thresholds = [np.quantile(table.score, rarity) for table in validation]
    tables = [
        _rescored(part[0], stacking.vote([table.score for table in part], thresholds))
        for part in (validation, [entry.subject.scored for entry in entries])
    ]
    return _entry(key, name, *tables, entries)


def _rescored(table: predictions.Predictions, score: np.ndarray):
    return dataclasses.replace(table, score=score)


def _entry(key: str, name: str, validation, test, entries: Sequence[Entry]) -> Entry:
    subject = Subject(name, test, calibration=validation)
    asked = tuple(dict.fromkeys(run for entry in entries for run in entry.runs))
    return Entry(key, subject, asked)


def even(entries: Sequence[Entry], of: str = "scores") -> combination.Combination:
    """The plain mean of the entries' scores, or of their logits."""
    return combination.Combination(of, (1 / len(entries),) * len(entries))


def mean(name: str, entries: Sequence[Entry], of: str = "scores") -> Entry:
    """The plain mean, known by what it is of."""
    return combined(key_of(f"mean-of-{of}", entries), name, even(entries, of), entries)


def key_of(method: str, entries: Sequence[Entry]) -> str:
    """The key of a combination: the same of the same entries in any table."""
    return f"{method}:{'+'.join(entry.key for entry in entries)}"


def selected(
    key: str,
    name: str,
    entries: Sequence[Entry],
    fitted_on: Sequence[predictions.Predictions],
    folder: pathlib.Path,
) -> Entry:
    """Greedy selection, whose weights are kept.

    Args:
        key, name: of the entry.
        entries: what there is to select from.
        fitted_on: their scores of the devices that select.
        folder: of the study.
    """
    scores = np.stack([table.score for table in fitted_on])
    weights = stacking.select(scores, fitted_on[0].label)
    how = combination.Combination("scores", tuple(map(float, weights)))
    return _weighted(key, name, how, entries, folder)


def stacked(
    key: str,
    name: str,
    entries: Sequence[Entry],
    fitted_on: Sequence[predictions.Predictions],
    folder: pathlib.Path,
) -> Entry:
    """Stacking, whose weights are kept; arguments as of `selected`."""
    logits = np.stack([calibration.logits(table.score) for table in fitted_on])
    stack = stacking.stack(logits, fitted_on[0].label)
    how = combination.Combination("logits", stack.weights, stack.bias)
    return _weighted(key, name, how, entries, folder)


def _weighted(
    key: str,
    name: str,
    how: combination.Combination,
    entries: Sequence[Entry],
    folder: pathlib.Path,
) -> Entry:
    """Combines, and keeps the weights as `nexperia ensemble` takes them."""
    chosen = [(e, w) for e, w in zip(entries, how.weights) if w > 0]
    payload = {
        "of": how.of,
        "weights": {entry.runs[0]: weight for entry, weight in chosen},
        "bias": how.bias,
    }
    (folder / WEIGHTS).mkdir(exist_ok=True)
    files.write_json(folder / WEIGHTS / f"{key}.json", payload)
    kept = dataclasses.replace(how, weights=tuple(weight for _, weight in chosen))
    return combined(key, name, kept, [entry for entry, _ in chosen])


def out_of_fold(scores: Scores, names: Sequence[str]) -> predictions.Predictions:
    """Scores of training devices by networks that were trained without them."""
    tables = [
        run_folders.load(scores.trained[n].folder).predictions("test") for n in names
    ]
    return predictions.Predictions(
        image_id=np.concatenate([table.image_id for table in tables]),
        label=np.concatenate([table.label for table in tables]),
        score=np.concatenate([table.score for table in tables]),
        source="out of fold",
    )
