"""One folder for each class, with an optional annotations.csv beside them."""

from nexperia_tf import labels
from nexperia_tf.data.raw import annotations, classes, listing, raw_folder


def scan(found: listing.Listing, good: str) -> raw_folder.RawFolder:
    """Rows of the images in each class folder."""
    raw, names = found.folder, found.folders_in()
    good = classes.good_class(raw, names, good)
    folder = raw_folder.RawFolder("folder", [], names_types=True)
    folder.unlisted = "lies in no class folder"
    for name in names:
        is_good = name == good
        kind = "" if is_good or name.lower() in classes.DEFECT_NAMES else name
        label = labels.GOOD if is_good else labels.DEFECT
        inside = found.below(name)
        folder.rows += raw_folder.labelled(inside, label, defect_type=kind)
    table = raw / "annotations.csv"
    if table.is_file():
        folder.has_boxes = True
        folder.tables.append(table.name)
        annotations.add_boxes(folder, folder.rows, table, annotations.of_table(table))
    return folder
