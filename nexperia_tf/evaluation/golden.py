"""The golden list: pictures whose verdict must never change.

Two forms of one table. A list by name has an image id a line, and each must be called
defect. A golden set (`nexperia golden add`) also holds the pictures: its golden.csv
names them by content, with a verdict each.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from nexperia_tf import errors, labels
from nexperia_tf.data import tables
from nexperia_tf.evaluation import candidates

NAME = "golden.csv"
CONTENT = "pixel_sha256"  # the column that tells a set from a list by name


@dataclasses.dataclass(frozen=True)
class Line:
    """One golden picture.

    Attributes:
        image_id: its name, for people; in a list by name what it is found by.
        verdict: `good` or `defect`.
        pixel_sha256: of its pixels, as in a manifest; empty in a list by name.
        sha256: of its file.
        file: below the golden set.
        note: why it is golden.
        who, when: who said so, and when (UTC).
    """

    image_id: str
    verdict: str = labels.DEFECT
    pixel_sha256: str = ""
    sha256: str = ""
    file: str = ""
    note: str = ""
    who: str = ""
    when: str = ""


COLUMNS = tuple(field.name for field in dataclasses.fields(Line))


def read(path: str | os.PathLike) -> tuple[Line, ...]:
    """Reads a list by name, or the golden.csv of a golden set.

    Raises:
        errors.BadInput: it is no text, names no device or holds a bad verdict.
    """
    try:
        lines = pathlib.Path(path).read_text("utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        raise errors.BadInput(
            f"{path}: no such text file; write one image id a line."
        ) from None
    if lines and CONTENT in lines[0].split(","):
        return _set(path)
    names = [line.split(",")[0].strip() for line in lines]
    names = [name for name in names if name and name != "image_id"]
    if not names:
        raise errors.BadInput(f"{path}: names no device; write one image id a line.")
    return tuple(Line(name) for name in dict.fromkeys(names))


def _set(path: str | os.PathLike) -> tuple[Line, ...]:
    _, rows = tables.read(path, COLUMNS)
    for where, cells in rows:
        if cells["verdict"] not in labels.NAMES:
            raise errors.BadInput(
                f"{where}: verdict {errors.quoted(cells['verdict'])} is unknown; write "
                f"{' or '.join(labels.NAMES)}."
            )
    return tuple(Line(*(cells[name] for name in COLUMNS)) for _, cells in rows)


def must_be_caught(
    lines: Sequence[Line], judged: candidates.Candidate, *, path: str
) -> tuple[tuple[str, ...], str]:
    """Names of the judged devices that must be called defect, and what to say of it.

    Pictures of a golden set are found by their pixels, whatever they are called; those
    that are not judged are counted.

    Raises:
        errors.BadInput: none of a golden set's defects is judged.
    """
    names = [line.image_id for line in lines if not line.pixel_sha256]
    defects = {
        line.pixel_sha256
        for line in lines
        if line.pixel_sha256 and line.verdict == labels.DEFECT
    }
    known = judged.hashes.own if judged.hashes else {}
    found = {
        name: known[name]
        for name in judged.subject.scored.image_id
        if known.get(name) in defects
    }
    missing = len(defects - set(found.values()))
    asks = "nexperia golden check asks a model for all of the set"
    if lines and not (names or found):
        raise errors.BadInput(
            f"--golden {path}: none of its {len(defects)} defects is among the judged "
            f"devices; {asks}."
        )
    note = (
        f"{missing} of {len(defects)} golden defects are not among the judged "
        f"devices; {asks}."
    )
    return (*names, *found), note if missing else ""
