"""What a raw folder says about its images, before any of them is opened."""

import dataclasses
import pathlib

from nexperia_tf.data import manifest
from nexperia_tf.data.raw import file_names, listing


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


def labelled(
    raw: pathlib.Path, folder: pathlib.Path, label: str, *, defect_type: str = ""
) -> list[manifest.Row]:
    """A row for each image file below `folder`, with this label."""
    rows = [
        manifest.Row(
            image_id="",
            path=relative(raw, file),
            label_given=label,
            label=label,
            defect_type=defect_type,
            split="" if label else manifest.UNLABELLED,
        )
        for file in listing.image_files(folder)
    ]
    for row in rows:
        fill_from_name(row)
    return rows


def fill_from_name(row: manifest.Row) -> None:
    """Lot, machine and date, as the file name holds them."""
    fields = file_names.parse(pathlib.PurePosixPath(row.path).stem)
    row.lot = fields.get("lot", "")
    row.machine = fields.get("machine", "")
    if "date" in fields:
        row.extra.setdefault("date", fields["date"])


def relative(raw: pathlib.Path, file: pathlib.Path) -> str:
    """POSIX path of a file below the raw folder."""
    return file.relative_to(raw).as_posix()
