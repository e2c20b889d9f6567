"""Scores any folder of pictures: a row for each, also for those that cannot be read."""

import collections
import dataclasses
import os
import pathlib
import typing
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files
from nexperia_tf.data import images, progress
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import thresholds

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

ENDINGS = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".gif", ".webp"}
COLUMNS = ("path", "score", "label", "threshold", "problem")


def pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    """Files below `folder` with the ending of a picture, sorted by path.

    Raises:
        errors.BadInput: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise errors.BadInput(f"{folder}: no such folder; name one with pictures.")
    paths = (p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
    paths = sorted(p for p in paths if p.is_file())
    if not paths:
        raise errors.BadInput(
            f"{folder}: holds no picture ({', '.join(sorted(ENDINGS))})."
        )
    return paths


def open_model(model: str | pathlib.Path) -> "export.Served":
    """The SavedModel of a run folder, or that of the folder itself.

    Raises:
        errors.BadInput: there is none, or it does not say what calibration.json says.
    """
    from nexperia_tf.serving import export

    is_run = (pathlib.Path(model) / run_folders.CONFIG).is_file()
    if is_run and (differs := export.disagreement(run_folders.load(model))):
        raise errors.BadInput(differs)
    return export.load(model)


def predict(
    model: "str | pathlib.Path | export.Served",
    folder: str | pathlib.Path,
    *,
    batch_size: int = 32,
    threshold: float | None = None,
) -> Iterator[dict]:
    """Scores every picture below `folder`.

    Args:
        model: a run folder or a SavedModel's, or what `open_model` gave.
        folder: pictures of any size, grey or colour; labels are not needed.
        batch_size: pictures scored at once.
        threshold: replaces the model's own.

    Yields:
        one row for each file, in order of path, with the keys of `COLUMNS`; what
        cannot be read has its `problem` and no score.
    """
    folder = pathlib.Path(folder)
    paths = pictures(folder)
    served = open_model(model) if isinstance(model, str | os.PathLike) else model
    for start in range(0, len(paths), batch_size):
        yield from _rows(served, folder, paths[start : start + batch_size], threshold)


def _rows(
    served: "export.Served",
    folder: pathlib.Path,
    batch: list[pathlib.Path],
    threshold: float | None,
) -> Iterator[dict]:
    used = served.calibration.threshold if threshold is None else threshold
    rows, contents = [], []
    for path in batch:
        row = dict.fromkeys(COLUMNS, "")
        row["path"] = path.relative_to(folder).as_posix()
        # One bad picture fails a whole request: check it before.
        content, row["problem"] = _checked(path, served.facts["channels"])
        if content is not None:
            contents.append(content)
        rows.append(row)
    if contents:
        scores, verdicts = served.score_bytes(contents)
        if threshold is not None:  # compared in float32, as a SavedModel would
            verdicts = run_folders.verdicts(np.float32(scores), np.float32(threshold))
        answers = iter(zip(scores, verdicts))
        for row in rows:
            if not row["problem"]:
                row["score"], row["label"] = next(answers)
                row["threshold"] = used
    yield from rows


def _checked(path: pathlib.Path, channels: int) -> tuple[bytes | None, str]:
    try:
        content = path.read_bytes()
        picture = images.load(content)
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except (images.UnreadableImage, images.UnsupportedImage) as error:
        return None, str(error)
    if channels == 1 and picture.mode == "RGB" and not images.is_grey(picture.pixels):
        return None, "is in colour, but the model has only seen grey pictures"
    return content, ""


def write(path: str | pathlib.Path, rows: list[dict]) -> None:
    """Publishes the rows as a CSV table; scores keep every bit."""
    files.write_csv(path, COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Scores a folder of pictures without labels; writes one row for each file."""

    model: tyro.conf.Positional[str]
    """Run folder, or SavedModel folder."""

    folder: tyro.conf.Positional[str]
    """Folder of pictures (BMP, JPEG, PNG), searched with its subfolders."""

    out: str
    """Table to write: path,score,label,threshold,problem."""

    batch_size: Annotated[int, *bounds.BATCH] = 32
    """Pictures scored at once."""

    threshold: str = ""
    """Score between 0 and 1 from which this table's devices are called defect; the
    model's own threshold when empty."""


def main(arguments: Arguments) -> None:
    """Scores, writes the table and prints a summary."""
    command.import_tensorflow()
    files.check_writable(arguments.out)
    total = len(pictures(pathlib.Path(arguments.folder)))
    threshold = _threshold(arguments.threshold)
    served = open_model(arguments.model)
    rows = list(
        progress.track(
            predict(
                served,
                arguments.folder,
                batch_size=arguments.batch_size,
                threshold=threshold,
            ),
            "Scoring pictures",
            total=total,
        )
    )
    write(arguments.out, rows)
    defects = sum(row["label"] == "defect" for row in rows)
    print(
        f"{arguments.out}: {total} pictures, {defects} called defect, "
        f"{_not_scored(rows)}"
    )
    own = served.calibration
    if threshold is None:
        print(f"In force: {own.words}")
    else:
        here = dataclasses.replace(
            own, threshold=threshold, origin=run_folders.SET, basis="for this table"
        )
        print(f"In this table: {here.words}; the model's own: {own.words}")


def _not_scored(rows: list[dict]) -> str:
    """How many have no score, and the commonest problem; of equals, the first."""
    problems = collections.Counter(row["problem"] for row in rows if row["problem"])
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
