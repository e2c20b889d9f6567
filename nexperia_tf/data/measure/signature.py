"""A small signature per image, from which copies are found without its pixels.

`signature` is computed once, where the image is decoded; everything that compares
images works on arrays of signatures. `phash` is for a person who searches.
"""

from collections.abc import Sequence

import cv2
import imagehash
import numpy as np
from PIL import Image

from nexperia_tf.data.measure import views

VERSION = 5  # changes with the bytes of a signature: caches are keyed by it

SIDE = 64  # of the thumbnail
_HASH_SIDE = 16  # 256 bits


def signature(pixels: np.ndarray) -> bytes:
    """What the search for copies keeps of one image.

    Args:
        pixels: uint8 array of shape `(height, width)` or `(height, width, 3)`.

    Returns:
        4,096 bytes: a thumbnail of mean levels, 64x64 uint8, of what is inside a rim.
    """
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    thumbnail = cv2.resize(
        views.without_rim(grey),
        (SIDE, SIDE),
        interpolation=cv2.INTER_AREA,
    )
    return thumbnail.tobytes()


def phash(pixels: np.ndarray) -> str:
    """imagehash's pHash of 16x16 bits, as it prints it: 64 hexadecimal digits.

    Column `phash` of manifest.csv holds it. To find what looks like a picture, sort by
    the number of its 256 bits that differ; copies of one photograph differ in a few:

    >>> picture = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    >>> column = [phash(255 - picture), phash(picture // 2 + 50)]
    >>> mine = imagehash.phash(Image.fromarray(picture), hash_size=16)
    >>> [int(mine - imagehash.hex_to_hash(digits)) for digits in column]
    [254, 4]

    Args:
        pixels: uint8 array of shape `(height, width)` or `(height, width, 3)`.
    """
    return str(imagehash.phash(Image.fromarray(pixels), hash_size=_HASH_SIDE))


class Thumbnails(Sequence):
    """Thumbnails of many images that are unpacked where they are looked at.

    >>> both = Thumbnails([bytes(SIDE**2), bytes([9]) * SIDE**2])
    >>> both[np.array([1])].shape, both[1].max().item(), len(both[:1])
    ((1, 64, 64), 9, 1)

    Args:
        signatures: of the images.
    """

    def __init__(self, signatures: Sequence[bytes]):
        self._signatures = signatures

    def __len__(self) -> int:
        return len(self._signatures)

    def __getitem__(self, places) -> np.ndarray:
        """uint8 `(side, side)` of one image, else `(n, side, side)`."""
        if isinstance(places, slice):
            return thumbnails(self._signatures[places])
        if isinstance(places, int | np.integer):
            return thumbnails([self._signatures[places]])[0]
        return thumbnails([self._signatures[place] for place in places])


def thumbnails(signatures: Sequence[bytes]) -> np.ndarray:
    """The thumbnails, uint8 of shape `(n, 64, 64)`."""
    frames = np.empty((len(signatures), SIDE, SIDE), np.uint8)
    for frame, signature in zip(frames, signatures):
        frame.flat = np.frombuffer(signature, np.uint8)
    return frames


def cosines(count: int, size: int) -> np.ndarray:
    """The first `count` rows of the unnormalised DCT-II of length `size`."""
    frequency, place = np.mgrid[:count, :size]
    return 2 * np.cos(np.pi * frequency * (place + 0.5) / size)
