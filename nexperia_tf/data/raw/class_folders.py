"""One folder for each class, as people arrange them.

Above the class folders may stand folders of splits (`train`, `val`, `test`), or a
single one that holds them all (`images`). Masks beside the pictures become boxes, as do
the lines of an optional annotations.csv.
"""

import dataclasses
from collections.abc import Sequence

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest
from nexperia_tf.data.raw import annotations, classes, listing, masks, raw_folder

TABLE = "annotations.csv"


def scan(found: listing.Listing, good: str) -> raw_folder.RawFolder:
    """Rows of the images in each class folder.

    Raises:
        errors.BadInput: no class is good, or it cannot be told what a folder is.
    """
    form = _Form(found, masks.among(found))
    places = form.places(form.top())
    names = sorted({n for p, split in places.items() for n in form.classes(p, split)})
    words = classes.good_class(found.folder, dict.fromkeys(names, ()), good)
    folder = raw_folder.RawFolder("folder", [], names_types=True)
    folder.unlisted = "lies in no class folder"
    for place, split in places.items():
        folder.rows += _rows(form, place, split, words)
    masks.add(folder, found, form.masks)
    folder.form = f"{_in_words(places, names, words)}{_settle_splits(folder)}"
    table = found.folder / TABLE
    if table.is_file():
        folder.has_boxes = True
        folder.tables.append(TABLE)
        annotations.add_boxes(folder, folder.rows, table, annotations.of_table(table))
    return folder


@dataclasses.dataclass(frozen=True)
class _Form:
    """What is what in a folder of class folders; masks do not count.

    Attributes:
        found: all that lies in it.
        masks: the files that are masks.
    """

    found: listing.Listing
    masks: frozenset[str]

    def pictures(self, folder: str) -> list[str]:
        """Files and problems below a folder."""
        return [name for name in self.found.below(folder) if name not in self.masks]

    def folders_in(self, folder: str) -> list[str]:
        """Names of the folders right in a folder that hold something."""
        names = self.found.folders_in(folder)
        return [name for name in names if self.pictures(_join(folder, name))]

    def classes(self, place: str, split: str) -> list[str]:
        """Names of the class folders in a place."""
        if split == manifest.UNLABELLED:
            return []
        names = self.folders_in(place)
        return names if split else [n for n in names if not _is_unlabelled(n)]

    def top(self) -> str:
        """The folder of class folders or splits: the first that is no single one."""
        top = ""
        while len(inside := self.folders_in(top)) == 1:
            only = _join(top, inside[0])
            if not self.folders_in(only):
                break
            top = only
        return top

    def places(self, top: str) -> dict[str, str]:
        """The folders that class folders lie in, with their splits.

        Raises:
            errors.BadInput: folders of splits and of classes stand side by side.
        """
        names = self.folders_in(top)
        splits = {n: split for n in names if (split := classes.split(n))}
        rest = [name for name in names if name not in splits]
        unlabelled = {n: s for n, s in splits.items() if s == manifest.UNLABELLED}
        above = any(self.folders_in(_join(top, n)) for n in splits.keys() - unlabelled)
        if splits != unlabelled and rest and not (above and not _any_good(rest)):
            raise errors.BadInput(
                f"{self.found.folder / top}: {' and '.join(splits)} would be splits, "
                f"but stand beside {classes.short(rest)}; put the class folders into "
                "the splits, or write a labels.csv."
            )
        if not above:
            places = {_join(top, name): split for name, split in unlabelled.items()}
            return {top: ""} | places
        return {_join(top, n): self._split(_join(top, n), s) for n, s in splits.items()}

    def _split(self, place: str, split: str) -> str:
        """Test pictures in no class folder are there to be scored."""
        loose = split == "test" and not self.folders_in(place)
        return manifest.UNLABELLED if loose else split


def _rows(
    form: _Form, place: str, split: str, good: Sequence[str]
) -> list[manifest.Row]:
    if split == manifest.UNLABELLED:
        return raw_folder.labelled(form.pictures(place), "")
    rows = []
    for name in form.classes(place, split):
        label, kind = classes.label(name, good)
        inside = form.pictures(_join(place, name))
        rows += raw_folder.labelled(inside, label, defect_type=kind)
    for row in rows:
        row.split = split
    return rows


def _settle_splits(folder: raw_folder.RawFolder) -> str:
    """Keeps the folders' splits where one can train on them; else says why not."""
    labelled = [row for row in folder.rows if row.label]
    trained = {row.label for row in labelled if row.split == "train"}
    splits = {row.split for row in labelled}
    if splits == {""}:
        return ""
    missing = [label for label in labels.NAMES if label not in trained]
    why = f"train holds no {' and no '.join(missing)}" if missing else ""
    if splits == {"train"}:
        why = "only train holds class folders"
    folder.given_splits = not why
    if not why:
        return ""
    for row in labelled:
        row.split = ""
    return f"; {why}, so all labelled pictures are split anew"


def _in_words(places: dict[str, str], names: Sequence[str], good: Sequence[str]) -> str:
    """What is taken for what."""
    splits = [f"{place} = {split}" for place, split in places.items() if split]
    where = f" in {', '.join(splits)}" if splits else ""
    return f"class folders{where}; {classes.in_words(names, good)}"


def _any_good(names: Sequence[str]) -> bool:
    return any(map(classes.is_good, names))


def _is_unlabelled(name: str) -> bool:
    return classes.split(name) == manifest.UNLABELLED


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
