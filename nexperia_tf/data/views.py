"""How two images are looked at: in eight turns, and by their texture alone."""

import cv2
import numpy as np

TURNS = 8  # quarter turns 0 to 3, then the same of the mirror image
FEATURELESS = 1.0  # levels of contrast; less shows nothing
_DARK = 8.0  # levels added before the logarithm, or black would weigh most


def turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight flips and quarter turns of `(height, width, ...)`."""
    rotated = np.rot90(pixels, turn % 4)
    return np.ascontiguousarray(rotated[:, ::-1] if turn >= 4 else rotated)


def featureless(pictures: np.ndarray) -> np.ndarray:
    """Which pictures of `(n, side, side)` show nothing, bool `(n,)`."""
    return np.array([cv2.meanStdDev(one)[1].item() for one in pictures]) < FEATURELESS


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
