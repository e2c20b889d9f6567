"""Which files of a folder are looked at, and which folders lie in it."""

import os
import pathlib
from collections.abc import Iterator

SIDECARS = (".csv", ".txt", ".json", ".xml", ".md", ".html", ".db", ".ini", ".yaml")


def image_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Every file below that may be an image; the ending decides nothing else."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and not name.lower().endswith(SIDECARS):
                yield pathlib.Path(parent, name)


def folders(raw: pathlib.Path) -> list[pathlib.Path]:
    """Folders right in a folder, sorted, hidden ones left out."""
    return sorted(p for p in raw.iterdir() if p.is_dir() and not p.name.startswith("."))
