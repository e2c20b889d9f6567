"""Tables of boxes, and the images that they name."""

import os
import pathlib
from collections.abc import Iterable, Iterator

from nexperia_tf import errors
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.raw import raw_folder

CORNERS = ("x1", "y1", "x2", "y2")


def add_boxes(
    folder: raw_folder.RawFolder,
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


def defect_area(table: pathlib.Path) -> Iterator[tuple[str, list]]:
    """Name and box of each line of the second contest's table."""
    corners = ("x_1", "y_1", "x_2", "y_2")
    _, lines = tables.read(table, ("id", *corners))
    for where, cells in lines:
        for box in tables.boxes(where, cells, corners):
            yield cells["id"], box


def of_table(table: pathlib.Path) -> Iterator[tuple[str, list]]:
    """Path and box of each line of annotations.csv."""
    _, lines = tables.read(table, ("path", *CORNERS))
    for where, cells in lines:
        for box in tables.boxes(where, cells, CORNERS):
            yield cells["path"].replace("\\", "/"), box


def image_label(table: pathlib.Path) -> Iterator[tuple[str, list]]:
    """Name and box of each line of the maker's own table, which has no header."""
    names = ("id", "class", "shape", *CORNERS)
    for where, line in tables.read_lines(table):
        if len(line) != len(names):
            raise errors.BadInput(
                f"{where}: {len(line)} columns instead of id,class,rectangle,x1,y1,"
                "x2,y2; correct the line."
            )
        cells = dict(zip(names, line))
        for box in tables.boxes(where, cells, CORNERS):
            yield cells["id"], box
