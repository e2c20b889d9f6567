"""Scores any folder of pictures: a row for each, also for those that cannot be read."""

import dataclasses
import pathlib
from collections.abc import Iterator

import tyro
from rich import progress

from nexperia_tf import command, errors, files
from nexperia_tf.data import images

ENDINGS = {".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".gif", ".webp"}
COLUMNS = ("path", "score", "label", "threshold", "problem")


def pictures(folder: pathlib.Path) -> list[pathlib.Path]:
    """Files below `folder` with the ending of a picture, sorted by path.

    Raises:
        errors.BadInput: no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise errors.BadInput(f"{folder}: no such folder; name one with pictures.")
    found = (p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS)
    found = sorted(p for p in found if p.is_file())
    if not found:
        raise errors.BadInput(
            f"{folder}: holds no picture ({', '.join(sorted(ENDINGS))})."
        )
    return found


def predict(
    model: str | pathlib.Path, folder: str | pathlib.Path, *, batch_size: int = 32
) -> Iterator[dict]:
    """Scores every picture below `folder`.

    Args:
        model: a run folder or a SavedModel's.
        folder: pictures of any size, grey or colour; labels are not needed.
        batch_size: pictures scored at once.

    Yields:
        one row for each file, in order of path, with the keys of `COLUMNS`; what
        cannot be read has its `problem` and no score.
    """
    from nexperia_tf import export

    folder = pathlib.Path(folder)
    paths = pictures(folder)
    served = export.load(model)
    for start in range(0, len(paths), batch_size):
        yield from _rows(served, folder, paths[start : start + batch_size])


def _rows(served, folder: pathlib.Path, batch: list[pathlib.Path]) -> Iterator[dict]:
    threshold = served.facts["threshold"]
    rows, contents = [], []
    for path in batch:
        row = dict.fromkeys(COLUMNS, "")
        row["path"] = path.relative_to(folder).as_posix()
        # One bad item fails a whole request: check before sending.
        content, row["problem"] = _checked(path, served.facts["channels"])
        if content is not None:
            contents.append(content)
        rows.append(row)
    if contents:
        answers = iter(zip(*served.score_bytes(contents)))
        for row in rows:
            if not row["problem"]:
                row["score"], row["label"] = next(answers)
                row["threshold"] = threshold
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

    batch_size: int = 32
    """Pictures scored at once."""


def main(arguments: Arguments) -> None:
    """Scores, writes the table and says what was found."""
    command.import_tensorflow()
    files.check_writable(arguments.out)
    total = len(pictures(pathlib.Path(arguments.folder)))
    rows = list(
        progress.track(
            predict(arguments.model, arguments.folder, batch_size=arguments.batch_size),
            total=total,
            description="Scoring",
        )
    )
    write(arguments.out, rows)
    problems = sum(bool(row["problem"]) for row in rows)
    defects = sum(row["label"] == "defect" for row in rows)
    print(
        f"{arguments.out}: {total} pictures, {defects} called defect, "
        f"{problems} not readable"
    )


if __name__ == "__main__":
    command.run(main, Arguments, prog="python -m nexperia_tf.predict")
