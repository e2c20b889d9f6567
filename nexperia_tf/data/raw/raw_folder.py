"""What a raw folder says about its images, before any of them is opened."""

import dataclasses
import pathlib
from collections.abc import Iterable

from nexperia_tf.data import manifest
from nexperia_tf.data.raw import file_names, listing


@dataclasses.dataclass
class RawFolder:
    """What the names and tables in a raw folder say about its images.

    Attributes:
        layout: name of its layout.
        rows: one per file, sorted by path; measures are still empty.
        has_boxes: whether boxes come with it.
        names_types: whether its classes name kinds of defects.
        given_splits: whether the labelled images come with a split.
        notes: what a report should mention, one sentence each.
        warnings: what a person must be shown at once, without the full stop.
        form: what was taken for what, in one line.
        masks: paths of the masks whose boxes were taken.
        mask_sizes: width and height of the mask, by its picture's path.
        tables: paths of the tables that were read.
        unlisted: why a file that is not among the rows is not; a clause.
        messages: why rows are dropped already, by path.
        left_out: how many files each rule of `listing` leaves out.
    """

    layout: str
    rows: list[manifest.Row]
    has_boxes: bool = False
    names_types: bool = False
    given_splits: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    form: str = ""
    masks: list[str] = dataclasses.field(default_factory=list)
    mask_sizes: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    tables: list[str] = dataclasses.field(default_factory=list)
    unlisted: str = "lies in none of the folders of this layout"
    messages: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)


def labelled(
    names: Iterable[str], label: str, *, defect_type: str = ""
) -> list[manifest.Row]:
    """A row with this label for each of these paths."""
    rows = [
        manifest.Row(
            image_id="",
            path=name,
            label_given=label,
            label=label,
            defect_type=defect_type,
            split="" if label else manifest.UNLABELLED,
        )
        for name in names
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


def add_rest(folder: RawFolder, found: listing.Listing) -> None:
    """Gives every other file its row and reason, and counts what is left out."""
    rows = {row.path: row for row in folder.rows}
    rest = sorted(set(found.named).difference(rows, folder.masks))
    for name in rest:
        row = manifest.Row(image_id="", path=name, dropped_because=manifest.NOT_LISTED)
        folder.messages[name] = folder.unlisted
        folder.rows.append(row)
    for row in folder.rows:
        if row.path in found.problems:
            row.dropped_because = "unreadable"
            folder.messages[row.path] = found.problems[row.path]
    used = rows.keys() | folder.tables
    skipped = {name: why for name, why in found.skipped.items() if name not in used}
    folder.left_out = listing.counts(skipped)
    if folder.masks:
        folder.left_out["masks (read as boxes)"] = len(folder.masks)
    unlisted = [name for name in rest if name not in found.problems]
    if unlisted:
        files = "1 file" if len(unlisted) == 1 else f"{len(unlisted)} files"
        folder.notes.append(
            f"{files} dropped as {manifest.NOT_LISTED}, {unlisted[0]} first: it "
            f"{folder.unlisted}."
        )
