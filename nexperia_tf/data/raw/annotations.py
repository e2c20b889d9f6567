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
    boxes: Iterable[tuple[str, str, list]],
) -> None:
    """Gives boxes to the rows they name, by path or by name without folder.

    Raises:
        errors.BadInput: a name fits two pictures.
    """
    named, unknown = _by_name(rows), []
    for where, name, corners in boxes:
        meant = named.get(name, [])
        if len(meant) > 1:
            raise errors.BadInput(
                f"{where}: {errors.quoted(name)} fits {len(meant)} pictures, "
                f"{meant[0].path} and {meant[1].path}; write the path below the raw "
                "folder."
            )
        if meant:
            meant[0].boxes.append(corners)
        else:
            unknown.append(name)
    if unknown:
        lines = "1 line names" if len(unknown) == 1 else f"{len(unknown)} lines name"
        folder.warnings.append(
            f"{table.name}: {lines} no picture that is there, "
            f"{errors.quoted(unknown[0])} first"
        )


def _by_name(rows: Iterable[manifest.Row]) -> dict[str, list[manifest.Row]]:
    """The rows that each name fits: a path before a name, and with its ending first."""
    levels: list[dict[str, list[manifest.Row]]] = [{}, {}, {}, {}]
    for row in rows:
        paths = row.path, os.path.splitext(row.path)[0]
        names = (*paths, *(path.rpartition("/")[2] for path in paths))
        for level, name in zip(levels, names):
            level.setdefault(name, []).append(row)
    fits: dict[str, list[manifest.Row]] = {}
    for level in reversed(levels):
        fits |= level
    # What has a label is meant before what has none.
    return {n: [r for r in fit if r.label] or fit for n, fit in fits.items()}


def defect_area(table: pathlib.Path) -> Iterator[tuple[str, str, list]]:
    """Place, name and box of each line of the second contest's table."""
    corners = ("x_1", "y_1", "x_2", "y_2")
    _, lines = tables.read(table, ("id", *corners))
    for where, cells in lines:
        for box in tables.boxes(where, cells, corners):
            yield where, cells["id"], box


def of_table(table: pathlib.Path) -> Iterator[tuple[str, str, list]]:
    """Place, path and box of each line of annotations.csv."""
    _, lines = tables.read(table, ("path", *CORNERS))
    for where, cells in lines:
        for box in tables.boxes(where, cells, CORNERS):
            yield where, cells["path"].replace("\\", "/"), box


def image_label(table: pathlib.Path) -> Iterator[tuple[str, str, list]]:
    """Place, name and box of each line of the maker's table, which has no header."""
    names = ("id", "class", "shape", *CORNERS)
    for where, line in tables.read_lines(table, columns=len(names)):
        if len(line) != len(names):
            raise errors.BadInput(
                f"{where}: {len(line)} columns instead of id,class,rectangle,x1,y1,"
                "x2,y2; correct the line."
            )
        cells = dict(zip(names, line))
        for box in tables.boxes(where, cells, CORNERS):
            yield where, cells["id"], box
