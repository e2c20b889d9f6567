"""Where on a picture the part is: what differs from the picture's rim in colour."""

import functools
import math

import cv2
import numpy as np

BLACK = 2  # levels; a letterbox's bar is no brighter
LEAST_SIDE = 8  # pixels of a picture inside its bars
_UNIT = 96  # pixels; the part is looked for on a picture shrunk to about that side
_LEAST_LEVELS, _MOST_LEVELS = 8, 60  # of difference from the rim; more is no more
_LEAST_PIECE = 12  # pixels
_SHARES = 0.1, 0.9  # of the picture that a part covers; else all of it is the part
_CLEAR = 0.5  # of all that stands apart is the part, and not cut by the rim
_STEP = 0.75  # of its difference comes within five pixels: an edge, and no slope
_ONE = 0.8  # of the part is one piece; else pieces of it are seen, and it is about them


def frame(image: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns inside the bars of a letterbox, None where nearly all is black.

    Args:
        image: uint8 array of shape `(height, width, channels)`.
    """
    rows = _lit(image.reshape(len(image), -1).max(axis=1))
    columns = _lit(image.max(axis=0).max(axis=-1))
    if min(rows.stop - rows.start, columns.stop - columns.start) < LEAST_SIDE:
        return None
    return rows, columns


def _lit(brightest: np.ndarray) -> slice:
    lit = np.flatnonzero(brightest > BLACK)
    return slice(int(lit[0]), int(lit[-1]) + 1) if len(lit) else slice(0, 0)


def part(image: np.ndarray) -> np.ndarray:
    """Where the part is; everywhere, if it fills the picture or that is unclear.

    Args:
        image: uint8 array of shape `(height, width, channels)`, without bars.

    Returns:
        uint8 array of shape `(height, width)`, 1 there and 0 elsewhere.
    """
    height, width = image.shape[:2]
    times = max(1, int(math.sqrt(height * width) / _UNIT))
    rows, columns = height // times, width // times
    whole = image[: rows * times, : columns * times]  # by whole numbers is fast
    small = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    found = _found(_apart(small))
    if found is None:
        return np.ones((height, width), np.uint8)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST)


def _apart(image: np.ndarray) -> np.ndarray:
    """Levels that each place differs from the rim by, in the channel where it most
    does, uint8 `(height, width)`."""
    smooth = cv2.GaussianBlur(image, (3, 3), 0).reshape(*image.shape[:2], -1)
    wide = max(2, round(0.03 * min(smooth.shape[:2])))
    strips = smooth[:wide], smooth[-wide:], smooth[:, :wide], smooth[:, -wide:]
    rim = np.concatenate([strip.reshape(-1, smooth.shape[-1]) for strip in strips])
    apart = np.abs(smooth - quantile(rim.T, 0.5).astype(np.int16))
    return np.minimum(strongest(apart), _MOST_LEVELS).astype(np.uint8)


def quantile(values: np.ndarray, share: float) -> np.ndarray:
    """Of whole numbers along the last axis, which sort faster than NumPy's goes."""
    last = values.shape[-1] - 1
    return np.sort(values, axis=-1)[..., round(share * last)]


def strongest(change: np.ndarray) -> np.ndarray:
    """The largest of the channels, much faster than NumPy's along a short axis."""
    return functools.reduce(cv2.max, cv2.split(change))


def _found(apart: np.ndarray) -> np.ndarray | None:
    """The part, uint8 of the same shape; None where it is not clear."""
    level = max(cv2.threshold(apart, 0, 1, cv2.THRESH_OTSU)[0], _LEAST_LEVELS)
    far = (apart > level).astype(np.uint8)
    near = max(3, round(0.04 * min(apart.shape)) | 1)
    far = cv2.morphologyEx(far, cv2.MORPH_CLOSE, _square(near))
    far = cv2.morphologyEx(far, cv2.MORPH_OPEN, _square(3))
    kept, pieces = _inner(far)
    covered = sum(pieces)
    if not covered or covered < _CLEAR * np.count_nonzero(far):
        return None
    if not _is_stepped(apart, kept, far):
        return None
    if max(pieces) < _ONE * covered:
        hull = cv2.convexHull(cv2.findNonZero(kept))
        cv2.fillConvexPoly(kept, hull, 1)
        kept = cv2.dilate(kept, _square(near))
    return kept if _SHARES[0] < kept.mean() < _SHARES[1] else None


def _inner(far: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The pieces that the picture's sides do not cut, and the pixels of each."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(far)
    x, y, width, height, area = stats.T
    inner = (x > 0) & (y > 0) & (area >= _LEAST_PIECE)
    inner &= (x + width < far.shape[1]) & (y + height < far.shape[0])
    return inner.astype(np.uint8)[labels], area[inner].tolist()


def _is_stepped(apart: np.ndarray, kept: np.ndarray, far: np.ndarray) -> bool:
    """Whether the part ends at an edge, and not somewhere on a slope of light."""
    edge = cv2.morphologyEx(kept, cv2.MORPH_GRADIENT, _square(3)) > 0
    step = cv2.morphologyEx(apart, cv2.MORPH_GRADIENT, _square(5))[edge]
    difference = apart[kept > 0].mean() - apart[far == 0].mean()
    return bool(quantile(step, 0.5) >= _STEP * difference)


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), np.uint8)
