"""The manifest: one row per raw image, with everything preparation found out.

`manifest.csv` holds the columns of `Row` in their order, then the columns that came
along with the raw folder's own table. Rows are sorted by path.
"""

import dataclasses
import json
import os
from collections.abc import Sequence

from nexperia_tf import errors, files
from nexperia_tf.data import tables

SCHEMA = 1

NOT_LISTED = "not_listed"  # in no class folder, or not in labels.csv
REASONS = (
    "unreadable",
    "unsupported",
    "not_a_device",
    "no_annotation",
    "duplicate",
    "label_conflict",
    "invalid_box",
    "decision",
    "bridges_splits",
    NOT_LISTED,
)
CALIBRATION = "calibration"  # chooses a threshold and nothing else; at will
SPLITS = ("train", "validation", "test", CALIBRATION)
UNLABELLED = "unlabelled"


@dataclasses.dataclass(slots=True)  # there may be many
class Row:
    """One raw image.

    Attributes:
        image_id: path below the raw folder without its ending, unique.
        path: POSIX path below the raw folder.
        label_given: `good`, `defect` or empty, as the raw folder says.
        label: the same after a person's decisions; the one to learn.
        defect_type: kind of defect, where the raw folder names one.
        group: images that must share a split; the lot unless another column is named.
        phash: perceptual hash, by which a person can search (`measure.signature`).
        brightness: mean grey level.
        contrast: standard deviation of grey levels.
        sharpness: variance of the Laplacian.
        device_score: how much the frame looks like one with a device, in [0, 1].
        boxes: `[x1, y1, x2, y2]` corners in pixels.
        cluster: name shared by the images of one photograph, else empty.
        duplicate_of: image_id of the image that was kept in this one's place.
        duplicate_kind: evidence for it: byte, pixel, photometric or geometric.
        twin_group: name shared by images too alike to part, else empty.
        split: train, validation, test, calibration, unlabelled or empty for dropped
            rows.
        dropped_because: one of `REASONS`, or empty.
        extra: further columns of the raw folder's own table, as `carried` names them.
    """

    image_id: str
    path: str
    label_given: str = ""
    label: str = ""
    defect_type: str = ""
    lot: str = ""
    machine: str = ""
    group: str = ""
    width: int | None = None
    height: int | None = None
    mode: str = ""
    format: str = ""
    sha256: str = ""
    pixel_sha256: str = ""
    phash: str = ""
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    device_score: float | None = None
    boxes: list[list[int | float]] = dataclasses.field(default_factory=list)
    cluster: str = ""
    duplicate_of: str = ""
    duplicate_kind: str = ""
    twin_group: str = ""
    split: str = ""
    dropped_because: str = ""
    extra: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def used(self) -> bool:
        """Whether the image becomes a record."""
        return not self.dropped_because


COLUMNS = tuple(f.name for f in dataclasses.fields(Row) if f.name != "extra")
_INTEGERS = ("width", "height")
_FLOATS = ("brightness", "contrast", "sharpness", "device_score")


def carried(name: str) -> str:
    """Under which name a column of the raw folder's own table is carried.

    >>> carried("cell"), carried("width")
    ('cell', 'width_in_table')
    """
    return f"{name}_in_table" if name in COLUMNS else name


def read(path: str | os.PathLike) -> list[Row]:
    """Rows of a manifest.csv.

    Raises:
        errors.BadInput: the file is missing, lacks a column or holds a bad value.
    """
    remedy = "run nexperia prepare on the raw folder first"
    table = tables.table(path, COLUMNS, remedy=remedy, stripped=False)
    return [_parse(cells, where) for where, cells in table.records()]


def write(path: str | os.PathLike, rows: Sequence[Row]) -> None:
    """Publishes rows, sorted by path; the same rows give the same bytes."""
    rows = sorted(rows, key=lambda row: row.path)
    extra = sorted({name for row in rows for name in row.extra})
    lines = (
        [_text(name, getattr(row, name)) for name in COLUMNS]
        + [row.extra.get(name, "") for name in extra]
        for row in rows
    )
    files.write_csv(path, [*COLUMNS, *extra], lines)


def _text(name: str, value: object) -> object:
    if name == "boxes":
        return json.dumps(value, separators=(",", ":")) if value else "[]"
    if name in _FLOATS and value is not None:
        return f"{value:.4f}"
    return value


def _parse(cells: dict[str, str], where: str) -> Row:
    values: dict = {name: cells[name] for name in COLUMNS}
    try:
        for name in _INTEGERS:
            values[name] = int(values[name]) if values[name] else None
        for name in _FLOATS:
            values[name] = float(values[name]) if values[name] else None
        values["boxes"] = json.loads(values["boxes"] or "[]")
    except ValueError as error:
        raise errors.BadInput(f"{where}: {error}; prepare the folder again.") from None
    extra = {name: cells[name] or "" for name in cells if name not in COLUMNS}
    return Row(**values, extra=extra)
