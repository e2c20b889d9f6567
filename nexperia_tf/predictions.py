"""The predictions table: one scored device a row; read, write, check.

The table is the border between models and their judges: any framework that can write
`image_id,label,score` gets the same report.
"""

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import errors, files, labels
from nexperia_tf.data import tables

SCHEMA = 1  # version of the columns below; a run names it in environment.json
REQUIRED = ("image_id", "label", "score")
OPTIONAL = ("group", "lot", "machine", "defect_type")


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """Scored devices, in the order of their table.

    Attributes:
        image_id: object array of shape `(devices,)`, unique names.
        label: int8 array of shape `(devices,)`, 1 for defect, 0 for good and -1 where
            nobody has given a verdict.
        score: float64 array of shape `(devices,)`, probability of defect.
        columns: what else is known of each device, by column name; object arrays of
            text of shape `(devices,)`, empty where unknown.
        source: the file or run the scores came from, for messages.
    """

    image_id: np.ndarray
    label: np.ndarray
    score: np.ndarray
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    source: str = "predictions"

    def __post_init__(self):
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("image_id", np.asarray(self.image_id, dtype=object))
        put("label", np.asarray(self.label, dtype=np.int8))
        put("score", np.asarray(self.score, dtype=np.float64))
        columns = {k: np.asarray(v, dtype=object) for k, v in self.columns.items()}
        put("columns", columns)
        check(self)

    def __len__(self) -> int:
        return len(self.image_id)

    @property
    def labelled(self) -> bool:
        """Whether every device has a verdict."""
        return bool(len(self)) and not np.any(self.label == labels.UNLABELLED)

    def column(self, name: str) -> np.ndarray | None:
        """The column, or None when it is absent or empty throughout."""
        column = self.columns.get(name)
        return column if column is not None and any(column) else None

    def take(self, rows: np.ndarray) -> "Predictions":
        """The devices that `rows`, a mask or indices, names."""
        return dataclasses.replace(
            self,
            image_id=self.image_id[rows],
            label=self.label[rows],
            score=self.score[rows],
            columns={name: values[rows] for name, values in self.columns.items()},
        )


def check(predictions: Predictions) -> None:
    """Refuses a table no figure may be computed from.

    Raises:
        errors.BadInput: no device, columns of unequal length, a device named twice, or
            a score that is no probability.
    """
    source = predictions.source
    n = len(predictions.image_id)
    if not n:
        raise errors.BadInput(f"{source}: holds no device; score some first.")
    columns = {"label": predictions.label, "score": predictions.score}
    for name, values in {**columns, **predictions.columns}.items():
        if values.shape != (n,):
            raise errors.BadInput(
                f"{source}: column {name} has shape {values.shape} but there are {n} "
                "image ids; give each device one value."
            )
    _check_scores(predictions)
    if len(set(predictions.image_id)) < n:
        name, count = collections.Counter(predictions.image_id).most_common(1)[0]
        raise errors.BadInput(
            f"{source}: image_id {errors.quoted(name)} appears {count} times; keep one "
            "row for each device."
        )


def _check_scores(predictions: Predictions) -> None:
    scores = predictions.score
    wrong = np.flatnonzero(~((scores >= 0) & (scores <= 1)))  # NaN fails both
    if wrong.size:
        first = wrong[0]
        raise errors.BadInput(
            f"{predictions.source}: score {scores[first]} of "
            f"{predictions.image_id[first]!r} ({wrong.size} such rows) is no "
            "probability in 0..1; write the sigmoid of a logit and leave no NaN."
        )


def write(path: str | os.PathLike, predictions: Predictions) -> None:
    """Publishes the table; scores keep every bit (shortest form that reads back)."""
    names = [name for name in OPTIONAL if predictions.column(name) is not None]
    names += [name for name in predictions.columns if name not in OPTIONAL]
    label = ["" if y == labels.UNLABELLED else int(y) for y in predictions.label]
    score = [repr(float(s)) for s in predictions.score]
    columns = [predictions.columns[name] for name in names]
    rows = zip(predictions.image_id, label, score, *columns)
    files.write_csv(path, [*REQUIRED, *names], rows)


def read(path: str | os.PathLike) -> Predictions:
    """Reads a predictions table of any framework.

    Label is 1, 0, good, defect or empty. Columns beyond the known ones are kept.

    Raises:
        errors.BadInput: no such file, no such column, or a cell that makes no sense;
            the message names the row.
    """
    table = tables.table(
        path,
        REQUIRED,
        known=OPTIONAL,
        remedy="name a table of scored devices",
        stripped=False,
    )
    return Predictions(
        image_id=table.column("image_id"),
        label=_labels(table),
        score=_scores(table),
        columns={n: table.column(n) for n in table.header if n not in REQUIRED},
        source=str(path),
    )


def read_labels(path: str | os.PathLike) -> dict[str, tuple[int, str]]:
    """Reads `image_id,label[,defect_type]` rows that judge existing scores anew.

    Returns:
        integer label and defect type ("" when not given) by image id.

    Raises:
        errors.BadInput: as `read`, or a device named twice.
    """
    table = tables.table(
        path, ("image_id", "label"), remedy="name a table of labels", stripped=False
    )
    verdicts: dict[str, tuple[int, str]] = {}
    for where, cells in table.records():
        name = cells["image_id"]
        if name in verdicts:
            raise errors.BadInput(
                f"{where}: {errors.quoted(name)} is named twice; keep one verdict."
            )
        if cells["label"].strip():  # a device without a verdict judges nothing
            label = _label(cells["label"], where)
            verdicts[name] = label, cells.get("defect_type", "")
    return verdicts


def relabelled(
    predictions: Predictions, verdicts: Mapping[str, tuple[int, str]], *, source: str
) -> Predictions:
    """The same scores under other labels.

    Raises:
        errors.BadInput: `verdicts` lacks a scored device; half-judged is not judged.
    """
    missing = [name for name in predictions.image_id if name not in verdicts]
    if missing:
        raise errors.BadInput(
            f"{source}: has no label for {len(missing)} of {len(predictions)} devices "
            f"of {predictions.source}, the first is "
            f"{errors.quoted(missing[0])}; add them."
        )
    label, kind = zip(*(verdicts[name] for name in predictions.image_id))
    columns = dict(predictions.columns)
    given = columns.get("defect_type", np.full(len(label), "", dtype=object))
    kind = [k or old for k, old in zip(kind, given)]
    columns["defect_type"] = np.array(
        [k if y else "" for y, k in zip(label, kind)], dtype=object
    )
    return dataclasses.replace(predictions, label=label, columns=columns)


def aligned(tables: Sequence[Predictions]) -> list[Predictions]:
    """The tables with their devices in the order of the first.

    Raises:
        errors.BadInput: two tables differ in their devices or in a label; paired
            comparisons need the same devices under the same verdicts.
    """
    first = tables[0]
    return [first, *(_in_order_of(first, table) for table in tables[1:])]


def _in_order_of(first: Predictions, table: Predictions) -> Predictions:
    place = {name: row for row, name in enumerate(table.image_id)}
    missing = [name for name in first.image_id if name not in place]
    if missing or len(table) != len(first):
        example = missing[0] if missing else (set(place) - set(first.image_id)).pop()
        raise errors.BadInput(
            f"{table.source}: holds other devices than {first.source} ({len(table)} "
            f"against {len(first)}, for example {errors.quoted(example)}); runs are "
            "compared on the same images only."
        )
    table = table.take(np.array([place[name] for name in first.image_id]))
    differs = np.flatnonzero(table.label != first.label)
    if differs.size:
        raise errors.BadInput(
            f"{table.source}: gives {differs.size} devices another label than "
            f"{first.source}, the first is {first.image_id[differs[0]]!r}; judge both "
            "with --labels FILE."
        )
    return table


def _labels(table: tables.Table) -> list[int]:
    cells = table.column("label")
    first = {cell: row for row, cell in reversed(list(enumerate(cells)))}
    meaning = {cell: _label(cell, table.where(row)) for cell, row in first.items()}
    return [meaning[cell] for cell in cells]


def _label(text: str, where: str) -> int:
    word = text.strip()
    if not word:
        return labels.UNLABELLED
    return labels.parse({"1.0": "1", "0.0": "0"}.get(word, word), where=where)


def _scores(table: tables.Table) -> list[float]:
    cells = table.column("score")
    scores = []
    try:
        scores.extend(map(tables.number, cells))
    except ValueError:
        row = len(scores)  # those before it were numbers
        raise errors.BadInput(
            f"{table.where(row)}: score {errors.quoted(cells[row])} is no number; "
            "write the probability of defect."
        ) from None
    return scores
