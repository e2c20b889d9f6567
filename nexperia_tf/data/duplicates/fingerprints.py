"""What is left of a plain picture without its product: its finest texture."""

from collections.abc import Callable

import cv2
import numpy as np

LEARNED_FROM = 1000  # images whose copies are simulated
CHANCE_FROM = 2000  # images whose pairs say what chance is
BLOCK = 512
FINGERPRINT = 256  # numbers
_FINER_THAN = 2  # pixels of a thumbnail; deviation of the filter
# Times the noise that copies may have; what shows more is found by its gradients.
_PLAIN = 2
_SHARED_PATTERNS = 16  # of all fingerprints, left out
_LEAST_IMAGES = 10  # images at least that share each of them
_NEAREST = 3  # images whose fingerprints are each other's may be copies,
_BEYOND_CHANCE = 5  # if they are alike by so many deviations of chance


def of(
    thumbnails: np.ndarray, shown: np.ndarray, *, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """What plain images show that is finer than shading and not the product's.

    Args:
        thumbnails: uint8 `(images, side, side)`.
        shown: places of those that show anything.
        noise: grey levels, deviation, that a copy may have more than its original.

    Returns:
        Their places in `shown`, and their fingerprints, float32 `(plain, FINGERPRINT)`:
        a random projection, which keeps cosines to 1 / sqrt(FINGERPRINT).
    """

    def of_own(places: np.ndarray, patterns: np.ndarray, measure: Callable):
        blocks = np.array_split(places, -(-len(places) // BLOCK))
        levels = map(_fine, (thumbnails[block] for block in blocks))
        own = (fine - fine @ patterns.T @ patterns for fine in levels)
        return np.concatenate([measure(levels) for levels in own])

    patterns = _fine_patterns(thumbnails, shown)
    strength = of_own(shown, patterns, lambda levels: levels.std(1))
    plain = np.flatnonzero(strength < _PLAIN * noise)
    if not len(plain):
        return plain, np.empty((0, FINGERPRINT), np.float32)
    patterns = _fine_patterns(thumbnails, shown[plain])
    random = np.random.default_rng(0)
    signs = random.choice(np.float32([-1, 1]), (patterns.shape[1], FINGERPRINT))
    return plain, unit(of_own(shown[plain], patterns, lambda levels: levels @ signs))


def _fine(pictures: np.ndarray) -> np.ndarray:
    """Of uint8 `(n, side, side)` what is finer than shading, float32 `(n, pixels)`."""
    levels = pictures.astype(np.float32)
    for level in levels:
        level -= cv2.GaussianBlur(level, (0, 0), _FINER_THAN)
    inner = slice(_FINER_THAN, -_FINER_THAN)
    return levels[:, inner, inner].reshape(len(levels), -1)


def _fine_patterns(thumbnails: np.ndarray, among: np.ndarray) -> np.ndarray:
    """What the fine levels of the thumbnails at these places have in common."""
    sample = among[spread(len(among), LEARNED_FROM // 2)]
    return shared_patterns(
        _fine(thumbnails[sample]), _SHARED_PATTERNS, min_images=_LEAST_IMAGES
    )


def nearest(prints: np.ndarray) -> list[tuple[int, int]]:
    """Pairs `a < b` of fingerprints that are among each other's nearest."""
    count = len(prints)
    drawn = prints[spread(count, CHANCE_FROM)]
    chance = np.abs(drawn @ drawn.T)[np.triu_indices(len(drawn), 1)]
    limit = _BEYOND_CHANCE * float(np.median(chance)) / 0.6745
    near = set()
    for start in range(0, count, BLOCK):
        cosines = prints[start : start + BLOCK] @ prints.T
        own = np.arange(len(cosines))
        cosines[own, own + start] = -1
        for _ in range(min(_NEAREST, count - 1)):
            b = cosines.argmax(1)
            alike = cosines[own, b] >= limit
            near |= set(zip((own + start)[alike].tolist(), b[alike].tolist()))
            cosines[own, b] = -1
    return sorted((a, b) for a, b in near if a < b and (b, a) in near)


def shared_patterns(
    pictures: np.ndarray, most: int, *, min_images: int = 1
) -> np.ndarray:
    """What flat pictures `(n, pixels)` have in common, as rows of length 1.

    The mean is the first thing they share, so it need not be taken out before.

    Args:
        pictures: float32.
        most: patterns, the strongest.
        min_images: pictures that must show a pattern; what only two share makes them
            copies.
    """
    count = min(most, len(pictures) // 8)
    values, vectors = np.linalg.eigh(pictures @ pictures.T)
    first = len(pictures) - count
    values, vectors = values[first:], vectors[:, first:]
    shared = (
        1 / (vectors**4).sum(0) >= min_images
    )  # n where all show it alike, else less
    return (vectors / np.sqrt(values + 1e-9)).T[shared] @ pictures


def spread(count: int, most: int) -> np.ndarray:
    """Up to `most` places, evenly from 0 to `count - 1`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
