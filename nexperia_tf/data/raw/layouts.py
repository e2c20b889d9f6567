"""Raw folders to rows: labels, names and boxes, without opening an image.

Four layouts are known: `second_stage` and `first_stage` (the two contests), `hand_over`
(the maker's own) and `folder` (any product: a labels.csv or one folder per class).
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.raw import file_names

GOOD_NAMES = ("good", "ok", "pass")  # in any case, unless --good names another
DEFECT_NAMES = ("defect", "defective", "bad", "ng", "fail", "1")  # no kind of defect
SIDECARS = (".csv", ".txt", ".json", ".xml", ".md", ".html", ".db", ".ini", ".yaml")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
    "calibration": manifest.CALIBRATION,
    "unlabelled": manifest.UNLABELLED,
    "unlabeled": manifest.UNLABELLED,
    "": "",
}
# Classes that show no flaw to put a box around.
BOXLESS_TYPES = ("empty_pocket", "device_flip")


@dataclasses.dataclass
class RawFolder:
    """What the names and tables in a raw folder say about its images.

    Attributes:
        layout: name of its layout.
        rows: one per image file, sorted by path; measures are still empty.
        has_boxes: whether boxes come with it.
        names_types: whether its classes name kinds of defects.
        given_splits: whether the labelled images come with a split.
        notes: what a report should mention, one sentence each.
    """

    layout: str
    rows: list[manifest.Row]
    has_boxes: bool = False
    names_types: bool = False
    given_splits: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)


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
    if any(_pass_folders(raw)) or any(_labelled_folders(raw)):
        return "hand_over"
    if (raw / "labels.csv").is_file() or any(_folders(raw)):
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
) -> RawFolder:
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
    folder = LAYOUTS[layout](raw, good)
    _check_classes(raw, folder)
    _name_images(folder.rows)
    _set_groups(raw, folder.rows, group)
    folder.rows.sort(key=lambda row: row.path)
    return folder


def _second_stage(raw: pathlib.Path, good: str) -> RawFolder:
    train = raw / "train" / "train_contest"
    rows = [
        *_labelled(raw, train / "good_all", labels.GOOD),
        *_labelled(raw, train / "defect", labels.DEFECT),
        *_labelled(raw, raw / "test" / "test_contest" / "test", ""),
    ]
    folder = RawFolder("second_stage", rows)
    table = raw / "defect_area.csv"
    if table.is_file():
        folder.has_boxes = True
        defects = [row for row in rows if row.label != labels.GOOD]
        _add_boxes(folder, defects, table, _defect_area(table))
    return folder


def _first_stage(raw: pathlib.Path, good: str) -> RawFolder:
    rows = [
        *_labelled(raw, raw / "train" / "good_0", labels.GOOD),
        *_labelled(raw, raw / "train" / "bad_1", labels.DEFECT),
        *_labelled(raw, raw / "test", ""),
    ]
    return RawFolder("first_stage", rows)


def _hand_over(raw: pathlib.Path, good: str) -> RawFolder:
    folder = RawFolder("hand_over", [], has_boxes=True, names_types=True)
    for good_folder in _pass_folders(raw):
        folder.rows += _labelled(raw, good_folder, labels.GOOD)
    for defects in _labelled_folders(raw):
        for kind in _folders(defects):
            rows = _labelled(raw, kind, labels.DEFECT, defect_type=kind.name)
            folder.rows += rows
            table = kind / "ImageLabel.csv"
            if table.is_file():
                _add_boxes(folder, rows, table, _image_label(table))
    return folder


def _class_folders(raw: pathlib.Path, good: str) -> RawFolder:
    names = [folder.name for folder in _folders(raw)]
    good = _good_class(raw, names, good)
    folder = RawFolder("folder", [], names_types=True)
    for name in names:
        if name == good:
            folder.rows += _labelled(raw, raw / name, labels.GOOD)
        else:
            kind = "" if name.lower() in DEFECT_NAMES else name
            folder.rows += _labelled(raw, raw / name, labels.DEFECT, defect_type=kind)
    table = raw / "annotations.csv"
    if table.is_file():
        folder.has_boxes = True
        _add_boxes(folder, folder.rows, table, _annotations(table))
    return folder


def _folder(raw: pathlib.Path, good: str) -> RawFolder:
    table = raw / "labels.csv"
    if table.is_file():
        return _labels_table(raw, table, good)
    return _class_folders(raw, good)


def _labels_table(raw: pathlib.Path, table: pathlib.Path, good: str) -> RawFolder:
    header, lines = tables.read(table, ("path", "label"))
    has_boxes = all(name in header for name in _CORNERS)
    good = _good_class(table, sorted({cells["label"] for _, cells in lines}), good)
    rows: dict[str, manifest.Row] = {}
    for where, cells in lines:
        row = _labels_row(raw, where, cells, good, has_boxes)
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
    folder = RawFolder("folder", list(rows.values()), has_boxes=has_boxes)
    folder.names_types = any(row.defect_type for row in folder.rows)
    folder.given_splits = given == {True}
    listed = set(rows)
    unlisted = {_relative(raw, p) for p in _image_files(raw)} - listed
    if unlisted:
        folder.notes.append(
            f"{len(unlisted)} files are not in labels.csv and were left out, "
            f"{min(unlisted)} first."
        )
    return folder


_CORNERS = ("x1", "y1", "x2", "y2")
_OWN_COLUMNS = ("path", "label", "group", "defect_type", "split", "lot", "machine")


def _labels_row(
    raw: pathlib.Path, where: str, cells: dict[str, str], good: str, has_boxes: bool
) -> manifest.Row:
    path = pathlib.PurePosixPath(cells["path"].replace("\\", "/")).as_posix()
    if path.startswith(("/", "../")) or not (raw / path).is_file():
        raise errors.BadInput(
            f"{where}: {cells['path']!r} is no file below {raw}; correct the path or "
            "remove the line."
        )
    split = cells.get("split", "").lower()
    if split not in SPLIT_NAMES:
        raise errors.BadInput(
            f"{where}: split {cells['split']!r} is unknown; write train, validation, "
            "test, calibration or unlabelled."
        )
    label, kind = _label(cells["label"], good)
    split = SPLIT_NAMES[split] or ("" if label else manifest.UNLABELLED)
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
        boxes=tables.boxes(where, cells, _CORNERS) if has_boxes else [],
    )
    own = {*_OWN_COLUMNS, *(_CORNERS if has_boxes else ())}
    row.extra = {name: text for name, text in cells.items() if name not in own}
    _fill_from_name(row)
    for name in ("group", "lot", "machine"):
        setattr(row, name, cells.get(name) or getattr(row, name))
    return row


def _without_boxes(row: manifest.Row) -> manifest.Row:
    return dataclasses.replace(row, boxes=[], extra={})


def _label(text: str, good: str) -> tuple[str, str]:
    """Label and kind of defect that a class name stands for."""
    if not text:
        return "", ""
    if text == good:
        return labels.GOOD, ""
    return labels.DEFECT, "" if text.lower() in DEFECT_NAMES else text


def _good_class(where: pathlib.Path, names: list[str], good: str) -> str:
    names = [name for name in names if name]
    if good:
        exact = [name for name in names if name == good]
        matches = exact or [name for name in names if name.lower() == good.lower()]
    else:
        matches = [name for name in names if name.lower() in GOOD_NAMES]
    if len(matches) == 1:
        return matches[0]
    if not names:
        raise errors.BadInput(f"{where}: holds no class; one is needed for good.")
    shown = ", ".join(names[:8])
    problem = "no class" if not matches else "more than one class"
    wanted = good or "good, ok or pass"
    raise errors.BadInput(
        f"{where}: {problem} named {wanted} among {shown}; say with --good NAME which "
        "class is good."
    )


LAYOUTS: dict[str, Callable[[pathlib.Path, str], RawFolder]] = {
    "second_stage": _second_stage,
    "first_stage": _first_stage,
    "hand_over": _hand_over,
    "folder": _folder,
}


NAMES = tuple(LAYOUTS)


def _labelled(
    raw: pathlib.Path, folder: pathlib.Path, label: str, *, defect_type: str = ""
) -> list[manifest.Row]:
    rows = [
        manifest.Row(
            image_id="",
            path=_relative(raw, file),
            label_given=label,
            label=label,
            defect_type=defect_type,
            split="" if label else manifest.UNLABELLED,
        )
        for file in _image_files(folder)
    ]
    for row in rows:
        _fill_from_name(row)
    return rows


def _fill_from_name(row: manifest.Row) -> None:
    fields = file_names.parse(pathlib.PurePosixPath(row.path).stem)
    row.lot = fields.get("lot", "")
    row.machine = fields.get("machine", "")
    if "date" in fields:
        row.extra.setdefault("date", fields["date"])


def _relative(raw: pathlib.Path, file: pathlib.Path) -> str:
    return file.relative_to(raw).as_posix()


def _image_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Every file below that may be an image; the ending decides nothing else."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and not name.lower().endswith(SIDECARS):
                yield pathlib.Path(parent, name)


def _add_boxes(
    folder: RawFolder,
    rows: Iterable[manifest.Row],
    table: pathlib.Path,
    boxes: Iterable[tuple[str, list]],
) -> None:
    """Gives boxes to the rows they name, by path or by name without folder."""
    by_name: dict[str, manifest.Row] = {}
    for row in rows:
        without_ending = os.path.splitext(row.path)[0]
        for key in (row.path, without_ending):
            by_name[key] = by_name[key.rpartition("/")[2]] = row
    unknown = []
    for name, corners in boxes:
        row = by_name.get(name)
        if row is None:
            unknown.append(name)
        elif corners:
            row.boxes.append(corners)
    if unknown:
        folder.notes.append(
            f"{table.name} names {len(unknown)} images that are not there, "
            f"{unknown[0]} first."
        )


def _defect_area(table: pathlib.Path) -> Iterator[tuple[str, list]]:
    corners = ("x_1", "y_1", "x_2", "y_2")
    _, lines = tables.read(table, ("id", *corners))
    for where, cells in lines:
        for box in tables.boxes(where, cells, corners):
            yield cells["id"], box


def _annotations(table: pathlib.Path) -> Iterator[tuple[str, list]]:
    _, lines = tables.read(table, ("path", *_CORNERS))
    for where, cells in lines:
        for box in tables.boxes(where, cells, _CORNERS):
            yield cells["path"].replace("\\", "/"), box


def _image_label(table: pathlib.Path) -> Iterator[tuple[str, list]]:
    names = ("id", "class", "shape", *_CORNERS)
    for where, line in tables.read_lines(table):
        if len(line) != len(names):
            raise errors.BadInput(
                f"{where}: {len(line)} columns instead of id,class,rectangle,x1,y1,"
                "x2,y2; correct the line."
            )
        cells = dict(zip(names, line))
        for box in tables.boxes(where, cells, _CORNERS):
            yield cells["id"], box


def _check_classes(raw: pathlib.Path, folder: RawFolder) -> None:
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
    if column in manifest.COLUMNS:
        return str(getattr(row, column) or "")
    return row.extra.get(column, "")


def _pass_folders(raw: pathlib.Path) -> list[pathlib.Path]:
    return [folder for folder in _folders(raw) if folder.name.endswith("PassImage")]


def _labelled_folders(raw: pathlib.Path) -> list[pathlib.Path]:
    return [f for f in _folders(raw) if f.name.endswith("Labeled_Image")]


def _folders(raw: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in raw.iterdir() if p.is_dir() and not p.name.startswith("."))


def _existing(raw: pathlib.Path) -> pathlib.Path:
    if not raw.is_dir():
        problem = "is not a folder" if raw.exists() else "no such folder"
        raise errors.BadInput(f"{raw}: {problem}; name the folder of raw images.")
    if not any(raw.iterdir()):
        raise errors.BadInput(f"{raw}: the folder is empty; name the one with images.")
    return raw
