"""How two images are looked at: in eight turns, rimless, and by their texture alone."""

import cv2
import numpy as np

TURNS = 8  # quarter turns 0 to 3, then the same of the mirror image
FEATURELESS = 1.0  # levels of contrast; less shows nothing
_WIDEST = 0.05  # of the longer side; what is constant farther in is the background
_ALONG = 0.25  # of a side is constant where a moved picture has a rim
_CORNERS = 0.1  # of a side; there the rim of the next one begins
_MIXED = 2  # pixels between rim and picture, of both; by interpolation
_THIN_END = 24  # pixels along a side, in which the rim of a turned picture is thinner
_DARK = 8.0  # levels added before the logarithm, or black would weigh most


def turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight flips and quarter turns of `(height, width, ...)`."""
    rotated = np.rot90(pixels, turn % 4)
    return np.ascontiguousarray(rotated[:, ::-1] if turn >= 4 else rotated)


def within(shape: tuple[int, int], part: int) -> tuple[slice, slice]:
    """What lies inside a rim of one pixel and the `part`th part of each side.

    Of any shape something is left:

    >>> within((80, 600), 12), within((1, 2), 12)
    ((slice(7, 73, None), slice(51, 549, None)), (slice(0, 1, None), slice(0, 2, None)))
    """
    rims = (min(1 + side // part, (side - 1) // 2) for side in shape)
    rows, columns = (slice(rim, side - rim) for rim, side in zip(rims, shape))
    return rows, columns


def without_rim(grey: np.ndarray) -> np.ndarray:
    """`(height, width)` with its own edge in place of a rim of one level.

    A tool that shifts or turns a picture fills what comes in with black, say. The edge
    of such a rim would be the strongest thing that a plain part shows.
    """
    for _ in range(4):
        grey = np.rot90(_without_left_rim(grey))
    return np.ascontiguousarray(grey)


def _without_left_rim(grey: np.ndarray) -> np.ndarray:
    most = min(round(_WIDEST * max(grey.shape)), grey.shape[1] // 4)
    border = grey[:, 0]
    level = np.bincount(border.astype(np.intp)).argmax()
    if np.mean(border == level) < _ALONG or not most:
        return grey
    other = grey[:, : most + 1] != level
    width = np.where(other.any(1), other.argmax(1), most + 1)
    if np.mean(width > most) > _CORNERS:
        return grey
    in_reach = np.ones(2 * _THIN_END + 1)
    near = np.convolve(width > 0, in_reach)[_THIN_END:-_THIN_END] > 0.5
    (rows,) = np.nonzero(near & (width <= most))
    edge = width[rows] + _MIXED
    in_rim = np.arange(most + _MIXED) < edge[:, None]
    filled, left = grey.copy(), slice(most + _MIXED)
    filled[rows, left] = np.where(in_rim, grey[rows, edge][:, None], grey[rows, left])
    return filled


def featureless(pictures: np.ndarray) -> np.ndarray:
    """Which pictures of `(n, side, side)` show nothing, bool `(n,)`."""
    return (
        np.array([cv2.meanStdDev(picture)[1].item() for picture in pictures])
        < FEATURELESS
    )


def band(pictures: np.ndarray) -> np.ndarray:
    """Texture of equal strength everywhere, float32 of shape `(n, side, side)`.

    Slow changes of light, gain and gamma are filtered out. Without the equal strength,
    the edges of bright metal would be all that counts.
    """
    side = pictures.shape[-1]
    out = np.log(pictures.astype(np.float32) + _DARK)
    for texture in out:
        texture -= cv2.GaussianBlur(texture, (0, 0), side / 20)
        power = texture * texture
        strength = np.sqrt(cv2.GaussianBlur(power, (0, 0), side / 12))
        texture /= strength + 0.3 * np.sqrt(power.mean()) + 1e-6
    return out
