"""One folder for each class, with an optional annotations.csv beside them."""

import pathlib

from nexperia_tf import labels
from nexperia_tf.data.raw import annotations, classes, listing, raw_folder


def scan(raw: pathlib.Path, good: str) -> raw_folder.RawFolder:
    """Rows of the images in each class folder."""
    names = [folder.name for folder in listing.folders(raw)]
    good = classes.good_class(raw, names, good)
    folder = raw_folder.RawFolder("folder", [], names_types=True)
    for name in names:
        if name == good:
            folder.rows += raw_folder.labelled(raw, raw / name, labels.GOOD)
        else:
            kind = "" if name.lower() in classes.DEFECT_NAMES else name
            folder.rows += raw_folder.labelled(
                raw, raw / name, labels.DEFECT, defect_type=kind
            )
    table = raw / "annotations.csv"
    if table.is_file():
        folder.has_boxes = True
        annotations.add_boxes(folder, folder.rows, table, annotations.of_table(table))
    return folder
