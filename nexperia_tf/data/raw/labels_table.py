"""labels.csv: a line, or one for each box, for every image."""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.raw import annotations, classes, listing, raw_folder

NAME = "labels.csv"
_OWN_COLUMNS = ("path", "label", "group", "defect_type", "split", "lot", "machine")
Lines = Sequence[tuple[str, dict[str, str]]]  # `file:line`, cells by column


def scan(found: listing.Listing, good: str) -> raw_folder.RawFolder:
    """Rows of the images that the table names.

    Raises:
        errors.BadInput: it names a missing file or holds a bad value.
    """
    table = found.folder / NAME
    known = (*_OWN_COLUMNS, *annotations.CORNERS)
    header, lines = tables.read(table, ("path", "label"), known=known)
    _check_cells(lines)
    names = _places(lines, "label")
    words = classes.good_class(table, names, good)
    has_boxes = all(name in header for name in annotations.CORNERS)
    carried = _carried(header, has_boxes)
    folder = raw_folder.RawFolder("folder", [], has_boxes=has_boxes)
    folder.notes += [
        f"Column {name} of {NAME} is carried as {new}."
        for name, new in carried.items()
        if name != new
    ]
    folder.warnings += _doubts(lines, words)
    _unify_kinds(lines)
    folder.rows = _rows(found, lines, words, carried, has_boxes)
    folder.names_types = any(row.defect_type for row in folder.rows)
    folder.given_splits = _have_splits(table, folder.rows)
    folder.tables.append(NAME)
    folder.form = f"{NAME}; {classes.in_words(sorted(names), words)}"
    folder.unlisted = f"is not in {NAME}"
    return folder


def _rows(
    found: listing.Listing,
    lines: Lines,
    good: Sequence[str],
    carried: Mapping[str, str],
    has_boxes: bool,
) -> list[manifest.Row]:
    """A row for each image; lines that differ in their box only are one."""
    rows: dict[str, manifest.Row] = {}
    for where, cells in lines:
        row = _row(found, where, cells, good, has_boxes)
        row.extra |= {new: cells[name] for name, new in carried.items()}
        first = rows.setdefault(row.path, row)
        if first is row:
            continue
        if _without_boxes(first) != _without_boxes(row):
            raise errors.BadInput(
                f"{where}: {row.path} stands in the table twice with different "
                "values; keep one line per image, or lines that differ in the box only."
            )
        first.boxes += row.boxes
    return list(rows.values())


def _have_splits(table: pathlib.Path, rows: Iterable[manifest.Row]) -> bool:
    given = {bool(row.split) for row in rows if row.label}
    if given == {True, False}:
        raise errors.BadInput(
            f"{table}: some labelled images have a split and some have none; fill "
            "column 'split' for all of them or remove it."
        )
    return given == {True}


def _doubts(lines: Lines, good: Sequence[str]) -> Iterator[str]:
    """A line for each label or kind of defect that is probably none."""
    for line in classes.doubtful(_places(lines, "label"), good):
        yield f"{NAME}: label {line}"
    for line in classes.doubtful(_places(lines, "defect_type")):
        yield f"{NAME}: defect_type {line}"


def _check_cells(lines: Lines) -> None:
    """Refuses a cell over several lines, where a quote was left open."""
    for where, cells in lines:
        for name in _OWN_COLUMNS:
            if len(cells.get(name, "").splitlines()) > 1:
                raise errors.BadInput(
                    f"{where}: column {name} goes over several lines; close the quote "
                    "that is left open."
                )


def _places(lines: Lines, column: str) -> dict[str, list[str]]:
    """Where each value of a column stands, as `file:line`."""
    places: dict[str, list[str]] = {}
    for where, cells in lines:
        places.setdefault(cells.get(column, ""), []).append(where)
    return places


def _unify_kinds(lines: Lines) -> None:
    """`Crack` and `crack` are one kind of defect: that of the more rows."""
    for column in ("label", "defect_type"):
        values = [cells[column] for _, cells in lines if cells.get(column)]
        kinds = classes.spellings(values)
        for _, cells in lines:
            if cells.get(column):
                cells[column] = kinds[classes.folded(cells[column])]


def _carried(header: Sequence[str], has_boxes: bool) -> dict[str, str]:
    """Further columns, and the names under which the manifest carries them."""
    own = {*_OWN_COLUMNS, *(annotations.CORNERS if has_boxes else ())}
    return {name: manifest.carried(name) for name in header if name not in own}


def _row(
    found: listing.Listing,
    where: str,
    cells: dict[str, str],
    good: Sequence[str],
    has_boxes: bool,
) -> manifest.Row:
    path = _path(found, where, cells["path"])
    split = cells.get("split", "").lower()
    if split not in classes.SPLIT_NAMES:
        raise errors.BadInput(
            f"{where}: split {errors.quoted(cells['split'])} is unknown; write train, "
            "validation, test, calibration or unlabelled."
        )
    label, kind = classes.label(cells["label"], good)
    split = classes.SPLIT_NAMES[split] or ("" if label else manifest.UNLABELLED)
    if bool(label) == (split == manifest.UNLABELLED):
        raise errors.BadInput(
            f"{where}: label {errors.quoted(cells['label'])} does not fit split "
            f"{split!r}; exactly the images without a label are unlabelled."
        )
    row = manifest.Row(
        image_id="",
        path=path,
        label_given=label,
        label=label,
        defect_type=(cells.get("defect_type") or kind) if label != labels.GOOD else "",
        split=split,
        boxes=tables.boxes(where, cells, annotations.CORNERS) if has_boxes else [],
    )
    raw_folder.fill_from_name(row)
    for name in ("group", "lot", "machine"):
        setattr(row, name, cells.get(name) or getattr(row, name))
    return row


def _path(found: listing.Listing, where: str, text: str) -> str:
    path = found.find(text)
    if path is not None:
        return path
    why = "is no file below"
    if listing.leaves(text):
        why = "is absolute or goes up, and may name no file outside of"
    raise errors.BadInput(
        f"{where}: {errors.quoted(text)} {why} {found.folder}; correct the path or "
        "remove the line."
    )


def _without_boxes(row: manifest.Row) -> manifest.Row:
    return dataclasses.replace(row, boxes=[], extra={})
