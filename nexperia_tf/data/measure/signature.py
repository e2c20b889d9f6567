"""A small signature per image, from which copies are found without its pixels.

`signature` is computed once, where the image is decoded; everything that compares
images works on arrays of signatures.
"""

import functools

import cv2
import numpy as np
from PIL import Image

from nexperia_tf.data.measure import views

VERSION = 4  # changes with the bytes of a signature: caches are keyed by it

HASH_SIDE = 16  # 256 bits
SIDE = 64  # of the thumbnail
_RESIZED = 4 * HASH_SIDE
_HASH_BYTES = HASH_SIDE * HASH_SIDE // 8


def signature(pixels: np.ndarray) -> bytes:
    """What the search for copies keeps of one image.

    Args:
        pixels: uint8 array of shape `(height, width)` or `(height, width, 3)`.

    Returns:
        4,128 bytes: imagehash's pHash of 16x16 bits, then a thumbnail of mean levels,
        64x64 uint8, of what is inside a rim.
    """
    image = Image.fromarray(pixels).convert("L")
    small = image.resize((_RESIZED, _RESIZED), Image.Resampling.LANCZOS)
    thumbnail = cv2.resize(
        views.without_rim(np.asarray(image)),
        (SIDE, SIDE),
        interpolation=cv2.INTER_AREA,
    )
    return _phash_bits(np.asarray(small)) + thumbnail.tobytes()


def phash(signature: bytes) -> str:
    """The image's pHash as imagehash prints it: 64 hexadecimal digits."""
    return signature[:_HASH_BYTES].hex()


def thumbnails(signatures: list[bytes]) -> np.ndarray:
    """The thumbnails, uint8 of shape `(n, 64, 64)`."""
    found = np.empty((len(signatures), SIDE, SIDE), np.uint8)
    for one, signature in zip(found, signatures):
        one.flat = np.frombuffer(signature, np.uint8, offset=_HASH_BYTES)
    return found


def cosines(count: int, size: int) -> np.ndarray:
    """The first `count` rows of the unnormalised DCT-II of length `size`."""
    frequency, place = np.mgrid[:count, :size]
    return 2 * np.cos(np.pi * frequency * (place + 0.5) / size)


_hash_cosines = functools.cache(lambda: cosines(HASH_SIDE, _RESIZED))


def _phash_bits(small: np.ndarray) -> bytes:
    """imagehash.phash(hash_size=16) of an image resized to 64x64, packed."""
    low = _hash_cosines() @ small.astype(np.float64) @ _hash_cosines().T  # (16, 16)
    return np.packbits(low > np.median(low)).tobytes()
