"""`nexperia drift`: whether pictures are still like those a model was judged on."""

import dataclasses
import itertools
import pathlib
import typing
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files, preprocess
from nexperia_tf.data import limits, progress
from nexperia_tf.data.raw import listing
from nexperia_tf.drift import (
    judging,
    lots,
    measure,
    page,
    pictures,
    reference,
    results,
    words,
)
from nexperia_tf.serving import predict

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

STEP = "Measuring pictures"
SHOWN = 8  # pictures of the window on the page
JSON, HTML = "drift.json", "drift.html"
_TOGETHER = 32  # pictures that the network sees at once


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Tells whether pictures have changed since a model was trained, and how."""

    model: tyro.conf.Positional[str]
    """Run folder, or SavedModel folder."""

    folder: tyro.conf.Positional[str]
    """Folder of pictures of a shift, a day or a week: eight lots or more, 500 pictures.
    Labels are not needed."""

    out: str = ""
    """Folder to make, for drift.html and drift.json."""

    reference: str = ""
    """Folder of pictures that were fine, to compare with in place of those of the
    training."""

    lots: Literal["names", "folders", "each"] = "names"
    """What tells the lot of a picture: its name or a labels.csv (columns group or lot),
    the folder that it lies in, or nothing: each picture was taken alone."""

    false_alarms: Annotated[float, *bounds.SHARE] = judging.FALSE_ALARMS
    """Chance of saying that something has changed when nothing has."""

    looks: Annotated[int, *bounds.within(ge=1, le=1_000_000)] = 1
    """How often you will look while that chance holds for all looks together: 365 for a
    look a day through a year."""

    max_pixels: Annotated[int, *bounds.MAX_PIXELS] = limits.MAX_PIXELS
    """A picture with more pixels than this is not read."""

    trust: bool = False
    """Run a SavedModel that no MANIFEST.sha256 vouches for: it is a program."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """A folder's pictures.

    Attributes:
        names: paths of those that could be read.
        pictures: the same, measured.
        problems: what could not be read, path -> why.
        canvas: from a name to its letterboxed pixels.
    """

    names: list[str]
    pictures: pictures.Pictures
    problems: dict[str, str]
    canvas: typing.Callable[[str], np.ndarray]


def main(arguments: Arguments) -> int:
    """Measures, judges, writes the page and prints what changed."""
    if arguments.out:
        files.refuse_existing(arguments.out)
        files.check_writable(arguments.out)
    found = predict.pictures(arguments.folder)
    fine = predict.pictures(arguments.reference) if arguments.reference else None
    command.import_tensorflow()
    served = predict.open_model(arguments.model, trust=arguments.trust)
    kept = None if fine else _kept(served)
    if fine:
        before = _measured(served, fine, arguments)
        known, than = before.pictures, f"in {arguments.reference}"
    else:
        known = kept.pictures(served.calibration)
        than = "when the model was trained"
    new, channels = _measured(served, found, arguments), served.facts["channels"]
    drift = _judged(served, known, new, arguments)
    if arguments.out:
        shown = _examples(before) if fine else kept.thumbnails
        _write(arguments, drift, than, shown, new, measure.names(channels))
    for line in _lines(drift, than, new, arguments):
        print(line)
    return 0


def of_model(served: "export.Served", arguments: Arguments) -> judging.Drift:
    """Compares a folder with the pictures that a model brings along.

    Raises:
        errors.BadInput: it brings none, or no picture of the folder can be read.
    """
    known = _kept(served).pictures(served.calibration)
    found = predict.pictures(arguments.folder)
    return _judged(served, known, _measured(served, found, arguments), arguments)


def _judged(
    served: "export.Served",
    known: pictures.Pictures,
    new: Measured,
    arguments: Arguments,
) -> judging.Drift:
    return judging.judge(
        known,
        new.pictures,
        threshold=served.calibration.threshold,
        channels=served.facts["channels"],
        false_alarms=arguments.false_alarms / arguments.looks,
        each_alone=arguments.lots == lots.EACH,
    )


def _kept(served: "export.Served") -> reference.Reference:
    """The pictures that a model brings along.

    Raises:
        errors.BadInput: it brings none.
    """
    kept = reference.of_export(served.folder)
    if kept is None:
        raise errors.BadInput(
            f"{served.folder}: keeps no pictures to compare with: it is an ensemble or "
            "was trained by an older version; name a folder of pictures that were "
            "fine: --reference FOLDER."
        )
    return kept


def _measured(
    served: "export.Served", found: listing.Listing, arguments: Arguments
) -> Measured:
    from nexperia_tf.serving import scoring

    told = lots.of_folder(found, by=arguments.lots)
    pixels = scoring.pixels_of(served, found, arguments.max_pixels)

    def canvas(name: str) -> np.ndarray:
        return preprocess.letterbox_pixels(pixels(name)[0], served.image_size)

    def measured(name: str) -> tuple:
        picture, problem = pixels(name)
        if problem:
            return name, None, None, problem
        boxed = preprocess.letterbox_pixels(picture, served.image_size)
        return name, boxed, measure.of_canvas(boxed), ""

    rows, problems = [], {}
    with progress.reporting() as report:
        work = scoring.in_threads(measured, found.named, 2 * _TOGETHER)
        report(STEP, 0, len(found.named))
        while batch := list(itertools.islice(work, _TOGETHER)):
            problems |= {name: problem for name, *_, problem in batch if problem}
            read = [each for each in batch if not each[-1]]
            if read:
                rows += _rows(served, read, told)
            report(STEP, len(rows) + len(problems), len(found.named))
    if not rows:
        name, problem = next(iter(problems.items()))
        raise errors.BadInput(
            f"{found.folder}: no picture could be read; {name} {problem}."
        )
    names, *columns = zip(*rows)
    numbers, score, unfamiliar, lot, machine = map(np.array, columns)
    return Measured(
        list(names),
        pictures.Pictures(
            numbers.astype(np.float32),
            score.astype(np.float32),
            unfamiliar.astype(np.float32),
            lot,
            machine,
            np.zeros(len(names), bool),
        ),
        problems,
        canvas,
    )


def _rows(served: "export.Served", read: list[tuple], told: dict) -> list[tuple]:
    """Name, numbers, score, distance, lot and machine of each picture."""
    answers = served.answers(np.stack([boxed for _, boxed, _, _ in read]))
    unknown = np.full(len(read), np.nan)
    distances = answers.get("unfamiliar", unknown)
    return [
        (name, numbers, score, distance, *told[name])
        for (name, _, numbers, _), score, distance in zip(
            read, answers["score"], distances
        )
    ]


def _examples(measured: Measured) -> list[np.ndarray]:
    """A few pictures, far from one another."""
    step = max(1, len(measured.names) // SHOWN)
    return [measured.canvas(name) for name in measured.names[::step][:SHOWN]]


def _typical(
    measured: Measured, drift: judging.Drift, names: Sequence[str]
) -> list[str]:
    """Names of pictures that show what changed most, each as its lots do."""
    if not drift.changes:
        step = max(1, len(measured.names) // SHOWN)
        return measured.names[::step][:SHOWN]
    first, shown = drift.changes[0], measured.pictures
    values = {
        judging.CALLED_DEFECT: -shown.score,
        judging.SCORE: -shown.score,
        judging.UNFAMILIAR: -shown.unfamiliar,
    }.get(first.name)
    if values is None:
        place = names.index(first.name)
        values = np.abs(shown.numbers[:, place] - first.now)
    return [measured.names[place] for place in np.argsort(values)[:SHOWN]]


def _write(
    arguments: Arguments,
    drift: judging.Drift,
    than: str,
    before: Sequence[np.ndarray],
    new: Measured,
    names: Sequence[str],
) -> None:
    found = {"model": arguments.model, "folder": arguments.folder}
    with files.new_folder(arguments.out) as partial:
        files.write_json(partial / JSON, found | results.as_json(drift, than=than))
        page.write(
            partial / HTML,
            drift,
            than=than,
            title=f"Drift of {arguments.folder}",
            before=list(before),
            now=[(name, new.canvas(name)) for name in _typical(new, drift, names)],
        )


def _lines(
    drift: judging.Drift, than: str, new: Measured, arguments: Arguments
) -> typing.Iterator[str]:
    yield f"drift: {drift.state}"
    yield words.said(drift, than=than)
    for change in drift.changes[: words.MOST]:
        yield f"- {words.of_change(change, than=than)}; check {words.check(change)}"
    if (more := len(drift.changes) - words.MOST) > 0:
        yield f"- {more} more numbers"
    if not drift.lots and arguments.lots == lots.NAMES:
        yield (
            "Name the lots in a labels.csv (path,lot), lay each in a folder and pass "
            "--lots folders, or pass --lots each if every picture was taken alone."
        )
    if drift.unlotted and drift.lots:
        yield (
            f"{drift.unlotted} pictures are of no lot, or of one with fewer than "
            f"{pictures.FEWEST_IN_LOT}, and are left out."
        )
    if drift.left_out:
        yield (
            f"{words.lots(drift.left_out)} of machines that the pictures before do not "
            "know are left out."
        )
    if new.problems:
        name, problem = next(iter(new.problems.items()))
        yield f"{len(new.problems)} files could not be read: {name} {problem}"
    if arguments.out:
        yield f"Page: {pathlib.Path(arguments.out) / HTML}"
