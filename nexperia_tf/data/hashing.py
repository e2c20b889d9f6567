"""A small signature per image, from which copies are found without its pixels.

`signature` is computed once, where the image is decoded; everything that
compares images works on arrays of signatures.
"""

import functools

import numpy as np
from PIL import Image

VERSION = 1  # changes with the bytes of a signature: caches are keyed by it

HASH_SIDE = 16  # 256 bits
_PHASH_SIDE = 4 * HASH_SIDE
SIDE = 32  # of the log-intensity thumbnail
_PHASH_BYTES = HASH_SIDE * HASH_SIDE // 8


def signature(pixels: np.ndarray) -> bytes:
    """What the search for duplicates keeps of one image.

    Args:
        pixels: uint8 array of shape `(height, width)` or `(height, width, 3)`.

    Returns:
        2,080 bytes: imagehash's pHash of 16x16 bits, then the thumbnail of log
        intensity, 32x32 float16.
    """
    image = Image.fromarray(pixels).convert("L")
    small = image.resize((_PHASH_SIDE, _PHASH_SIDE), Image.Resampling.LANCZOS)
    thumbnail = image.convert("F").resize((SIDE, SIDE), Image.Resampling.BOX)
    logs = np.log(np.asarray(thumbnail, np.float32) + 1.0).astype(np.float16)
    return _phash_bits(np.asarray(small, np.float64)).tobytes() + logs.tobytes()


def phash(signature: bytes) -> str:
    """The image's pHash as imagehash prints it: 64 hexadecimal digits."""
    return signature[:_PHASH_BYTES].hex()


def phash_bits(signatures: list[bytes]) -> np.ndarray:
    """The pHashes as packed bits, uint8 of shape `(n, 32)`."""
    joined = b"".join(one[:_PHASH_BYTES] for one in signatures)
    return np.frombuffer(joined, np.uint8).reshape(-1, _PHASH_BYTES)


def _phash_bits(small: np.ndarray) -> np.ndarray:
    """imagehash.phash(hash_size=16) of an image resized to 64x64, packed."""
    cosines = _cosines(HASH_SIDE, _PHASH_SIDE)
    low = cosines @ small @ cosines.T  # (16, 16)
    return np.packbits(low > np.median(low))


@functools.cache
def _cosines(count: int, size: int) -> np.ndarray:
    """The first `count` rows of the unnormalised DCT-II of length `size`."""
    frequency, place = np.mgrid[:count, :size]
    return 2 * np.cos(np.pi * frequency * (place + 0.5) / size)
