"""A golden set: a folder of pictures with the verdict that each must always get.

    golden/golden.csv             a line for each picture (`evaluation.golden`)
    golden/pictures/SHA256.png    the pictures themselves, named by their content

A picture is known by its pixels: the same photograph in another file format is the same
golden picture.
"""

import dataclasses
import datetime
import getpass
import hashlib
import os
import pathlib
import re
import typing
from collections.abc import Iterator, Sequence

from nexperia_tf import errors, files, labels, locks
from nexperia_tf.data import images, limits
from nexperia_tf.data.raw import listing
from nexperia_tf.evaluation import golden
from nexperia_tf.runs import training_pictures
from nexperia_tf.serving import predict

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

PICTURES = "pictures"
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Added:
    """What adding has done.

    Attributes:
        new: how many pictures were added.
        there: how many were golden before, with the same verdict.
        lines: the whole set now.
    """

    new: int
    there: int
    lines: tuple[golden.Line, ...]


def user() -> str:
    """Who is at work, as the system knows them; "" where it does not."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user, no such variable
        return ""


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read(folder: str | os.PathLike) -> tuple[golden.Line, ...]:
    """The lines of a golden set; none where the folder is not there yet.

    Raises:
        errors.BadInput: the folder holds other things, or a line is damaged.
    """
    folder = pathlib.Path(folder)
    table = folder / golden.NAME
    if table.is_file():
        lines = golden.read(table)
        if any(not line.pixel_sha256 for line in lines):
            raise errors.BadInput(
                f"{table}: is a list by name, without pictures; name another folder "
                "for a golden set."
            )
        return lines
    if folder.exists() and not (folder.is_dir() and _is_begun(folder)):
        raise errors.BadInput(
            f"{folder}: holds no {golden.NAME}; name a golden set or a new folder."
        )
    return ()


def _is_begun(folder: pathlib.Path) -> bool:
    """Whether it is empty, or holds what adding left when it was cut off."""
    if any(path.name != PICTURES for path in folder.iterdir()):
        return False
    names = [path.name.lstrip(".") for path in (folder / PICTURES).glob("*")]
    return all(re.match("[0-9a-f]{64}", name) for name in names)


def add(
    folder: str | os.PathLike,
    named: Sequence[str | os.PathLike],
    verdict: str,
    *,
    note: str = "",
    who: str = "",
) -> Added:
    """Copies pictures into a golden set; adding one again changes nothing.

    Args:
        folder: the golden set, made where it is not there.
        named: pictures, and folders of pictures.
        verdict: `good` or `defect`, what each must always be called.
        note: why they are golden.
        who: who says so.

    Raises:
        errors.BadInput: a picture cannot be read, or is golden with the other verdict;
            nothing has been added.
    """
    folder = pathlib.Path(folder)
    with locks.held(folder):
        before = read(folder)
        known = {line.pixel_sha256: line for line in before}
        new: dict[str, tuple[pathlib.Path, golden.Line]] = {}
        there, when = 0, now()
        for name, path in _pictures(named):
            line = _line(name, path, verdict)
            line = dataclasses.replace(line, note=note, who=who, when=when)
            same = known.get(line.pixel_sha256)
            if same and same.verdict != verdict:
                raise _conflict(path, same, folder)
            there += bool(same) or line.pixel_sha256 in new
            if not same:
                new.setdefault(line.pixel_sha256, (path, line))
        lines = (*before, *(line for _, line in new.values()))
        if new:
            (folder / PICTURES).mkdir(parents=True, exist_ok=True)
            for path, line in new.values():
                files.write_bytes(folder / line.file, path.read_bytes())
            rows = map(dataclasses.astuple, lines)
            files.write_csv(folder / golden.NAME, golden.COLUMNS, rows)
    return Added(len(new), there, lines)


def _conflict(
    path: pathlib.Path, same: golden.Line, folder: pathlib.Path
) -> errors.BadInput:
    by = f" by {same.who}" if same.who else ""
    return errors.BadInput(
        f"{path}: is golden as {same.verdict} already ({same.image_id}{by}, "
        f"{same.when}); a picture has one verdict: leave it out, or take its line out "
        f"of {folder / golden.NAME} first."
    )


def _pictures(
    named: Sequence[str | os.PathLike],
) -> Iterator[tuple[str, pathlib.Path]]:
    """Name and file of each picture; a folder stands for all below it."""
    for each in map(pathlib.Path, named):
        if not each.is_dir():
            yield each.name, each
            continue
        found = predict.pictures(each)
        for name in found.named:
            if name in found.problems:
                raise errors.BadInput(f"{each}/{name}: {found.problems[name]}.")
            yield name, found.path(name)


def hashes_of(path: pathlib.Path) -> tuple[str, str]:
    """Hex SHA-256 of a picture's file, and of its pixels as a manifest has it.

    Raises:
        errors.BadInput: it cannot be read.
    """
    try:
        content = path.read_bytes()
        picture = images.load(content, max_pixels=limits.MAX_PIXELS)
    except FileNotFoundError:
        raise errors.BadInput(
            f"{path}: no such file; name pictures or folders of pictures."
        ) from None
    except (images.UnreadableImage, images.UnsupportedImage) as error:
        raise errors.BadInput(f"{path}: {error}.") from None
    return hashlib.sha256(content).hexdigest(), images.pixel_hash(picture.native)


def _line(name: str, path: pathlib.Path, verdict: str) -> golden.Line:
    digest, pixels = hashes_of(path)
    return golden.Line(
        image_id=name,
        verdict=verdict,
        pixel_sha256=pixels,
        sha256=digest,
        file=f"{PICTURES}/{digest}{path.suffix.lower()}",
    )


@dataclasses.dataclass(frozen=True)
class Asked:
    """A model's verdict on one golden picture.

    Attributes:
        line: the picture.
        score: probability of defect.
        label: what the model calls it.
    """

    line: golden.Line
    score: float
    label: str

    @property
    def changed(self) -> bool:
        return self.label != self.line.verdict

    @property
    def escapes(self) -> bool:
        """Whether it is a defect that the model lets pass."""
        return self.changed and self.line.verdict == labels.DEFECT


@dataclasses.dataclass(frozen=True)
class Checked:
    """A model's verdicts on a golden set.

    Attributes:
        asked: one for each picture, in the order of the set.
        trained_on: how many of them the model has learned from, or from a twin.
    """

    asked: tuple[Asked, ...]
    trained_on: int

    @property
    def changed(self) -> tuple[Asked, ...]:
        return tuple(each for each in self.asked if each.changed)


def check(served: "export.Served", folder: str | os.PathLike) -> Checked:
    """Asks a model for its verdict on every picture of a golden set.

    Raises:
        errors.BadInput: the set is empty, a picture is not what was added, or the model
            cannot score it.
    """
    folder = pathlib.Path(folder)
    lines = read(folder)
    if not lines:
        raise errors.BadInput(
            f"{folder}: holds no golden set; make one with nexperia golden add."
        )
    for line in lines:
        _check_content(folder / line.file, line)
    rows = _scored(served, folder, lines)
    trained = training_pictures.of_export(served.folder).by_content()
    return Checked(
        tuple(
            Asked(line, rows[line.file]["score"], rows[line.file]["label"])
            for line in lines
        ),
        sum(line.pixel_sha256 in trained for line in lines),
    )


def _check_content(path: pathlib.Path, line: golden.Line) -> None:
    if not path.is_file():
        raise errors.BadInput(f"{path}: named by {golden.NAME} but missing; add again.")
    if files.sha256(path) != line.sha256:
        raise errors.BadInput(
            f"{path}: is not the picture that was added ({line.image_id}); restore it."
        )


def _scored(
    served: "export.Served", folder: pathlib.Path, lines: Sequence[golden.Line]
) -> dict[str, dict]:
    from nexperia_tf.serving import scoring

    found = listing.Listing(folder, [line.file for line in lines], {}, {})
    batches = scoring.batches(served, found, found.files, batch_size=BATCH)
    rows = {row["path"]: row for batch in batches for row in batch}
    for line in lines:
        if problem := rows[line.file]["problem"]:
            raise errors.BadInput(
                f"{folder / line.file}: golden picture {line.image_id} cannot be "
                f"scored by {served.folder}: {problem}."
            )
    return rows
