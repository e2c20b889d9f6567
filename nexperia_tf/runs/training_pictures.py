"""What a model has learned from, and which judged pictures are among it.

Every run keeps `trained_on.csv`: the pictures it was trained on and their copies and
twins, known by the hash of their pixels, with those of the runs it was initialised
from. Exports, features and forests carry it on, so that no later move, deletion or new
split hides that a test picture is an old acquaintance.
"""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from nexperia_tf import configs, errors, files, labels
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.prepare import kept_splits

SCHEMA = 1  # of TRAINED_ON; a run names it in environment.json
TRAINED_ON = "trained_on.csv"
EXPORTED = pathlib.PurePosixPath("assets.extra") / TRAINED_ON
PICTURE, TWIN, UNKNOWN = "picture", "twin", "unknown"


@dataclasses.dataclass(frozen=True)
class Line:
    """One picture that a run was trained on, or a copy or twin of one.

    Attributes:
        pixel_sha256: of its pixels, as in the manifest; empty for UNKNOWN.
        what: PICTURE, TWIN, or UNKNOWN where a run kept no list.
        run: name of the run.
        group: the picture's lot or other group, where it may be told.
    """

    pixel_sha256: str
    what: str
    run: str
    group: str = ""


@dataclasses.dataclass(frozen=True)
class Book:
    """All that a model was trained on; of two lines on one picture the first counts."""

    lines: tuple[Line, ...] = ()

    @property
    def unknown(self) -> list[str]:
        """Runs that kept no list."""
        return sorted({line.run for line in self.lines if line.what == UNKNOWN})

    @property
    def groups(self) -> frozenset[str]:
        """Groups of the pictures that were trained on."""
        trained = (line for line in self.lines if line.what == PICTURE)
        return frozenset(line.group for line in trained if line.group)

    def by_content(self) -> dict[str, Line]:
        found = {}
        for line in sorted(self.lines, key=lambda line: line.what != PICTURE):
            found.setdefault(line.pixel_sha256, line)
        return found


@dataclasses.dataclass(frozen=True)
class Found:
    """The judged pictures that a model knows.

    Attributes:
        of: how many are judged.
        pictures: those it was trained on, by image id.
        twins: those of which a copy or twin was trained on.
        by: the runs that were.
        unknown: runs of which nobody knows.
        unlisted: how many the list of pictures lacks, so that nobody knows of them.
    """

    of: int
    pictures: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unlisted: int = 0

    @property
    def names(self) -> set[str]:
        return {*self.pictures, *self.twins}

    def counts(self) -> "Counts":
        """What report.json and metrics.json say of it."""
        return Counts(
            of=self.of,
            pictures=len(self.pictures),
            twins=len(self.twins),
            first=min(self.names, default=None),
            by=self.by,
            unknown=self.unknown,
            unlisted=self.unlisted,
        )


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many judged pictures a model knows: a `Found` in numbers.

    Attributes:
        of: judged pictures.
        pictures, twins: those it was trained on, itself or by a copy or twin.
        first: name of the first of them.
        by: the runs that were.
        unknown: runs of which nobody knows.
        unlisted: pictures of which nobody knows.
    """

    of: int
    pictures: int
    twins: int
    first: str | None
    by: Sequence[str]
    unknown: Sequence[str]
    unlisted: int = 0

    @property
    def count(self) -> int:
        """Judged pictures that were trained on, as they are or by a twin."""
        return self.pictures + self.twins


def of_rows(
    rows: Sequence[manifest.Row], run: str, *, without_defects: bool = False
) -> Book:
    """What a run learns from its records.

    Args:
        rows: their manifest.
        run: its name.
        without_defects: whether the given defects are left out.
    """
    trained = [
        row
        for row in rows
        if row.used
        and row.split == "train"
        and not (without_defects and row.label == labels.DEFECT)
    ]
    ties = {tie for row in trained for tie in _ties(row)}
    paths = {row.path for row in trained}
    lines = []
    for row in rows:
        is_twin = row.path not in paths and not ties.isdisjoint(_ties(row))
        if row.pixel_sha256 and (row.path in paths or is_twin):
            what = TWIN if is_twin else PICTURE
            lines.append(Line(row.pixel_sha256, what, run, row.group))
    return Book(tuple(lines))


def _ties(row: manifest.Row) -> Iterable[tuple[str, str]]:
    for column in ("cluster", "twin_group"):
        if getattr(row, column):
            yield column, getattr(row, column)


def merged(books: Iterable[Book]) -> Book:
    """What all of them were trained on."""
    lines = dict.fromkeys(line for book in books for line in book.lines)
    return Book(tuple(lines))


def nobody_knows(run: str) -> Book:
    """The book of a model that kept none."""
    return Book((Line("", UNKNOWN, run),))


def read(path: str | os.PathLike) -> Book:
    """Reads trained_on.csv.

    Raises:
        errors.BadInput: a column is missing or a line is damaged.
    """
    header = [field.name for field in dataclasses.fields(Line)]
    _, lines = tables.read(pathlib.Path(path), tuple(header))
    for where, cells in lines:
        if cells["what"] not in (PICTURE, TWIN, UNKNOWN):
            raise errors.BadInput(f"{where}: {cells['what']!r} is no kind of picture.")
    return Book(tuple(Line(*(cells[name] for name in header)) for _, cells in lines))


def write(path: str | os.PathLike, book: Book, *, groups: bool = True) -> None:
    """Publishes trained_on.csv; without groups it names no lot."""
    header = [field.name for field in dataclasses.fields(Line)]
    lines = (dataclasses.astuple(line) for line in book.lines)
    files.write_csv(
        path, header, (line if groups else (*line[:-1], "") for line in lines)
    )


def of_run(folder: str | os.PathLike) -> Book:
    """What a run and those before it were trained on.

    Runs of older versions kept no list: their records tell where they are still there,
    and `--init` in their config.json names the run before.
    """
    folder = pathlib.Path(folder)
    name = folder.resolve().name
    if (folder / TRAINED_ON).is_file():
        return read(folder / TRAINED_ON)
    if not (folder / "config.json").is_file():
        return nobody_knows(name)
    path = folder / "config.json"
    config = configs.from_json(files.read_json(path), where=str(path))
    try:
        rows = kept_splits.rows_of(folder)
        own = of_rows(rows, name, without_defects=config.drawn.drawn_only)
    except errors.BadInput:
        own = nobody_knows(name)
    init = config.network.init
    return merged([own, of_run(init)]) if init else own


def of_export(version: pathlib.Path) -> Book:
    """What an exported model was trained on; exports of older versions do not say."""
    if (version / EXPORTED).is_file():
        return read(version / EXPORTED)
    return nobody_knows(str(version))


@dataclasses.dataclass(frozen=True)
class Looks:
    """What judged pictures show.

    Attributes:
        own: hash of its pixels by image id.
        tied: hashes of its copies and twins by image id.
    """

    own: Mapping[str, str]
    tied: Mapping[str, Sequence[str]]


def looks(rows: Sequence[manifest.Row]) -> Looks:
    """What the pictures of a manifest show."""
    members = collections.defaultdict(list)
    for row in rows:
        for tie in _ties(row):
            members[tie].append(row.pixel_sha256)
    return Looks(
        {row.image_id: row.pixel_sha256 for row in rows},
        {row.image_id: [c for t in _ties(row) for c in members[t]] for row in rows},
    )


def looks_of(folder: str | os.PathLike) -> Looks | None:
    """What the devices of a run or a forest show; None where it kept no list."""
    try:
        return looks(kept_splits.rows_of(folder))
    except errors.BadInput:
        return None


def judged(image_ids: Sequence[str], shown: Looks | None, book: Book) -> Found:
    """Which of the judged pictures a model knows.

    Args:
        image_ids: the judged pictures.
        shown: what they show; None where only their names are known.
        book: what the model was trained on.
    """
    known, kinds, by = book.by_content(), {PICTURE: [], TWIN: []}, set()
    unknown = set(book.unknown)
    listed = [name for name in image_ids if shown is not None and name in shown.own]
    unlisted = len(image_ids) - len(listed) if book.lines else 0
    if not listed:
        unknown = {line.run for line in book.lines}
    for name in listed:
        own = known.get(shown.own[name])
        line = own or next((known[c] for c in shown.tied[name] if c in known), None)
        if line is not None and line.what != UNKNOWN:
            kinds[own.what if own else TWIN].append(name)
            by.add(line.run)
    return Found(
        len(image_ids),
        tuple(kinds[PICTURE]),
        tuple(kinds[TWIN]),
        tuple(sorted(by)),
        tuple(sorted(unknown)),
        unlisted,
    )


def unseen(image_ids: Sequence[str], found: Found) -> np.ndarray:
    """Whether each judged picture is new to the model, bool of shape `(devices,)`."""
    return np.array([name not in found.names for name in image_ids], bool)


def in_words(counts: Counts, split: str = "", *, without: str = "") -> str:
    """One sentence on what a model was trained on; empty where all pictures are new.

    Args:
        counts: how many it was trained on.
        split: what the judged pictures are called.
        without: what its figures are without them, from its semicolon on.

    >>> in_words(Counts(44, 17, 1, "a/b", ["base"], []), "test")
    '18 of 44 test pictures were trained on by base (1 of them as a twin), a/b first'
    """
    what = f"{split} pictures".strip()
    sentences = []
    if counts.count:
        twins = counts.twins
        how = f" ({twins} of them as {'a twin' if twins == 1 else 'twins'})"
        sentences.append(
            f"{counts.count} of {counts.of} {what} were trained on by "
            f"{', '.join(counts.by)}{how if twins else ''}, "
            f"{counts.first} first{without}"
        )
    if counts.unknown:
        sentences.append(
            f"whether {what} were trained on is not known of "
            f"{', '.join(counts.unknown)}"
        )
    if 0 < (lacks := counts.unlisted) < counts.of:
        sentences.append(
            f"of {lacks} of {counts.of} {what} nobody can tell, the list of "
            f"pictures lacks {'it' if lacks == 1 else 'them'}"
        )
    return "; ".join(sentences)
