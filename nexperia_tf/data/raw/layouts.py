"""Raw folders to rows: labels, names and boxes, without opening an image.

Four layouts are known: `second_stage` and `first_stage` (the two contests), `hand_over`
(the maker's own) and `folder` (any product: a labels.csv or one folder per class).
"""

import os
import pathlib
from collections.abc import Callable

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest
from nexperia_tf.data.raw import (
    annotations,
    class_folders,
    labels_table,
    listing,
    masks,
    raw_folder,
)

# Classes that show no flaw to put a box around.
BOXLESS_TYPES = ("empty_pocket", "device_flip")


def detect(raw: pathlib.Path) -> str:
    """Name of the layout of a raw folder.

    Raises:
        errors.BadInput: the folder is missing, empty or of no known layout.
    """
    raw = _existing(raw)
    if (raw / "defect_area.csv").is_file() or (raw / "train/train_contest").is_dir():
        return "second_stage"
    if (raw / "train/good_0").is_dir() or (raw / "train/bad_1").is_dir():
        return "first_stage"
    names = listing.folders(raw)
    if any(_is_pass_folder(name) or _is_labelled_folder(name) for name in names):
        return "hand_over"
    if names or (raw / labels_table.NAME).is_file():
        return "folder"
    raise errors.BadInput(
        f"{raw}: no labels.csv and no folder per class in it; see README for the "
        "four layouts, or name one with --layout."
    )


def scan(
    raw: pathlib.Path,
    layout: str | None = None,
    *,
    good: str = "",
    group: str = "",
) -> raw_folder.RawFolder:
    """Rows of all images below a raw folder.

    Args:
        raw: the folder; nothing in it is written.
        layout: its name; detected by default.
        good: class name of good devices (layout `folder`); good, ok or pass when empty.
        group: column whose value makes a group; the `group` column, else the lot, when
            empty.

    Raises:
        errors.BadInput: nothing to learn from: missing, empty, one class only, a
            table that names a missing file or holds a bad value.
    """
    raw = _existing(pathlib.Path(raw))
    layout = layout or detect(raw)
    if layout not in LAYOUTS:
        raise errors.BadInput(
            f"--layout {layout}: unknown; write one of {', '.join(LAYOUTS)}."
        )
    found = listing.files(raw)
    folder = LAYOUTS[layout](found, good)
    _check_classes(raw, folder)
    raw_folder.add_rest(folder, found)
    folder.form = folder.form or f"layout {layout}"
    _name_images(folder.rows)
    _set_groups(raw, folder.rows, group)
    folder.rows.sort(key=lambda row: row.path)
    return folder


def _second_stage(found: listing.Listing, good: str) -> raw_folder.RawFolder:
    train = "train/train_contest"
    rows = [
        *raw_folder.labelled(found.below(f"{train}/good_all"), labels.GOOD),
        *raw_folder.labelled(found.below(f"{train}/defect"), labels.DEFECT),
        *raw_folder.labelled(found.below("test/test_contest/test"), ""),
    ]
    folder = raw_folder.RawFolder("second_stage", rows)
    folder.tables.append("submission_sample.csv")
    table = found.folder / "defect_area.csv"
    if table.is_file():
        folder.has_boxes = True
        folder.tables.append(table.name)
        defects = [row for row in rows if row.label != labels.GOOD]
        annotations.add_boxes(folder, defects, table, annotations.defect_area(table))
    return folder


def _first_stage(found: listing.Listing, good: str) -> raw_folder.RawFolder:
    rows = [
        *raw_folder.labelled(found.below("train/good_0"), labels.GOOD),
        *raw_folder.labelled(found.below("train/bad_1"), labels.DEFECT),
        *raw_folder.labelled(found.below("test"), ""),
    ]
    return raw_folder.RawFolder("first_stage", rows)


def _hand_over(found: listing.Listing, good: str) -> raw_folder.RawFolder:
    folder = raw_folder.RawFolder("hand_over", [], has_boxes=True, names_types=True)
    names = found.folders_in()
    for passed in filter(_is_pass_folder, names):
        folder.rows += raw_folder.labelled(found.below(passed), labels.GOOD)
    for defects in filter(_is_labelled_folder, names):
        for kind in found.folders_in(defects):
            inside = found.below(f"{defects}/{kind}")
            rows = raw_folder.labelled(inside, labels.DEFECT, defect_type=kind)
            folder.rows += rows
            name = f"{defects}/{kind}/ImageLabel.csv"
            table = found.path(name)
            if table.is_file():
                folder.tables.append(name)
                boxes = annotations.image_label(table)
                annotations.add_boxes(folder, rows, table, boxes)
    return folder


def _folder(found: listing.Listing, good: str) -> raw_folder.RawFolder:
    if not (found.folder / labels_table.NAME).is_file():
        return class_folders.scan(found, good)
    folder = labels_table.scan(found, good)
    if not folder.has_boxes:
        masks.add(folder, found, masks.among(found))
    return folder


LAYOUTS: dict[str, Callable[[listing.Listing, str], raw_folder.RawFolder]] = {
    "second_stage": _second_stage,
    "first_stage": _first_stage,
    "hand_over": _hand_over,
    "folder": _folder,
}


NAMES = tuple(LAYOUTS)


def _check_classes(raw: pathlib.Path, folder: raw_folder.RawFolder) -> None:
    if not folder.rows:
        raise errors.BadInput(
            f"{raw}: no images found for layout {folder.layout}; check the path, or "
            "name another one with --layout."
        )
    labels_found = {row.label for row in folder.rows} - {""}
    if labels_found != set(labels.NAMES):
        only = (
            f"only {labels_found.pop()} images"
            if labels_found
            else "no labelled images"
        )
        raise errors.BadInput(
            f"{raw}: {only} found; images of both classes, good and defect, are needed."
        )


def _name_images(rows: list[manifest.Row]) -> None:
    """Paths without their ending; with it where two images would share a name."""
    names = [os.path.splitext(row.path)[0] for row in rows]
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    for row, name in zip(rows, names):
        row.image_id = name if counts[name] == 1 else row.path


def _set_groups(raw: pathlib.Path, rows: list[manifest.Row], column: str):
    if column and not any(value(row, column) for row in rows):
        raise errors.BadInput(
            f"{raw}: --group {column}: no image has a value in that column; name a "
            "column of labels.csv, lot or machine."
        )
    for row in rows:
        own = value(row, column) if column else row.group or row.lot
        row.group = own or row.image_id


def value(row: manifest.Row, column: str) -> str:
    """A row's value in any column, those of the raw folder's table included.

    `month` is the first six digits of the date.
    """
    if column == "month":
        return row.extra.get("month") or row.extra.get("date", "")[:6]
    if manifest.carried(column) in row.extra:
        return row.extra[manifest.carried(column)]
    if column in manifest.COLUMNS:
        return str(getattr(row, column) or "")
    return ""


def _is_pass_folder(name: str) -> bool:
    return name.endswith("PassImage")


def _is_labelled_folder(name: str) -> bool:
    return name.endswith("Labeled_Image")


def _existing(raw: pathlib.Path) -> pathlib.Path:
    if not raw.is_dir():
        problem = "is not a folder" if raw.exists() else "no such folder"
        raise errors.BadInput(f"{raw}: {problem}; name the folder of raw images.")
    if not any(raw.iterdir()):
        raise errors.BadInput(f"{raw}: the folder is empty; name the one with images.")
    return raw
