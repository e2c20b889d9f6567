"""Files to scores: threads read and decode pictures while the network works.

A picture is decoded by `data.images`, as `nexperia prepare` does, and laid on its
canvas by the same letterbox that the SavedModel holds; its signature of pixels then has
nothing to change, whatever the shapes in a batch.
"""

import collections
import concurrent.futures
import dataclasses
import itertools
import os
import time
import typing
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from nexperia_tf import preprocess
from nexperia_tf.data import images
from nexperia_tf.data.raw import listing
from nexperia_tf.runs import run_folders
from nexperia_tf.serving.score_table import COLUMNS

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

NO_RANGE = (
    "has 16 bits, but the model was trained on 8: convert it as the training pictures "
    "were, or train with --depth-range LOW HIGH"
)
_THREADS = 16  # more would only wait for one another


@dataclasses.dataclass
class Times:
    """Where the time went, in seconds, and which pictures were met that are unlike.

    Attributes:
        waited: the network for pictures.
        total: from the first picture's file to the last one's score.
        unfamiliar: pictures unlike those the model was trained on, path -> distance
            over the limit, 1 or more; empty of models that do not say.
    """

    waited: float = 0.0
    total: float = 0.0
    unfamiliar: dict[str, float] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """
        >>> str(Times(waited=1, total=4))
        'in 4.0 s, of which the network waited 25 % for pictures'
        """
        share = self.waited / self.total if self.total else 0
        return (
            f"in {self.total:.1f} s, of which the network waited {share:.0%} for "
            "pictures"
        ).replace("%", " %")


def batches(
    served: "export.Served",
    found: listing.Listing,
    names: Iterable[str],
    *,
    batch_size: int,
    threshold: float | None = None,
    max_pixels: int = images.MAX_PIXELS,
    times: Times | None = None,
) -> Iterator[list[dict]]:
    """Rows of so many files at a time, in the order of `names`.

    Args:
        served: the model.
        found: the folder.
        names: files and problems in it.
        batch_size: files of a batch.
        threshold: replaces the model's own.
        max_pixels: the most that a picture may have.
        times: what is added to.

    Yields:
        one row for each file, with the keys of `COLUMNS`; what cannot be read has its
        `problem` and no score.
    """
    times = times or Times()
    canvas = _canvases(served, found, max_pixels)
    start = time.perf_counter()
    # While one batch is scored the next is decoded.
    decoded = in_threads(lambda name: (name, *canvas(name)), names, 2 * batch_size)
    while True:
        before = time.perf_counter()
        batch = list(itertools.islice(decoded, batch_size))
        times.waited += time.perf_counter() - before
        if batch:
            rows = _rows(served, batch, threshold, times.unfamiliar)
        times.total = time.perf_counter() - start
        if not batch:
            return
        yield rows


def in_threads(work: Callable, items: Iterable, ahead: int) -> Iterator:
    """`map(work, items)` in threads, at most `ahead` items before they are due."""
    may = getattr(os, "sched_getaffinity", None)  # Linux knows what this process may
    threads = min(len(may(0)) if may else os.cpu_count() or 1, _THREADS)
    waiting: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _rows(
    served: "export.Served",
    batch: list[tuple[str, np.ndarray | None, str]],
    threshold: float | None,
    unfamiliar: dict[str, float],
) -> list[dict]:
    used = served.calibration.threshold if threshold is None else threshold
    names = [name for name, _, problem in batch if not problem]
    canvases = [canvas for _, canvas, problem in batch if not problem]
    found = served.answers(np.stack(canvases)) if canvases else {"score": []}
    scores = [float(score) for score in found["score"]]
    verdicts = [label.decode() for label in found.get("label", [])]
    far = zip(names, found.get("unfamiliar", []))
    unfamiliar |= {name: float(distance) for name, distance in far if distance >= 1}
    if threshold is not None:  # compared in float32, as a SavedModel would
        verdicts = run_folders.verdicts(np.float32(scores), np.float32(threshold))
    answers = ((score, label, used, "") for score, label in zip(scores, verdicts))
    return [
        dict(
            zip(COLUMNS, (path, *(("", "", "", problem) if problem else next(answers))))
        )
        for path, _, problem in batch
    ]


def _canvases(
    served: "export.Served", found: listing.Listing, max_pixels: int
) -> Callable[[str], tuple[np.ndarray | None, str]]:
    """A function from a name to its letterboxed pixels, or none and the problem."""
    pixels, size = pixels_of(served, found, max_pixels), served.image_size

    def canvas(name: str) -> tuple[np.ndarray | None, str]:
        picture, problem = pixels(name)
        return (
            None if problem else preprocess.letterbox_pixels(picture, size)
        ), problem

    return canvas


def pixels_of(
    served: "export.Served", found: listing.Listing, max_pixels: int
) -> Callable[[str], tuple[np.ndarray | None, str]]:
    """A function from a name to pixels for the model, or to none and the problem.

    They are uint8 of shape `(height, width, channels)`, of the picture's own size.
    """
    decode = _decoder(served, max_pixels)

    def pixels_of_file(name: str) -> tuple[np.ndarray | None, str]:
        if name in found.problems:
            return None, found.problems[name]
        try:
            content = found.path(name).read_bytes()
        except OSError as error:
            return None, f"cannot be read ({error.strerror})"
        return decode(content)

    return pixels_of_file


def canvases(
    served: "export.Served", max_pixels: int
) -> Callable[[bytes], tuple[np.ndarray | None, str]]:
    """A function from a file's bytes to letterboxed pixels, or none and the problem.

    What it gives pixels for, no other picture of a batch can suffer from.
    """
    decode, size = _decoder(served, max_pixels), served.image_size

    def canvas(content: bytes) -> tuple[np.ndarray | None, str]:
        pixels, problem = decode(content)
        return (None if problem else preprocess.letterbox_pixels(pixels, size)), problem

    return canvas


def _decoder(
    served: "export.Served", max_pixels: int
) -> Callable[[bytes], tuple[np.ndarray | None, str]]:
    """A function from a file's bytes to pixels for the model, or none and the problem.

    The one place that says what can be scored.
    """
    channels, depth_range = served.facts["channels"], served.depth_range

    def decode(content: bytes) -> tuple[np.ndarray | None, str]:
        try:
            picture = images.load(content, depth_range, max_pixels=max_pixels)
        except (images.UnreadableImage, images.UnsupportedImage) as error:
            return None, str(error)
        if picture.depth == 16 and depth_range is None:
            return None, NO_RANGE
        pixels = picture.pixels
        if channels == 1 and pixels.ndim == 3 and not images.is_grey(pixels):
            return None, "is in colour, but the model has only seen grey pictures"
        return _with_channels(pixels, channels), ""

    return decode


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels of shape `(height, width, channels)`; colour is only asked for colour."""
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], channels, axis=-1)
    return pixels[..., :channels]
