"""What levels of one picture have become in another one: gain, gamma, a table.

Works in parts, so that a picture of any size takes little beside itself.
"""

import itertools
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import scipy.ndimage

from nexperia_tf.data.proof import memory

BLACK, WHITE = 2.0, 250.0  # levels at or beyond which a pixel may be clipped
_FEW = 20  # pixels of a level; below it levels near it count more than their mean
_NEAR_LEVELS = 4.0  # deviation; where they hold no _FEW_NEAR pixels a level, the curve
_FEW_NEAR = 0.5  # counts
_LEAST_LEVEL = 0.5  # that has a logarithm
_LEAST_OUTLYING = 1.0  # levels; rounding is less
_SORTED = 1 << 21  # pixels whose levels are ranked at a time
_TILE = 1024  # pixels a side; OpenCV's remap takes no 32,768


def exposure(
    before: np.ndarray, after: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The gain and gamma that take levels `before` to `after`, as a function.

    Args:
        before, after: float32 levels of the same pixels, `(n,)`.
    """
    count, x, y = np.zeros(256, np.intp), np.zeros(256), np.zeros(256)
    for part in memory.bands(before.shape):
        level = np.clip(before[part], 0, 255).astype(np.intp)
        count += np.bincount(level, minlength=256)
        x += np.bincount(level, before[part], 256)
        y += np.bincount(level, after[part], 256)
    x, y = x / np.maximum(count, 1), y / np.maximum(count, 1)
    seen = (count >= _FEW) & (y > BLACK) & (y < WHITE)
    x, y = x[seen], y[seen]
    if len(x) < 2:
        return lambda levels: levels
    x, y = np.maximum(x, _LEAST_LEVEL), np.maximum(y, _LEAST_LEVEL)
    # All levels weigh alike, however rare, and so do errors at all levels: else a dark
    # floor would fix the gamma alone.
    design = np.stack([np.log(x), np.ones_like(x)], 1) * y[:, None]
    (gamma, gain), *_ = np.linalg.lstsq(design, np.log(y) * y, rcond=None)
    gamma, gain = np.clip(gamma, 0, 8), np.clip(gain, -30, 30)  # no copy goes farther
    if abs(gamma - 1) < 1e-4 and abs(gain) < 1e-4:
        return lambda levels: levels

    def exposed(levels: np.ndarray) -> np.ndarray:
        powers = cv2.pow(np.maximum(levels, 0), gamma).reshape(levels.shape)
        powers *= np.exp(gain, dtype=np.float32)
        return powers

    return exposed


def table(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """What each level 0..255 of `clean` has become on average in `noisy`.

    Args:
        clean, noisy: float32 levels of the same pixels, `(n,)`.
    """
    level = np.rint(clean).astype(np.uint8)
    exposed = exposure(clean, noisy)
    curve = np.clip(exposed(np.arange(256, dtype=np.float32)), 0, 255)
    count = np.bincount(level, minlength=256)
    off = noisy - curve[level]
    middle = _medians(level, off, count)
    for part in memory.bands(off.shape):
        off[part] -= middle[level[part]]
    # A scratch on a rare level must not pass for what the level has become.
    most = max(_LEAST_OUTLYING, 3 * spread(np.abs(off)))
    rest = np.zeros(256)
    for part in memory.bands(off.shape):
        rest += np.bincount(level[part], np.clip(off[part], -most, most), 256)
    off = middle * count + rest
    # A rare level is off the curve as much as the levels near it.
    near_off, near = scipy.ndimage.gaussian_filter1d([off, count * 1.0], _NEAR_LEVELS)
    near_off /= near + _FEW_NEAR
    return curve + (off + _FEW * near_off) / (count + _FEW)


def _medians(level: np.ndarray, values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The median of the values of each level, 0 where there are none.

    >>> level, values = np.array([0, 2, 2, 2, 0]), np.array([1.0, 7, 5, 9, 2])
    >>> _medians(level, values, np.bincount(level))
    array([1.5, 0. , 7. ])
    """
    apart = 1 + 2 * float(max(values.max(initial=0), -values.min(initial=0)))
    medians = []
    for few in _few_levels(count):
        there = (level >= few.start) & (level < few.stop)
        # Each level by itself: levels are apart.
        ranked = np.sort((level[there] - few.start) * apart + values[there])
        own = count[few]
        last = np.cumsum(own)
        places = [last - 1 - own // 2, last - 1 - (own - 1) // 2]
        most = max(len(ranked) - 1, 0)
        ranked = ranked if len(ranked) else np.zeros(1)
        middle = sum(ranked[np.clip(place, 0, most)] for place in places) / 2
        medians.append(np.where(own > 0, middle - np.arange(len(own)) * apart, 0.0))
    return np.concatenate(medians)


def _few_levels(count: np.ndarray) -> Iterator[slice]:
    """Neighbouring levels that together hold few pixels, or one that holds many."""
    start, held = 0, 0
    for level, pixels in enumerate(count.tolist()):
        if held and held + pixels > _SORTED:
            yield slice(start, level)
            start, held = level, 0
        held += pixels
    yield slice(start, len(count))


def expected(clean: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`clean`, float32 `(height, width)`, at the levels that `table` says."""
    levels, table = np.empty_like(clean), table.astype(np.float32)[None]
    tops, lefts = (range(0, side, _TILE) for side in clean.shape)
    for top, left in itertools.product(tops, lefts):
        tile = slice(top, top + _TILE), slice(left, left + _TILE)
        levels[tile] = cv2.remap(
            table,
            clean[tile],
            np.zeros_like(clean[tile]),
            cv2.INTER_LINEAR,  # between levels, in steps of 1/32
            borderMode=cv2.BORDER_REPLICATE,
        )
    return levels


def off_curve(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> float:
    """Share of the pixels of one that no tone curve makes of the other's level."""
    together = np.zeros(256 * 256, np.intp)
    for rows in memory.bands(first.shape):
        seen = inside[rows]
        pairs = np.rint(first[rows][seen]).astype(np.intp) * 256
        pairs += np.rint(second[rows][seen]).astype(np.intp)
        together += np.bincount(pairs, minlength=256 * 256)
    together = together.reshape(256, 256)
    on_curve = max(together.max(0).sum(), together.max(1).sum())
    return float(1 - on_curve / max(1, together.sum()))


def spread(residual: np.ndarray) -> float:
    """Standard deviation by the median and by the ninth decile, the larger.

    Args:
        residual: sizes of differences, `(n,)`; they are left in another order.
    """
    middle, high = np.quantile(residual, [0.5, 0.9], overwrite_input=True)
    return float(max(middle / 0.6745, high / 1.6449))
