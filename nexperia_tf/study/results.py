"""The results of a study: its tables judged, for the pages and, last, for JSON."""

import dataclasses
from collections.abc import Mapping, Sequence

from nexperia_tf.evaluation import serialise
from nexperia_tf.evaluation.report import comparisons, judging, results
from nexperia_tf.models import costs
from nexperia_tf.statistics import intervals
from nexperia_tf.study import tables
from nexperia_tf.study.entries import Entry

SCHEMA = 1  # of study.json


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a table, judged.

    Attributes:
        key: of its entry.
        validation_auc: by which settings were chosen.
        cells: further cells, by column.
        published: AUC of the original study with the limits of its test part.
        parameters, gmac, ms: of all its networks; None where it has none.
        networks: their run names.
    """

    key: str
    name: str
    n: int
    n_defect: int
    auc: results.Auc
    partial_auc: results.PartialAuc
    fpr_at_tpr: tuple[results.OverkillAt, ...]
    validation_auc: float
    cells: Mapping[str, object] = dataclasses.field(metadata={"flat": True})
    published: intervals.Interval | None
    parameters: int | None
    gmac: float | None
    ms: float | None
    networks: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Difference(results.Comparison):
    """Two rows compared, in words.

    Attributes:
        said: the verdict.
        because: what it rests on.
        question: which of `tables.QUESTIONS` it helps to answer; None for none.
    """

    said: str
    because: str
    question: str | None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, judged."""

    key: str
    title: str
    note: str
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]


@dataclasses.dataclass(frozen=True)
class Run:
    """A network of the study: what differs, and what it reached.

    Attributes:
        validation_epoch: which epoch that AUC is of.
        threshold: the one in force, in words.
        test_auc: None where it was not trained for these test devices.
        taken_for: the rows it stands for.
        seconds: of training.
    """

    name: str
    differs: str
    loss: str
    gamma: float
    alpha: float | None
    validation_auc: float
    validation_epoch: str
    threshold: str
    test_auc: float | None
    taken_for: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class Time:
    """When a study was written, and what it took.

    Attributes:
        runs: networks that were trained.
        training: seconds of all of them.
    """

    created: str
    runs: int
    training: float


@dataclasses.dataclass(frozen=True)
class Study:
    """Everything in study.json.

    Attributes:
        labels: file of other labels; "" for those of the data.
        weights: contents of the files in ensembles/, by name.
        notes: what was left out, and why.
    """

    data: str
    scale: str
    seeds: int
    extended: bool
    labels: str
    image_size: int | str
    epochs: int
    n: int
    n_defect: int
    tables: tuple[Table, ...]
    runs: tuple[Run, ...]
    weights: Mapping[str, Mapping]
    notes: tuple[str, ...]
    time: Time

    def as_json(self) -> dict:
        """study.json."""
        return {"schema": SCHEMA, **serialise.plain(self)}


def judged(
    shown: Sequence[tables.Table], costs_of: Mapping[str, costs.Cost]
) -> tuple[Table, ...]:
    """Every figure and every verdict of the tables.

    Args:
        shown: the tables; a row that stands in several is judged once, and all pairs
            are corrected as one family.
        costs_of: of each run's network.
    """
    entries = {row.key: row for table in shown for row in table.rows}
    settings = results.Settings()
    runs = {
        key: judging.judge(entry.subject, settings) for key, entry in entries.items()
    }
    compared = _compared(entries, shown, settings.confidence)
    return tuple(
        Table(
            table.key,
            table.title,
            table.note,
            tuple(_row(row, runs[row.key], costs_of) for row in table.rows),
            tuple(_difference(compared, pair) for pair in table.pairs),
        )
        for table in shown
    )


def _compared(
    entries: Mapping[str, Entry], shown: Sequence[tables.Table], confidence: float
) -> dict[tuple[str, str], results.Comparison]:
    """Each pair of the tables once, by the keys of its rows."""
    keys = list(entries)
    place = {key: at for at, key in enumerate(keys)}
    asked = {
        tuple(sorted((place[pair.first], place[pair.second])))
        for table in shown
        for pair in table.pairs
    }
    pairs = comparisons.compare(
        [entry.subject for entry in entries.values()],
        confidence=confidence,
        pairs=sorted(asked),
    )
    return {(keys[i], keys[j]): pair for (i, j), pair in pairs.items()}


def _row(entry: Entry, run: results.Run, costs_of: Mapping[str, costs.Cost]) -> Row:
    published = None
    if entry.published is not None:
        published = intervals.newcombe_of(
            entry.published, tables.PUBLISHED_DEFECTS, tables.PUBLISHED_GOOD
        )
    asked = [costs_of[run] for run in entry.runs]
    return Row(
        key=entry.key,
        name=run.name,
        n=run.n,
        n_defect=run.n_defect,
        auc=run.auc,
        partial_auc=run.partial_auc,
        fpr_at_tpr=run.fpr_at_tpr,
        validation_auc=entry.validation_auc,
        cells=entry.cells,
        published=published,
        parameters=sum(cost.parameters for cost in asked) if asked else None,
        gmac=sum(cost.gmac for cost in asked) if asked else None,
        ms=sum(cost.ms for cost in asked) if asked else None,
        networks=entry.runs,
    )


def _difference(
    compared: Mapping[tuple[str, str], results.Comparison], pair: tables.Pair
) -> Difference:
    """The comparison of two rows, first minus second, with its verdict in words."""
    comparison = compared.get((pair.first, pair.second))
    if comparison is None:
        comparison = _turned(compared[pair.second, pair.first])
    return Difference(
        **vars(comparison),
        said=comparisons.verdict(comparison),
        because=comparisons.basis(comparison),
        question=pair.question,
    )


def _turned(pair: results.Comparison) -> results.Comparison:
    """The same comparison, read the other way."""
    return dataclasses.replace(
        pair,
        first=pair.second,
        second=pair.first,
        # Taken from 0, because minus 0 would be written as one.
        difference=_mirrored(pair.difference, value=0 - pair.difference.value),
        bootstrap=_mirrored(pair.bootstrap),
    )


def _mirrored(limits, **changed):
    """The same with its limits on the other side of 0."""
    if limits.low is not None:
        changed |= {"low": 0 - limits.high, "high": 0 - limits.low}
    return dataclasses.replace(limits, **changed)
