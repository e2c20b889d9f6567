"""The one reader of CSV tables: read whole, with errors that name file and line."""

import csv
import dataclasses
import io
import math
import os
import pathlib
from collections.abc import Iterator, Sequence

from nexperia_tf import errors


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a header, as text.

    Attributes:
        path: of the file.
        header: names of the columns; each that has a name has another one.
        rows: the cells of each line that is not empty, one for each column.
        numbers: of these lines in the file, from 1.
    """

    path: str
    header: list[str]
    rows: list[list[str]]
    numbers: list[int]

    def where(self, row: int) -> str:
        """Place of a row for a message: `file:line`."""
        return f"{self.path}:{self.numbers[row]}"

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    def records(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Every row as `(file:line, cells by column)`."""
        for place, row in enumerate(self.rows):
            yield self.where(place), dict(zip(self.header, row))


def table(
    path: str | os.PathLike,
    needed: Sequence[str],
    *,
    remedy: str = "",
    stripped: bool = True,
) -> Table:
    """Reads a table with a header.

    Args:
        path: of the file; UTF-8, with or without a byte-order mark.
        needed: columns it must have; others are kept.
        remedy: what to do where the file is no such table; a clause.
        stripped: whether spaces around cells mean nothing, as where people write.

    Raises:
        errors.BadInput: no such file, or it is no CSV, not UTF-8 or empty; a needed
            column is missing, a name stands twice, or a line has another number of
            cells than the header.
    """
    lines = _lines(path, remedy)
    if not lines:
        raise _bad(f"{path}: is empty", remedy)
    header = [name.strip() for name in lines[0][1]]
    _check_header(str(path), header, needed, remedy)
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise errors.BadInput(
                f"{path}:{number}: {len(cells)} cells where the header has "
                f"{len(header)} columns; put a cell with a comma in quotes, and see "
                "whether the file is cut off."
            )
    rows = [cells for _, cells in lines[1:]]
    if stripped:
        rows = [[cell.strip() for cell in cells] for cells in rows]
    return Table(str(path), header, rows, [number for number, _ in lines[1:]])


def read(
    path: str | os.PathLike, needed: Sequence[str]
) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Header, and every line as `(file:line, cells by column)`; errors as `table`'s."""
    whole = table(path, needed)
    return whole.header, list(whole.records())


def read_lines(path: str | os.PathLike) -> list[tuple[str, list[str]]]:
    """Every line of a table without a header as `(file:line, stripped cells)`."""
    return [
        (f"{path}:{number}", [cell.strip() for cell in cells])
        for number, cells in _lines(path, "")
    ]


def _lines(path: str | os.PathLike, remedy: str) -> list[tuple[int, list[str]]]:
    """Every line that is not empty, with its number."""
    try:
        text = pathlib.Path(path).read_text("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise _bad(f"{path}: no such file", remedy) from None
    except UnicodeDecodeError:
        raise errors.BadInput(
            f"{path}: is not UTF-8; save it as CSV in UTF-8."
        ) from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        return [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise _bad(
            f"{path}:{reader.line_num}: is no line of a CSV table ({error})", remedy
        ) from None


def _check_header(
    path: str, header: Sequence[str], needed: Sequence[str], remedy: str
) -> None:
    missing = [name for name in needed if name not in header]
    if missing:
        raise _bad(
            f"{path}: column {missing[0]!r} is missing; the header must hold "
            f"{','.join(needed)}. Received {','.join(header)[:200]}",
            remedy,
        )
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise _bad(f"{path}: column {twice[0]!r} stands twice in the header", remedy)


def _bad(what: str, remedy: str) -> errors.BadInput:
    return errors.BadInput(f"{what}; {remedy}." if remedy else f"{what}.")


def boxes(where: str, cells: dict[str, str], names: tuple[str, ...]) -> list[list]:
    """The line's box as a list of one, or of none where its cells are empty."""
    texts = [cells[name] for name in names]
    if not any(texts):
        return []
    try:
        corners = [float(text) for text in texts]
        if not all(map(math.isfinite, corners)):
            raise ValueError("a corner is not finite")
    except ValueError:
        raise errors.BadInput(
            f"{where}: {','.join(texts)!r} is no box; four numbers are needed."
        ) from None
    return [[int(x) if x.is_integer() else x for x in corners]]
