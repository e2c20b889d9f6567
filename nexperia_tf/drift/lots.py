"""Which lot and machine a picture comes from, as its folder tells it."""

import pathlib

from nexperia_tf.data import tables
from nexperia_tf.data.raw import file_names, labels_table, listing

# How lots are told: by a table or the names, by subfolders, or not at all.
NAMES, FOLDERS, EACH = "names", "folders", "each"


def of_folder(found: listing.Listing, *, by: str = NAMES) -> dict[str, tuple[str, str]]:
    """Lot and machine of each file by its path; "" where nothing tells it.

    Args:
        found: the folder.
        by: NAMES takes columns `group`, `lot` and `machine` of a labels.csv, else the
            names of files; FOLDERS takes the folder that a file lies in.

    Raises:
        errors.BadInput: its labels.csv is damaged.
    """
    told = {name: of_name(name) for name in found.named}
    if by == FOLDERS:
        return {
            name: (str(pathlib.PurePosixPath(name).parent), machine)
            for name, (_, machine) in told.items()
        }
    if (found.folder / labels_table.NAME).is_file():
        told |= _of_table(found, told)
    return told


def of_name(name: str) -> tuple[str, str]:
    """Lot and machine that a file's name holds.

    >>> of_name("a/WEE939001B0A_14-APG_ITIS_H20_1_374_4.bmp"), of_name("b.png")
    (('WEE939001B0A', '20'), ('', ''))
    """
    fields = file_names.parse(pathlib.PurePosixPath(name).stem)
    return fields.get("lot", ""), fields.get("machine", "")


def _of_table(
    found: listing.Listing, told: dict[str, tuple[str, str]]
) -> dict[str, tuple[str, str]]:
    _, lines = tables.read(found.folder / labels_table.NAME, ("path",))
    written = {}
    for _, cells in lines:
        name = found.find(cells["path"])
        if name in told:
            lot, machine = told[name]
            lot = cells.get("group") or cells.get("lot") or lot
            written[name] = lot, cells.get("machine") or machine
    return written
