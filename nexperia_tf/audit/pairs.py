"""Pairs that preparation found alike: with different labels, or doubtful."""

import dataclasses
import pathlib
from collections.abc import Sequence

from nexperia_tf.data import manifest, tables
from nexperia_tf.data.duplicates import search

COLUMNS = ("path_a", "path_b", "kind", "similarity")
PROVEN = (search.BYTE, search.PIXEL)  # nothing about these is for a person to say


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two pictures that are alike.

    Attributes:
        first, second: rows of the manifest.
        kind: the evidence, as duplicates.csv has it: byte to geometric, or twin.
        similarity: 1 for equal ones.
    """

    first: manifest.Row
    second: manifest.Row
    kind: str
    similarity: float

    @property
    def differs(self) -> bool:
        """Whether one was given as good and the other one as defect."""
        given = {self.first.label, self.second.label}
        return "" not in given and len(given) == 2

    @property
    def words(self) -> str:
        """What the two are, for a list of reasons."""
        if self.kind == search.TWIN:
            return "a near duplicate"
        return f"the same photograph ({self.kind})"


def read(path: pathlib.Path, rows: Sequence[manifest.Row]) -> list[Pair]:
    """The pairs of duplicates.csv, the most alike first.

    Args:
        path: of the table.
        rows: all rows of the manifest beside it, dropped ones among them.
    """
    known = {row.path: row for row in rows}
    table = tables.table(path, COLUMNS, stripped=False)
    found = [
        Pair(
            known[cells["path_a"]],
            known[cells["path_b"]],
            cells["kind"],
            float(cells["similarity"]),
        )
        for _, cells in table.records()
    ]
    return sorted(found, key=lambda pair: (-pair.similarity, pair.first.path))


def conflicts(pairs: Sequence[Pair]) -> list[Pair]:
    """Those with different labels."""
    return [pair for pair in pairs if pair.differs]


def doubtful(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """Pairs with the same label that are not proven by their bytes, the least alike.

    Copies, of which one was dropped for the other, so that a wrong one costs a picture;
    then near duplicates, which were kept in one split. Up to `most` of each.
    """
    open_ones = [p for p in pairs[::-1] if not p.differs and p.kind not in PROVEN]
    copies = [pair for pair in open_ones if pair.kind != search.TWIN]
    twins = [pair for pair in open_ones if pair.kind == search.TWIN]
    return [*copies[:most], *twins[:most]]
