"""The one reader of CSV tables: read whole, with errors that name file and line."""

import codecs
import csv
import dataclasses
import io
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence

from nexperia_tf import errors

SEPARATORS = (",", ";", "\t")
NO_NUMBER = ("", "nan", "none", "null", "na", "n/a", "-")  # in lower case
_MARKS = {  # byte-order mark -> encoding; the longer ones first
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_EXCEL = re.compile(
    r'\s*"?sep=(?P<separator>[^\r\n])"?[,;\t]*(?:\r\n?|\n|$)(?P<rest>)', re.I
)
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d*,(?:\d{1,2}|\d{4,})|0?,\d{3})")
_END = "\ue000end of table"  # no table holds it


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
    known: Sequence[str] = (),
    remedy: str = "",
    stripped: bool = True,
) -> Table:
    """Reads a table with a header.

    Commas, semicolons or tabs separate its cells: what the header shows. Lines whose
    cells are all empty are no rows.

    Args:
        path: of the file; UTF-8, or UTF-16 where a byte-order mark says so.
        needed: columns it must have; others are kept.
        known: columns that mean something where they are there. A name of these or of
            `needed` is known in any case.
        remedy: what to do where the file is no such table; a clause.
        stripped: whether spaces around cells mean nothing, as where people write.

    Raises:
        errors.BadInput: no such file, or it is no CSV, of another encoding or empty; a
            needed column is missing, a name stands twice, or a line has another number
            of cells than the header.
    """
    names = (*needed, *known)
    lines = _lines(path, remedy, lambda line: {*needed} <= {*_header(line, names)})
    if not lines:
        raise _bad(f"{path}: is empty", remedy)
    header = _header(lines[0][1], names)
    _check_header(str(path), header, needed, remedy)
    rows = [_cells(f"{path}:{number}", cells, header) for number, cells in lines[1:]]
    if stripped:
        rows = [[cell.strip() for cell in cells] for cells in rows]
    return Table(str(path), header, rows, [number for number, _ in lines[1:]])


def read(
    path: str | os.PathLike, needed: Sequence[str], *, known: Sequence[str] = ()
) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Header, and every line as `(file:line, cells by column)`; errors as `table`'s."""
    whole = table(path, needed, known=known)
    return whole.header, list(whole.records())


def read_lines(path: str | os.PathLike, *, columns: int) -> list[tuple[str, list[str]]]:
    """Every line of a table without a header as `(file:line, stripped cells)`.

    Args:
        path: of the file.
        columns: how many there should be, by which the separator is known.
    """
    return [
        (f"{path}:{number}", [cell.strip() for cell in cells])
        for number, cells in _lines(path, "", lambda line: len(line) == columns)
    ]


def _lines(
    path: str | os.PathLike, remedy: str, fits: Callable[[list[str]], bool]
) -> list[tuple[int, list[str]]]:
    """Every line that is not blank, with its number.

    The separator is the one that Excel's first line names (`sep=;`), else the first of
    SEPARATORS by which the first line `fits`.
    """
    text = _text(path, remedy)
    if named := _EXCEL.match(text):
        rest = text[named.start("rest") :]
        lines = _parsed(path, rest, named["separator"], remedy)
        return [(number + 1, cells) for number, cells in lines]
    separator = next((s for s in SEPARATORS if fits(_first(text, s))), SEPARATORS[0])
    return _parsed(path, text, separator, remedy)


def _text(path: str | os.PathLike, remedy: str) -> str:
    try:
        content = pathlib.Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise _bad(f"{path}: no such file", remedy) from None
    marks = (encoding for mark, encoding in _MARKS.items() if content.startswith(mark))
    encoding = next(marks, "UTF-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise errors.BadInput(
            f"{path}: is not {encoding}; save it as CSV in UTF-8."
        ) from None
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise errors.BadInput(
            f"{path}:{number}: holds a NUL character, so it is damaged or no text; "
            "save it as CSV in UTF-8."
        )
    return text.removeprefix("\ufeff")


def _first(text: str, separator: str) -> list[str]:
    """The first line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return next((cells for cells in reader if not _is_blank(cells)), [])
    except csv.Error:  # is named when all is parsed
        return []


def _parsed(
    path: str | os.PathLike, text: str, separator: str, remedy: str
) -> list[tuple[int, list[str]]]:
    """Every line that is not blank, with the number of the one in which it ends."""
    # The end stands in a line of its own, unless a quote is left open before it.
    closed = io.StringIO(f"{text}\n{_END}", newline="")
    reader, lines, begins = csv.reader(closed, delimiter=separator), [], 1
    problem = "a quote is left open to the end of the file"
    try:
        for cells in reader:
            if cells and cells[-1].endswith(_END):
                if cells == [_END]:
                    return lines
                break
            if not _is_blank(cells):
                lines.append((reader.line_num, cells))
            begins = reader.line_num + 1
    except csv.Error as error:
        problem = str(error)
        if "field limit" in problem:
            problem = f"a cell of over {csv.field_size_limit():,} characters"
            problem += "; is a quote left open?"
    raise _bad(f"{path}:{begins}: is no line of a CSV table ({problem})", remedy)


def _is_blank(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def _header(line: Sequence[str], names: Sequence[str]) -> list[str]:
    """Column names; those that are among `names` but for their case, as there."""
    header = [cell.strip() for cell in line]
    meant = {name.lower(): name for name in names if name not in header}
    return [meant.get(name.lower(), name) for name in header]


def _cells(where: str, cells: list[str], header: Sequence[str]) -> list[str]:
    """The cells of a line, one for each column."""
    if _is_blank(cells[len(header) :]):
        cells = cells[: len(header)]
    if len(cells) == len(header):
        return cells
    raise errors.BadInput(
        f"{where}: {len(cells)} cells where the header has {len(header)} columns; put "
        "a cell with a comma in quotes, and see whether the file is cut off."
    )


def _check_header(
    path: str, header: Sequence[str], needed: Sequence[str], remedy: str
) -> None:
    missing = [name for name in needed if name not in header]
    if missing and len(header) == 1 and missing[0] in header[0].split(","):
        raise _bad(
            f"{path}: whole lines stand in quotes, each as one cell; save it as CSV "
            "without them",
            remedy,
        )
    if missing:
        raise _bad(
            f"{path}: column {missing[0]!r} is missing; the header must hold "
            f"{','.join(needed)}. Received {','.join(header)[:200]}",
            remedy,
        )
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise _bad(
            f"{path}: column {errors.quoted(twice[0])} stands twice in the header",
            remedy,
        )


def _bad(what: str, remedy: str) -> errors.BadInput:
    return errors.BadInput(f"{what}; {remedy}." if remedy else f"{what}.")


def number(text: str) -> float:
    """A number, also with a decimal comma.

    >>> number("12.5"), number("12,5"), number("0,125")
    (12.5, 12.5, 0.125)

    Raises:
        ValueError: it is none, or reads both ways, as 1,234 does.
    """
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return float(text)


def boxes(where: str, cells: dict[str, str], names: tuple[str, ...]) -> list[list]:
    """The line's box as a list of one, or of none where its cells say there is none.

    Empty cells say so, and what programs write in their place: four times 0 or -1, or
    four times no number, as `nan`.
    """
    texts = [cells[name] for name in names]
    if all(text.lower() in NO_NUMBER for text in texts):
        return []
    try:
        corners = [number(text) for text in texts]
        if not all(map(math.isfinite, corners)):
            raise ValueError("a corner is not finite")
    except ValueError:
        raise errors.BadInput(
            f"{where}: {errors.quoted(','.join(texts))} is no box; four numbers are "
            "needed, without marks between thousands."
        ) from None
    if set(corners) in ({0}, {-1}):
        return []
    return [[int(x) if x.is_integer() else x for x in corners]]
