"""labels.csv: a line, or one for each box, for every image."""

import dataclasses

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.raw import annotations, classes, listing, raw_folder

_OWN_COLUMNS = ("path", "label", "group", "defect_type", "split", "lot", "machine")


NAME = "labels.csv"


def scan(found: listing.Listing, good: str) -> raw_folder.RawFolder:
    """Rows of the images that the table names.

    Raises:
        errors.BadInput: it names a missing file or holds a bad value.
    """
    table = found.folder / NAME
    header, lines = tables.read(table, ("path", "label"))
    has_boxes = all(name in header for name in annotations.CORNERS)
    names = sorted({cells["label"] for _, cells in lines})
    good = classes.good_class(table, names, good)
    rows: dict[str, manifest.Row] = {}
    for where, cells in lines:
        row = _row(found, where, cells, good, has_boxes)
        first = rows.setdefault(row.path, row)
        if first is row:
            continue
        if _without_boxes(first) != _without_boxes(row):
            raise errors.BadInput(
                f"{where}: {row.path} stands in the table twice with different "
                "values; keep one line per image, or lines that differ in the box only."
            )
        first.boxes += row.boxes
    given = {bool(row.split) for row in rows.values() if row.label}
    if given == {True, False}:
        raise errors.BadInput(
            f"{table}: some labelled images have a split and some have none; fill "
            "column 'split' for all of them or remove it."
        )
    folder = raw_folder.RawFolder("folder", list(rows.values()), has_boxes=has_boxes)
    folder.names_types = any(row.defect_type for row in folder.rows)
    folder.given_splits = given == {True}
    folder.tables.append(NAME)
    folder.form = f"{NAME}; {classes.in_words(names, good)}"
    folder.unlisted = f"is not in {NAME}"
    return folder


def _row(
    found: listing.Listing,
    where: str,
    cells: dict[str, str],
    good: str,
    has_boxes: bool,
) -> manifest.Row:
    path = _path(found, where, cells["path"])
    split = cells.get("split", "").lower()
    if split not in classes.SPLIT_NAMES:
        raise errors.BadInput(
            f"{where}: split {cells['split']!r} is unknown; write train, validation, "
            "test, calibration or unlabelled."
        )
    label, kind = classes.label(cells["label"], good)
    split = classes.SPLIT_NAMES[split] or ("" if label else manifest.UNLABELLED)
    if bool(label) == (split == manifest.UNLABELLED):
        raise errors.BadInput(
            f"{where}: label {cells['label']!r} does not fit split {split!r}; exactly "
            "the images without a label are unlabelled."
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
    own = {*_OWN_COLUMNS, *(annotations.CORNERS if has_boxes else ())}
    row.extra = {name: text for name, text in cells.items() if name not in own}
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
        f"{where}: {text!r} {why} {found.folder}; correct the path or remove the line."
    )


def _without_boxes(row: manifest.Row) -> manifest.Row:
    return dataclasses.replace(row, boxes=[], extra={})
