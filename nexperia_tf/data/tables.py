"""CSV tables that people wrote: read whole, with errors that name file and line."""

import csv
import io
import math
import pathlib

from nexperia_tf import errors


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


def read(
    table: pathlib.Path, needed: tuple[str, ...]
) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Header, and every line as `(file:line, cells by column)`.

    Raises:
        errors.BadInput: a needed column is missing or a line has another length.
    """
    lines = read_lines(table)
    header = lines[0][1] if lines else []
    missing = [name for name in needed if name not in header]
    if missing:
        raise errors.BadInput(
            f"{table}: column {missing[0]!r} is missing; the header must hold "
            f"{','.join(needed)}."
        )
    for where, line in lines[1:]:
        if len(line) != len(header):
            raise errors.BadInput(
                f"{where}: {len(line)} columns where the header has {len(header)}."
            )
    return header, [(where, dict(zip(header, line))) for where, line in lines[1:]]


def read_lines(table: pathlib.Path) -> list[tuple[str, list[str]]]:
    """Every line that is not empty as `(file:line, stripped cells)`."""
    try:
        text = table.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise errors.BadInput(f"{table}: is not UTF-8; save it as UTF-8.") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    lines = ((f"{table}:{reader.line_num}", line) for line in reader)
    return [(where, [cell.strip() for cell in line]) for where, line in lines if line]
