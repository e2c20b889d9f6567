"""Scores any folder of pictures: a row for each, also for those that cannot be read."""

import collections
import dataclasses
import os
import pathlib
import sys
import typing
from collections.abc import Iterator
from typing import Annotated

import tyro

from nexperia_tf import bounds, command, errors, files
from nexperia_tf.data import limits, progress
from nexperia_tf.data.raw import listing, masks
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import score_table, thresholds

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export, scoring

SCHEMA = 1  # of what a job that can be resumed was told
STEP = "Scoring pictures"
BatchSize = Annotated[int, *bounds.BATCH]
MaxPixels = Annotated[int, *bounds.MAX_PIXELS]


def pictures(folder: str | os.PathLike) -> listing.Listing:
    """What lies below `folder`: the files that `nexperia prepare` would look at, too.

    Masks of pictures are no pictures here either.

    Raises:
        errors.BadInput: no such folder, or no file in it.
    """
    if not pathlib.Path(folder).is_dir():
        raise errors.BadInput(f"{folder}: no such folder; name one with pictures.")
    found = masks.set_apart(listing.files(folder))
    if not found.named:
        left_out = listing.in_words(found.left_out) or "it is empty"
        raise errors.BadInput(f"{folder}: holds no picture; {left_out}.")
    return found


def open_model(model: str | pathlib.Path, *, trust: bool = False) -> "export.Served":
    """The SavedModel of a run folder, or that of the folder itself; see `export.load`.

    Raises:
        errors.BadInput: there is none, or it does not say what calibration.json says.
    """
    from nexperia_tf.serving import export

    is_run = (pathlib.Path(model) / run_folders.CONFIG).is_file()
    if is_run and (differs := export.disagreement(run_folders.load(model))):
        raise errors.BadInput(differs)
    return export.load(model, trust=trust)


def predict(
    model: "str | pathlib.Path | export.Served",
    folder: str | pathlib.Path,
    *,
    batch_size: int = 32,
    threshold: float | None = None,
    max_pixels: int = limits.MAX_PIXELS,
) -> Iterator[dict]:
    """Scores every picture below `folder`.

    Args:
        model: a run folder or a SavedModel's, or what `open_model` gave.
        folder: pictures of any size, grey or colour; labels are not needed.
        batch_size: pictures scored at once.
        threshold: replaces the model's own.
        max_pixels: a picture with more is not read.

    Yields:
        one row for each file, in order of path, with the keys of
        `score_table.COLUMNS`; what cannot be read has its `problem` and no score.

    Raises:
        errors.BadInput: the model, the folder or a number cannot be used.
    """
    for name, value, kind in (
        ("batch_size", batch_size, BatchSize),
        ("max_pixels", max_pixels, MaxPixels),
    ):
        if said := bounds.problem(value, kind):
            raise errors.BadInput(f"{name} {value}: {said}.")
    found = pictures(folder)
    served = open_model(model) if isinstance(model, str | os.PathLike) else model
    from nexperia_tf.serving import scoring

    scored = scoring.batches(
        served,
        found,
        found.named,
        batch_size=batch_size,
        threshold=threshold,
        max_pixels=max_pixels,
    )
    for rows in scored:
        yield from rows


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Scores a folder of pictures without labels; writes one row for each file."""

    model: tyro.conf.Positional[str]
    """Run folder, or SavedModel folder."""

    folder: tyro.conf.Positional[str]
    """Folder of pictures, searched with its subfolders; masks beside them are left
    out."""

    out: str
    """Table to write: path,score,label,threshold,problem; - for standard output."""

    batch_size: BatchSize = 32
    """Pictures scored at once."""

    threshold: str = ""
    """Score between 0 and 1 from which this table's devices are called defect; the
    model's own threshold when empty."""

    max_pixels: MaxPixels = limits.MAX_PIXELS
    """A picture with more pixels than this is not read."""

    resume: bool = False
    """Go on from the rows that a killed job has left beside --out."""

    force: bool = False
    """Replace a table that exists, and rows that a killed job has left."""

    trust: bool = False
    """Run a SavedModel that no MANIFEST.sha256 vouches for: it is a program."""


def main(arguments: Arguments) -> int:
    """Scores, writes the table and prints a summary."""
    score_table.check(arguments.out, resume=arguments.resume, force=arguments.force)
    threshold = _threshold(arguments.threshold)
    found = pictures(arguments.folder)
    command.import_tensorflow()
    served = open_model(arguments.model, trust=arguments.trust)
    try:
        table, times = _scored(arguments, served, found, threshold)
    except BrokenPipeError:  # whoever read the rows has seen enough
        return command.CLOSED_PIPE
    rows_there = arguments.out == score_table.STANDARD_OUTPUT
    lines = _summary(arguments.out, table, times, served.calibration, threshold)
    for line in filter(None, (*lines, listing.in_words(found.left_out))):
        print(line, file=sys.stderr if rows_there else sys.stdout)
    return 0


def _scored(
    arguments: Arguments,
    served: "export.Served",
    found: listing.Listing,
    threshold: float | None,
) -> "tuple[score_table.Table, scoring.Times]":
    """Writes the table; what is in it already is not scored again."""
    from nexperia_tf.serving import scoring

    times = scoring.Times()
    settings = _settings(arguments, served, found.folder, threshold)
    with (
        score_table.written(
            arguments.out, settings, found.named, resume=arguments.resume
        ) as table,
        progress.reporting() as report,
    ):
        names = [name for name in found.named if name not in table.seen]
        total = table.rows + len(names)
        report(STEP, table.rows, total)
        for rows in scoring.batches(
            served,
            found,
            names,
            batch_size=arguments.batch_size,
            threshold=threshold,
            max_pixels=arguments.max_pixels,
            times=times,
        ):
            table.append(rows)
            report(STEP, table.rows, total)
    return table, times


def _settings(
    arguments: Arguments,
    served: "export.Served",
    folder: pathlib.Path,
    threshold: float | None,
) -> dict:
    """All that a row depends on but its file."""
    return {
        "schema": SCHEMA,
        "folder": str(folder.resolve()),
        "model": files.fingerprint(served.folder),
        "threshold": served.calibration.threshold if threshold is None else threshold,
        "batch_size": arguments.batch_size,
        "max_pixels": arguments.max_pixels,
    }


def _summary(
    out: str,
    table: "score_table.Table",
    times: "scoring.Times",
    own: run_folders.Calibration,
    threshold: float | None,
) -> Iterator[str]:
    yield (
        f"{out}: {table.rows} pictures, {table.defects} called defect, "
        f"{_not_scored(table.problems)}"
    )
    yield f"Scored {table.rows - len(table.seen)} pictures {times}"
    yield _unlike(times.unfamiliar)
    if threshold is None:
        yield f"In force: {own.words}"
    else:
        here = dataclasses.replace(
            own, threshold=threshold, origin=run_folders.SET, basis="for this table"
        )
        yield f"In this table: {here.words}; the model's own: {own.words}"


def _unlike(unfamiliar: dict[str, float]) -> str:
    """What was met that training has not shown the model, or ""."""
    if not unfamiliar:
        return ""
    worst = sorted(unfamiliar, key=unfamiliar.get, reverse=True)
    shown = ", ".join(
        f"{name} ({unfamiliar[name]:.1f} times the limit)" for name in worst[:3]
    )
    who = "1 picture is" if len(worst) == 1 else f"{len(worst)} pictures are"
    return (
        f"{who} unlike those the model was trained on; a verdict on it says little: "
        f"{shown}{', ...' if len(worst) > 3 else ''}"
    )


def _not_scored(problems: collections.Counter) -> str:
    """How many have no score, and the commonest problem; of equals, the first."""
    line = f"{problems.total()} not scored"
    for commonest, count in problems.most_common(1):
        line += f": {count} x {commonest}"
    return line


def _threshold(text: str) -> float | None:
    if not text:
        return None
    wanted = thresholds.asked(text, flag="--threshold")
    if wanted.threshold is None:
        raise errors.BadInput(
            f"--threshold {text}: a table of pictures without labels has no catch "
            f"rate; store one by nexperia evaluate RUN --set-threshold {text}."
        )
    return wanted.threshold
