"""How much a frame looks like one with a device in it, without any label.

Most frames of a product show the device, so the median of all frames shows it too. A
frame scores its correlation with that template, at the best of small shifts and turns.
Empty pockets and displaced cameras lack the device's structure and stand far below the
others; a flaw on a device changes little of a 32 x 32 picture.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

SIDE = 32  # pixels of a frame, made of a thumbnail
BLUR = 1.0  # pixels: fine marks differ from device to device
SHIFT = 4  # pixels either way, an eighth of the frame
ANGLES = (-8.0, 0.0, 8.0)  # degrees; the blur bridges the steps
LOWEST_THRESHOLD_OF_A_DEVICE = 0.6  # half of it: .36 of the structure is explained
SPREADS = 8  # below the median by so many lower spreads is no device
MOST = 0.05  # of all frames; more are another product, not frames without a device
FEWEST = 20  # frames that make a template
_FLAT = 1e-3  # grey levels: a frame without any structure
_CHUNK = 4096


def scores(thumbnails: np.ndarray) -> np.ndarray:
    """Correlation with the product's template, 0 where there is none.

    Args:
        thumbnails: mean levels, array of shape `(n, side, side)`; the side is a
            multiple of SIDE.

    Returns:
        float64 array of shape `(n,)` in [0, 1].
    """
    if len(thumbnails) == 0:
        return np.zeros(0)
    template = _template(thumbnails)
    return np.concatenate(
        [
            _correlations(_blurred(thumbnails[start : start + _CHUNK]), template)
            for start in range(0, len(thumbnails), _CHUNK)
        ]
    ).astype(np.float64)


def threshold(scores: Sequence[float]) -> float | None:
    """Frames that score less show no device; None where that cannot be known.

    Where devices look alike the scores lie close together and the threshold is that of
    a device by eye; the more a product varies, the lower it gets, down to none.
    """
    if len(scores) < FEWEST:
        return None
    scores = np.asarray(scores)
    middle = float(np.median(scores))
    spread = middle - float(np.quantile(scores, 0.1))
    limit = min(LOWEST_THRESHOLD_OF_A_DEVICE, middle - SPREADS * spread)
    if limit <= 0 or np.mean(scores < limit) > MOST:
        return None
    return limit


def _template(thumbnails: np.ndarray) -> np.ndarray:
    """float32 median of the frames, each with mean 0 and deviation 1."""
    step = -(-len(thumbnails) // _CHUNK)  # some thousand frames tell the median
    frames = _blurred(thumbnails[::step])
    frames -= frames.mean(axis=(1, 2), keepdims=True)
    deviations = frames.std(axis=(1, 2), keepdims=True)
    return np.median(frames / np.maximum(deviations, _FLAT), axis=0)


def _blurred(thumbnails: np.ndarray) -> np.ndarray:
    step = thumbnails.shape[-1] // SIDE
    parts = thumbnails.reshape(len(thumbnails), SIDE, step, SIDE, step)
    return ndimage.gaussian_filter(parts.mean((2, 4), np.float32), (0, BLUR, BLUR))


def _correlations(frames: np.ndarray, template: np.ndarray) -> np.ndarray:
    """The best correlation of each frame with the moved and turned template.

    Templates moved within frames of zeros turn the search into three matrix products.
    """
    patterns = [_turned(template, angle) for angle in ANGLES]
    moves = [
        (dy, dx) for dy in range(-SHIFT, SHIFT + 1) for dx in range(-SHIFT, SHIFT + 1)
    ]
    window = np.ones_like(patterns[0])
    windows = np.stack([_placed(window, move) for move in moves], axis=1)
    flat = frames.reshape(len(frames), -1)
    sums = flat @ windows  # (frames, moves)
    power = np.square(flat) @ windows - sums**2 / window.size
    best = np.zeros_like(sums)
    for pattern in patterns:
        matches = flat @ np.stack([_placed(pattern, move) for move in moves], axis=1)
        np.maximum(best, matches, out=best)
    return (best / np.sqrt(np.maximum(power, _FLAT))).max(axis=1).clip(0, 1)


def _turned(template: np.ndarray, angle: float) -> np.ndarray:
    """The template's middle, turned, with mean 0 and norm 1."""
    middle = (template.shape[0] - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), angle, 1.0)
    turned = cv2.warpAffine(
        template, turn, template.shape[::-1], borderMode=cv2.BORDER_REPLICATE
    )
    core = turned[SHIFT:-SHIFT, SHIFT:-SHIFT]
    core = core - core.mean()
    return core / max(float(np.linalg.norm(core)), _FLAT)


def _placed(pattern: np.ndarray, move: tuple[int, int]) -> np.ndarray:
    """A pattern in a frame of zeros, moved off the middle; flat, `(side * side,)`."""
    padding = [(SHIFT + step, SHIFT - step) for step in move]
    return np.pad(pattern, padding).ravel()
