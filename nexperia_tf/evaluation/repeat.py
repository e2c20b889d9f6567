"""`nexperia repeat`: pictures as they are and changed a little; verdicts that flip."""

import dataclasses
import itertools
import pathlib
import typing
from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files, labels, preprocess, sizes
from nexperia_tf.data import limits, progress
from nexperia_tf.data.raw import layouts, listing
from nexperia_tf.evaluation import repeatability
from nexperia_tf.evaluation.report import formats
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import predict, score_table

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

STEP = "Scoring changed pictures"
UNCHANGED = "as it is"
COLUMNS = ("path", "kind", "change", "score", "label", "flipped")
AT_ONCE = 4  # pictures, each with all its changes


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Scores pictures as they are and changed a little; counts verdicts that flip."""

    model: tyro.conf.Positional[str]
    """Run folder, or SavedModel folder."""

    folder: tyro.conf.Positional[str]
    """Folder of pictures. Where it has a labels.csv or a folder for each class, flips
    are counted by kind of defect, too."""

    out: str = ""
    """Table to write, a row for each picture and change:
    path,kind,change,score,label,flipped."""

    threshold: Annotated[float | None, *bounds.SHARE] = None
    """Score from which a device is called defect; the model's own when not given."""

    good: str = ""
    """Which class is the good one (default: good, ok or pass)."""

    limit: Annotated[int, *bounds.within(ge=0, le=10**9)] = 0
    """Most pictures to look at, drawn by chance but the same each time; 0 takes all."""

    max_pixels: Annotated[int, *bounds.MAX_PIXELS] = limits.MAX_PIXELS
    """A picture with more pixels than this is not read."""

    force: bool = False
    """Replace a table that exists."""

    trust: bool = False
    """Run a SavedModel that no MANIFEST.sha256 vouches for: it is a program."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """Pictures that could be read, with their scores.

    Attributes:
        names: their paths.
        scores: shape `(pictures, 1 + changes)`, as `repeatability.variants` orders.
        problems: what could not be read, path -> why.
    """

    names: list[str]
    scores: np.ndarray
    problems: dict[str, str]


def main(arguments: Arguments) -> int:
    """Scores, writes the table and prints what flips."""
    if arguments.out:
        score_table.check_table(arguments.out, force=arguments.force)
    found = predict.pictures(arguments.folder)
    names = _drawn(found.named, arguments.limit)
    kinds = kinds_of(arguments.folder, arguments.good)
    command.import_tensorflow()
    served = predict.open_model(arguments.model, trust=arguments.trust)
    threshold = arguments.threshold
    if threshold is None:
        threshold = served.calibration.threshold
    scored = _scored(served, found, names, arguments.max_pixels)
    if not scored.names:
        name, problem = next(iter(scored.problems.items()))
        raise errors.BadInput(
            f"{arguments.folder}: no picture could be read; {name} {problem}."
        )
    judged = repeatability.judge(
        scored.scores,
        np.float32(threshold),  # compared in float32, as a SavedModel would
        kinds=[kinds.get(name, "") for name in scored.names] if kinds else None,
    )
    if arguments.out:
        files.write_csv(arguments.out, COLUMNS, _rows(scored, kinds, judged.threshold))
    for line in lines(judged, scored.problems):
        print(line)
    return 0


def _drawn(names: list[str], limit: int) -> list[str]:
    if not limit or len(names) <= limit:
        return list(names)
    drawn = np.random.default_rng(0).permutation(len(names))[:limit]
    return [names[place] for place in sorted(drawn)]


def kinds_of(folder: str | pathlib.Path, good: str = "") -> dict[str, str]:
    """Kind of each labelled picture by its path: good, its defect type, or defect.

    Empty where the folder says no classes.

    Raises:
        errors.BadInput: `good` names none of its classes.
    """
    try:
        rows = layouts.scan(pathlib.Path(folder), good=good).rows
    except errors.BadInput:
        if good:
            raise
        return {}
    return {row.path: _kind(row) for row in rows if row.label != ""}


def _kind(row) -> str:
    return labels.GOOD if row.label == labels.GOOD else row.defect_type or labels.DEFECT


def _scored(
    served: "export.Served", found: listing.Listing, names: list[str], max_pixels: int
) -> Scored:
    from nexperia_tf.serving import scoring

    size = served.image_size
    pixels = scoring.pixels_of(served, found, max_pixels)

    def canvases(name: str) -> tuple[str, list[np.ndarray], str]:
        picture, problem = pixels(name)
        if problem:
            return name, [], problem
        return name, _canvases(picture, size), ""

    kept, scores, problems = [], [], {}
    with progress.reporting() as report:
        report(STEP, 0, len(names))
        changed = scoring.in_threads(canvases, names, 2 * AT_ONCE)
        while batch := list(itertools.islice(changed, AT_ONCE)):
            problems |= {name: problem for name, _, problem in batch if problem}
            read = [
                (name, pictures) for name, pictures, problem in batch if not problem
            ]
            if read:
                kept += [name for name, _ in read]
                shown = np.stack([each for _, pictures in read for each in pictures])
                found_scores, _ = served.score_pixels(shown)
                scores += found_scores
            report(STEP, len(kept) + len(problems), len(names))
    columns = 1 + len(repeatability.CHANGES)
    return Scored(kept, np.reshape(scores, (-1, columns)), problems)


def _canvases(picture: np.ndarray, size: sizes.Size) -> list[np.ndarray]:
    changed = repeatability.variants(picture)
    return [preprocess.letterbox_pixels(pixels, size) for pixels in changed]


def scores_of(served: "export.Served", pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Scores of pictures as they are and changed, shape `(pictures, 1 + changes)`.

    Args:
        served: the model.
        pictures: uint8 arrays of shape `(height, width, channels)`.
    """
    pictures, scores = iter(pictures), []
    while batch := list(itertools.islice(pictures, AT_ONCE)):
        shown = [c for picture in batch for c in _canvases(picture, served.image_size)]
        scores += served.score_pixels(np.stack(shown))[0]
    return np.reshape(scores, (-1, 1 + len(repeatability.CHANGES)))


def _rows(scored: Scored, kinds: dict[str, str], threshold: float) -> Iterator[tuple]:
    changes = (UNCHANGED, *repeatability.CHANGES)
    for name, scores in zip(scored.names, scored.scores):
        verdicts = run_folders.verdicts(scores, threshold)
        for change, score, verdict in zip(changes, scores, verdicts):
            flipped = int(verdict != verdicts[0])
            yield name, kinds.get(name, ""), change, float(score), verdict, flipped


def lines(
    judged: repeatability.Repeatability, problems: dict[str, str]
) -> Iterator[str]:
    """What flips, for people."""
    width = max(len(name) for name in (*repeatability.CHANGES, repeatability.ANY))
    yield f"{'change':{width}}  flips  share (95 %)               kappa  largest change"
    for row in judged.changes:
        flips = row.to_defect + row.to_good
        share = f"{formats.share(row.share.value)} ({formats.limits(row.share)})"
        kappa = "" if row.kappa is None else f"{row.kappa:.3f}"
        yield (
            f"{row.change:{width}}  {flips:5}  {share:25}  {kappa:5}  {row.largest:.3g}"
        )
    for kind in judged.kinds:
        most = f", most when {kind.most}" if kind.most else ""
        yield (
            f"{kind.kind}: {kind.flips} of {kind.n} flip "
            f"({formats.limits(kind.share)}){most}"
        )
    for name, problem in problems.items():
        yield f"not scored: {name} {problem}"
    yield judged.said
