"""What a model has learned from, and which judged pictures are among it.

Every run keeps `trained_on.csv`: the pictures it was trained on and their copies and
twins, known by the hash of their pixels, with those of the runs it was initialised
from. Exports, features and forests carry it on, so that no later move, deletion or new
split hides that a test picture was trained on.
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
        group: the picture's lot or other group, where it is known.
    """

    pixel_sha256: str
    what: str
    run: str
    group: str = ""


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """All pictures of a model's training; of two lines on one the first counts."""

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
        lines: dict[str, Line] = {}
        for line in sorted(self.lines, key=lambda line: line.what != PICTURE):
            lines.setdefault(line.pixel_sha256, line)
        return lines


@dataclasses.dataclass(frozen=True)
class Overlap:
    """The judged pictures that a model was trained on.

    Attributes:
        of: how many are judged.
        pictures: those it was trained on, by image id.
        twins: those of which a copy or twin was trained on.
        by: the runs that were.
        unknown: runs that kept no list.
        unlisted: how many the list of pictures lacks, so that nobody can tell.
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

    def counts(self) -> "OverlapCounts":
        """What report.json and metrics.json say of it."""
        return OverlapCounts(
            of=self.of,
            pictures=len(self.pictures),
            twins=len(self.twins),
            first=min(self.names, default=None),
            by=self.by,
            unknown=self.unknown,
            unlisted=self.unlisted,
        )


@dataclasses.dataclass(frozen=True)
class OverlapCounts:
    """How many judged pictures a model was trained on: an `Overlap` in numbers.

    Attributes:
        of: judged pictures.
        pictures, twins: those it was trained on, itself or by a copy or twin.
        first: name of the first of them.
        by: the runs that were.
        unknown: runs that kept no list.
        unlisted: pictures that are on no list.
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
) -> TrainingSet:
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
    return TrainingSet(tuple(lines))


def _ties(row: manifest.Row) -> Iterable[tuple[str, str]]:
    for column in ("cluster", "twin_group"):
        if getattr(row, column):
            yield column, getattr(row, column)


def merged(sets: Iterable[TrainingSet]) -> TrainingSet:
    """What all of them were trained on."""
    lines = dict.fromkeys(line for training_set in sets for line in training_set.lines)
    return TrainingSet(tuple(lines))


def unknown(run: str) -> TrainingSet:
    """What is known of a model that kept no list."""
    return TrainingSet((Line("", UNKNOWN, run),))


def read(path: str | os.PathLike) -> TrainingSet:
    """Reads trained_on.csv.

    Raises:
        errors.BadInput: a column is missing or a line is damaged.
    """
    header = [field.name for field in dataclasses.fields(Line)]
    _, lines = tables.read(pathlib.Path(path), tuple(header))
    for where, cells in lines:
        if cells["what"] not in (PICTURE, TWIN, UNKNOWN):
            raise errors.BadInput(f"{where}: {cells['what']!r} is no kind of picture.")
    return TrainingSet(
        tuple(Line(*(cells[name] for name in header)) for _, cells in lines)
    )


def write(
    path: str | os.PathLike, training_set: TrainingSet, *, groups: bool = True
) -> None:
    """Publishes trained_on.csv; without groups it names no lot."""
    header = [field.name for field in dataclasses.fields(Line)]
    lines = (dataclasses.astuple(line) for line in training_set.lines)
    files.write_csv(
        path, header, (line if groups else (*line[:-1], "") for line in lines)
    )


def of_run(folder: str | os.PathLike) -> TrainingSet:
    """What a run and those before it were trained on.

    Runs of older versions kept no list: their records tell where they are still there,
    and `--init` in their config.json names the run before.
    """
    folder = pathlib.Path(folder)
    name = folder.resolve().name
    if (folder / TRAINED_ON).is_file():
        return read(folder / TRAINED_ON)
    if not (folder / "config.json").is_file():
        return unknown(name)
    path = folder / "config.json"
    config = configs.from_json(files.read_json(path), where=str(path))
    try:
        rows = kept_splits.rows_of(folder)
        own = of_rows(rows, name, without_defects=config.drawn.drawn_only)
    except errors.BadInput:
        own = unknown(name)
    init = config.network.init
    return merged([own, of_run(init)]) if init else own


def of_export(version: pathlib.Path) -> TrainingSet:
    """What an exported model was trained on; exports of older versions do not say."""
    if (version / EXPORTED).is_file():
        return read(version / EXPORTED)
    return unknown(str(version))


@dataclasses.dataclass(frozen=True)
class PictureHashes:
    """Hashes by which pictures are known, whatever they are called.

    Attributes:
        own: hash of its pixels by image id.
        tied: hashes of its copies and twins by image id.
    """

    own: Mapping[str, str]
    tied: Mapping[str, Sequence[str]]


def hashes_of_rows(rows: Sequence[manifest.Row]) -> PictureHashes:
    """Hashes of the pictures of a manifest."""
    hashes_by_tie = collections.defaultdict(list)
    for row in rows:
        for tie in _ties(row):
            hashes_by_tie[tie].append(row.pixel_sha256)
    return PictureHashes(
        {row.image_id: row.pixel_sha256 for row in rows},
        {
            row.image_id: [c for t in _ties(row) for c in hashes_by_tie[t]]
            for row in rows
        },
    )


def hashes_of_run(folder: str | os.PathLike) -> PictureHashes | None:
    """Hashes of the devices of a run or a forest; None where it kept no list."""
    try:
        return hashes_of_rows(kept_splits.rows_of(folder))
    except errors.BadInput:
        return None


def overlap(
    image_ids: Sequence[str], hashes: PictureHashes | None, training_set: TrainingSet
) -> Overlap:
    """Which of the judged pictures a model was trained on.

    Args:
        image_ids: the judged pictures.
        hashes: of their pixels; None where only their names are known.
        training_set: what the model was trained on.
    """
    trained, kinds, by = training_set.by_content(), {PICTURE: [], TWIN: []}, set()
    unknown = set(training_set.unknown)
    listed = [name for name in image_ids if hashes is not None and name in hashes.own]
    unlisted = len(image_ids) - len(listed) if training_set.lines else 0
    if not listed:
        unknown = {line.run for line in training_set.lines}
    for name in listed:
        own = trained.get(hashes.own[name])
        line = own or next(
            (trained[c] for c in hashes.tied[name] if c in trained), None
        )
        if line is not None and line.what != UNKNOWN:
            kinds[own.what if own else TWIN].append(name)
            by.add(line.run)
    return Overlap(
        len(image_ids),
        tuple(kinds[PICTURE]),
        tuple(kinds[TWIN]),
        tuple(sorted(by)),
        tuple(sorted(unknown)),
        unlisted,
    )


def is_new(image_ids: Sequence[str], overlap: Overlap) -> np.ndarray:
    """Whether each judged picture is new to the model, bool of shape `(devices,)`."""
    return np.array([name not in overlap.names for name in image_ids], bool)


def described(counts: OverlapCounts, split: str = "", *, without: str = "") -> str:
    """One sentence on what a model was trained on; empty where all pictures are new.

    Args:
        counts: how many it was trained on.
        split: what the judged pictures are called.
        without: what its figures are without them, from its semicolon on.

    >>> described(OverlapCounts(44, 17, 1, "a/b", ["base"], []), "test")
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
