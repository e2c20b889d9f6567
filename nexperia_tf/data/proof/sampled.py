"""Says from some thousand pixels that two aligned pictures are no copies.

`same_photo` proves a copy at every pixel, and a proof that fails costs as much as one
that holds. Most pairs of a product are far from it: already at a few thousand places
one picture differs from the other by more than any copy may. What is said here only
ever says no; who is not refused is looked at in full.
"""

import dataclasses
import functools
from collections.abc import Callable

import cv2
import numpy as np

from nexperia_tf.data.proof import memory, tone_curve

LARGEST = 4_000_000  # pixels; of larger pictures the rest of the look costs more anyway
_LONGEST = 32_000  # pixels a side; OpenCV's remap takes no 32,768
# Levels between a copy and its resampled original, of which same_photo allows .42 over
# all pixels; what is measured at some of them, in another interpolation, is a bit more.
RESAMPLED = 0.65
OFF_CURVE = 0.05  # of the pixels; same_photo allows .0005 of all

_POINTS = 1500
_FEWEST = 300  # points that both show, neither black nor white
_RIM = 12  # part of a side; beyond, a picture may be filled in
_SMOOTH = 1.5  # pixels, deviation; of what is aligned
_STEPS = 15
_BINS, _BIN = 64, 0.25  # of levels, in which a tone curve is straight
_STILL = 0.02  # pixels; a step that moves no corner farther is the last
_FARTHEST = 4.0  # pixels that a better alignment may lie from the one that was given
_KEPT = 80_000_000  # bytes of pictures made ready
_CLIPPED = (int(tone_curve.BLACK) + 1, int(tone_curve.WHITE) - 1)


@dataclasses.dataclass(frozen=True)
class Ready:
    """A picture made ready to be compared with many, at fixed places.

    Attributes:
        grey: float32 `(height, width)`.
        smooth: float32, blurred.
        graded: uint8, 1 where nothing near is clipped.
        places: x and y of the points, float32 `(n, 2)`.
        levels: of the picture there, `(n,)`.
        slopes: what each term of a small change of alignment and of the tone curve
            does to the smooth level there, `(n, 10)`.
    """

    grey: np.ndarray
    smooth: np.ndarray
    graded: np.ndarray
    places: np.ndarray
    levels: np.ndarray
    slopes: np.ndarray

    @property
    def nbytes(self) -> int:
        """What it takes of memory."""
        arrays = [getattr(self, field.name) for field in dataclasses.fields(self)]
        return sum(array.nbytes for array in arrays)


class Sampled:
    """Refuses pairs of pictures that can be no copies; for threads.

    Args:
        pixels: gives the uint8 levels `(height, width)` of a picture by its place.
    """

    def __init__(self, pixels: Callable[[int], np.ndarray]):
        self._pixels, self._kept = pixels, memory.Kept(_KEPT)

    def aligned(self, a: int, b: int, way: np.ndarray) -> np.ndarray | None:
        """The way on which the pictures lie best; None where nothing can be said.

        Args:
            a, b: places of the pictures.
            way: takes places of the first near those of the second, `(3, 3)`.
        """
        pictures = [self._pixels(place) for place in (a, b)]
        if any(p.size > LARGEST or max(p.shape) > _LONGEST for p in pictures):
            return None
        return _aligned(self._ready(a), self._ready(b), way)

    def no_resampled_copy(self, a: int, b: int, way: np.ndarray) -> bool:
        """Whether neither can be the other one, resampled along `way`."""
        first, second = self._ready(a), self._ready(b)
        return (
            _least_apart(first, second, way) > RESAMPLED
            and _least_apart(second, first, np.linalg.inv(way)) > RESAMPLED
        )

    def off_any_curve(self, a: int, b: int, way: np.ndarray) -> bool:
        """Whether no tone curve makes one of the other.

        Args:
            a, b: places of the pictures.
            way: by whole pixels, turned or not.
        """
        first, second = self._ready(a), self._ready(b)
        x, y = np.rint(_sent(first.places, way)).astype(np.intp).T
        height, width = second.grey.shape
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        seen = second.grey[y[inside], x[inside]].astype(np.intp)
        if len(seen) < _FEWEST:
            return False
        level = first.levels[inside].astype(np.intp)
        together = np.bincount(level * 256 + seen, minlength=1 << 16).reshape(256, 256)
        on_curve = max(together.max(0).sum(), together.max(1).sum())
        return bool(1 - on_curve / len(seen) > OFF_CURVE)

    def _ready(self, place: int) -> Ready:
        return self._kept.get(place, lambda: ready(self._pixels(place)))


def ready(grey: np.ndarray) -> Ready:
    """Makes uint8 levels `(height, width)` ready."""
    levels = grey.astype(np.float32)
    smooth = cv2.GaussianBlur(levels, (0, 0), _SMOOTH)
    window = np.ones((7, 7), np.uint8)
    graded = (cv2.erode(grey, window) > _CLIPPED[0]) & (
        cv2.dilate(grey, window) < _CLIPPED[1]
    )
    places = _places(*grey.shape)
    x, y = places.T
    places = places[graded[y, x]]
    x, y = places.T
    level = smooth[y, x]
    # By central differences; nothing lies at the border.
    right = (smooth[y, x + 1] - smooth[y, x - 1]) / 2
    down = (smooth[y + 1, x] - smooth[y - 1, x]) / 2
    across, along = (_within_one(places, grey.shape)).T
    tone = (level - 128) / 64
    slopes = [right * across, right * along, right]
    slopes += [down * across, down * along, down]
    slopes += [np.ones_like(tone), tone, tone**2, tone**3]
    return Ready(
        levels,
        smooth,
        graded.astype(np.uint8),
        places.astype(np.float32),
        levels[y, x],
        np.stack(slopes, 1).astype(np.float32),
    )


@functools.lru_cache(64)
def _places(height: int, width: int) -> np.ndarray:
    """Points inside, x and y, the same for all pictures of a shape."""
    rims = [max(1, side // _RIM) for side in (height, width)]
    tall, wide = height - 2 * rims[0], width - 2 * rims[1]
    if min(tall, wide) < 1:
        return np.zeros((0, 2), np.intp)
    random = np.random.default_rng(0)
    count = min(_POINTS, tall * wide)
    y, x = np.divmod(random.choice(tall * wide, count, replace=False), wide)
    return np.stack([x + rims[1], y + rims[0]], 1)


def _within_one(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Places from the middle, the longer side from -1 to 1."""
    middle = (np.array(shape[::-1]) - 1) / 2
    return (places - middle) / (max(shape) / 2)


def _sent(places: np.ndarray, way: np.ndarray) -> np.ndarray:
    return places @ way[:2, :2].T.astype(np.float32) + way[:2, 2].astype(np.float32)


def _seen(picture: np.ndarray, places: np.ndarray, interpolation: int) -> np.ndarray:
    """Levels of a float32 picture between its pixels, `(n,)`."""
    places = places.reshape(1, -1, 2)
    return cv2.remap(picture, places, None, interpolation)[0]


def _shown(moving: Ready, places: np.ndarray) -> np.ndarray:
    """Which places show a level of the other picture that is not clipped."""
    if not len(places):  # a picture of a few pixels has none
        return np.zeros(0, bool)
    border = cv2.BORDER_CONSTANT
    nearest, points = cv2.INTER_NEAREST, places.reshape(1, -1, 2)
    return cv2.remap(moving.graded, points, None, nearest, borderMode=border)[0] > 0


def _aligned(first: Ready, second: Ready, way: np.ndarray) -> np.ndarray | None:
    """A way on which smooth levels differ least, by Gauss and Newton."""
    height, width = first.grey.shape
    ends = np.array([[x, y, 1.0] for x in (0, width) for y in (0, height)])
    half, middle = max(height, width) / 2, np.array([width - 1, height - 1]) / 2
    to_one = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, half]]) / half
    given = way
    for _ in range(_STEPS):
        places = _sent(first.places, way)
        shown = _shown(second, places)
        if shown.sum() < _FEWEST:
            return None
        slopes = first.slopes[shown]
        seen = _seen(second.smooth, places[shown], cv2.INTER_LINEAR)
        normal = (slopes.T @ slopes).astype(np.float64)
        normal[np.diag_indices(10)] += 1e-3  # on plain pictures nothing is told apart
        terms = np.linalg.solve(normal, slopes.T @ seen)
        contrast = _gain(terms, slopes)
        if contrast < 0.1:
            return None
        step = np.vstack([terms[:6].reshape(2, 3) / contrast @ to_one, np.zeros(3)])
        farthest = np.abs(step @ ends.T).max()
        if farthest > _FARTHEST:
            return None
        way = way @ np.linalg.inv(np.eye(3) + step)
        if np.abs((way - given) @ ends.T).max() > _FARTHEST:
            return None
        if farthest < _STILL:
            return way
    return None


def _gain(terms: np.ndarray, slopes: np.ndarray) -> float:
    """How steep the tone curve is on average."""
    tone = slopes[:, 7]
    steep = terms[7] + 2 * terms[8] * tone + 3 * terms[9] * tone * tone
    return float(steep.mean()) / 64


def _least_apart(fixed: Ready, moving: Ready, way: np.ndarray) -> float:
    """Levels, deviation, by which `fixed` differs from the other, resampled, at least.

    A tone curve is taken out, of whichever of the two lets less of it be left.
    """
    places = _sent(fixed.places, way)
    shown = _shown(moving, places)
    places, level = places[shown], fixed.levels[shown]
    if len(level) < _FEWEST:
        return 0.0  # nothing can be said
    least = float("inf")
    for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
        seen = _seen(moving.grey, places, interpolation)
        off = level - seen
        near = np.clip(seen * _BIN, 0, _BINS - 1).astype(np.intp)
        count = np.bincount(near, minlength=_BINS)
        off -= (np.bincount(near, off, _BINS) / np.maximum(count, 1))[near]
        left = float(np.sqrt(off @ off / len(off)))
        contrast = float(seen.std()) / max(float(level.std()), 1e-6)
        least = min(least, left * min(1.0, contrast))
    return least
