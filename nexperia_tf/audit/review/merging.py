"""The decisions of two reviewers as one table, and how far they agree."""

import dataclasses
import pathlib
from collections.abc import Sequence

from nexperia_tf import errors, files
from nexperia_tf.data import tables
from nexperia_tf.data.prepare import decisions

NEEDED = ("path", "decision", "value")
HEADER = (*NEEDED, "who", "when")
DISAGREED = "unsure"  # what a picture gets on which both do not agree


@dataclasses.dataclass(frozen=True)
class Decided:
    """What one reviewer said of a picture."""

    path: str
    decision: str
    value: str
    who: str
    when: str

    @property
    def words(self) -> str:
        return f"{self.decision} {self.value}".strip()


@dataclasses.dataclass(frozen=True)
class Merged:
    """Both reviewers' decisions.

    Attributes:
        decided: one for each picture, in the order in which they came.
        disagreed: pictures on which both decided, and not the same.
        both: pictures on which both decided.
        kappa: Cohen's, of these; None where each has said one thing only.
    """

    decided: Sequence[Decided]
    disagreed: Sequence[tuple[Decided, Decided]]
    both: int
    kappa: float | None


def read(path: str) -> dict[str, Decided]:
    """A reviewer's decisions by path.

    Raises:
        errors.BadInput: no such table, an unknown decision, or a picture twice.
    """
    found: dict[str, Decided] = {}
    for where, cells in tables.read(path, NEEDED, known=HEADER)[1]:
        given = {name: cells.get(name, "") for name in HEADER}
        kind, value = decisions.understood(where, cells)
        given |= {"decision": kind, "value": value}
        given["who"] = given["who"] or pathlib.Path(path).stem
        if given["path"] in found:
            raise errors.BadInput(
                f"{where}: {given['path']} is decided twice; keep one of the lines."
            )
        found[given["path"]] = Decided(**given)
    return found


def merge(first: dict[str, Decided], second: dict[str, Decided]) -> Merged:
    """One decision a picture; where both disagree it is left undecided.

    Reference:
        Cohen, Educational and Psychological Measurement 20 (1960) 37.
    """
    both = [path for path in first if path in second]
    disagreed = [
        (first[path], second[path])
        for path in both
        if first[path].words != second[path].words
    ]
    apart = {mine.path for mine, _ in disagreed}
    decided = [
        _undecided(first[path], second[path])
        if path in apart
        else first.get(path) or second[path]
        for path in dict.fromkeys((*first, *second))
    ]
    said = [[found[path].words for path in both] for found in (first, second)]
    return Merged(decided, disagreed, len(both), _kappa(*said))


def _undecided(mine: Decided, other: Decided) -> Decided:
    who = f"{mine.who}: {mine.words}; {other.who}: {other.words}"
    return Decided(mine.path, DISAGREED, "", who, max(mine.when, other.when))


def _kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    from sklearn import metrics

    if len({*first, *second}) < 2:
        return None
    return float(metrics.cohen_kappa_score(first, second))


def write(path: str, merged: Merged) -> None:
    """Publishes the table."""
    rows = [dataclasses.astuple(decided) for decided in merged.decided]
    files.write_csv(path, HEADER, rows)
