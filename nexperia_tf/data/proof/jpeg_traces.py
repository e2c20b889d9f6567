"""Traces of JPEG, which takes the noise of a photograph away.

What it makes of a picture can be computed, and the grid of its blocks can be seen in a
picture that was saved without loss since.
"""

import functools
import io
import itertools
from collections.abc import Iterable
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from nexperia_tf.data import images
from nexperia_tf.data.measure import signature

QUALITIES = range(40, 101)  # of JPEG
_SAME_LEVELS = 1.5  # of a blurred difference; encoders round differently
_CODED_OTHERWISE = 2e-3  # of the pixels; noise moves coefficients over their thresholds
_FINE = 6  # cycles, down and across together; coefficients from there on
_ZERO = 0.75  # levels; the rounding of pixels is .29
_SHOWN, _CLEAR_GRID = 128, 0.06  # pixels a side of a part, what is clear in it
_GRID = 0.03  # of the coefficients; at most .01 without JPEG, at least .05 after it
_COLOURS = (
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
_PARTS = 112, 1024  # pixels a side of parts looked at first; there may differ
_PART_OTHERWISE = {112: 250, 1024: 5}  # times as many of the pixels at most
_UNIT = 16  # pixels a side of what JPEG codes
_FARTHEST_CODED = 2.0  # levels between the means of blocks before and after JPEG


def qualities(file: BinaryIO) -> tuple[int, ...]:
    """The qualities whose table for brightness a JPEG file was quantised with.

    None where its encoder has tables of its own, which cannot be imitated here.
    """
    with Image.open(file) as picture:
        tables = getattr(picture, "quantization", {})
    return _of_table().get(tuple(tables.get(0, ())), ())


@functools.cache
def _of_table() -> dict[tuple[int, ...], tuple[int, ...]]:
    """The qualities of each table for brightness."""
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for quality in QUALITIES:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        _, content = cv2.imencode(".jpg", np.zeros((8, 8), np.uint8), options)
        with Image.open(io.BytesIO(content.tobytes())) as picture:
            table = tuple(picture.quantization[0])
        found[table] = (*found.get(table, ()), quality)
    return found


def is_made_of(
    copy: np.ndarray, original: np.ndarray, among: Iterable[int] = QUALITIES
) -> bool:
    """Whether `copy` is what JPEG makes of `original`, at one of some qualities.

    Another photograph is not: its noise moves some coefficients over the thresholds of
    the code, and blocks of pixels with them.

    Args:
        copy, original: uint8 `(height, width)` or `(height, width, 3)`.
        among: qualities to try, see `qualities`.
    """
    if copy.shape != original.shape:
        copy, original = images.grey(copy), images.grey(original)
    if not may_be_coded(*(coded_blocks(images.grey(p)) for p in (original, copy))):
        return False
    samplings = _COLOURS if original.ndim == 3 else _COLOURS[:1]
    for quality, sampling in itertools.product(among, samplings):
        if not _may_be_made_of(copy, original, quality, sampling):
            continue
        coded = _coded(original, quality, sampling)
        if np.mean(coded != copy) > _CODED_OTHERWISE:
            continue
        difference = cv2.subtract(coded, copy, dtype=cv2.CV_32F)
        if np.abs(cv2.GaussianBlur(difference, (0, 0), 1.2)).max() <= _SAME_LEVELS:
            return True
    return False


def _may_be_made_of(
    copy: np.ndarray, original: np.ndarray, quality: int, sampling: int
) -> bool:
    """Whether a part from the middle is, which JPEG codes as in the whole picture."""
    for side in _PARTS:
        if copy.shape[0] * copy.shape[1] > side**2:
            differ = _part_differs(copy, original, quality, sampling, side)
            # All that may differ in the picture may lie in the part.
            most = min(copy.size / differ.size, _PART_OTHERWISE[side])
            if differ.mean() > most * _CODED_OTHERWISE:
                return False
    return True


def _part_differs(copy, original, quality: int, sampling: int, side: int) -> np.ndarray:
    """Which levels of a part do, its border aside."""
    sides = copy.shape[:2]
    top, left = (max(0, length - side) // 2 // _UNIT * _UNIT for length in sides)
    part = slice(top, top + side), slice(left, left + side)
    coded = _coded(np.ascontiguousarray(original[part]), quality, sampling)
    inner = slice(_UNIT, -_UNIT), slice(_UNIT, -_UNIT)
    return (coded != copy[part])[inner]


def _coded(pixels: np.ndarray, quality: int, sampling: int) -> np.ndarray:
    """What JPEG makes of grey or RGB pixels."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if pixels.ndim == 2:
        _, content = cv2.imencode(".jpg", pixels, options)
        return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, content = cv2.imencode(".jpg", pixels[..., ::-1], options)
    return cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1]


def may_be_coded(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether blocks may be one another's after JPEG, `(rows, columns)` each."""
    if before.shape != after.shape:
        return False
    return bool(np.quantile(np.abs(after - before), 0.99) <= _FARTHEST_CODED)


def coded_blocks(grey: np.ndarray) -> np.ndarray:
    """The means of JPEG's blocks; it changes them least."""
    rows, columns = (max(1, side // 8) for side in grey.shape)
    whole = grey[: 8 * rows, : 8 * columns].astype(np.float32)
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)


def surely_there(picture: np.ndarray) -> bool:
    """What `was_there` says, where a part shows it clearly from that alone."""
    rows, columns = (
        slice(max(0, side - _SHOWN) // 2, max(0, side - _SHOWN) // 2 + _SHOWN)
        for side in picture.shape
    )
    part = picture[rows, columns]
    clearly = min(part.shape) >= _SHOWN and _grid(part) > _CLEAR_GRID
    return clearly or was_there(picture)


def was_there(picture: np.ndarray) -> bool:
    """Whether grey levels have been through JPEG, whatever was saved after that.

    JPEG makes most fine coefficients of its blocks 0. They are, but for rounding, in
    blocks that lie as JPEG's did, and in no others.

    Args:
        picture: float32 `(height, width)`.
    """
    return _grid(picture) > _GRID


def _grid(picture: np.ndarray) -> float:
    """How many more fine coefficients are zero in the likeliest grid than in most."""
    zeros = np.zeros(picture.shape, np.uint8)
    waves = signature.cosines(8, 8) / np.sqrt([[32.0], *[[16.0]] * 7])  # of length 1
    fine = [(u, v) for u in range(8) for v in range(8) if u + v >= _FINE]
    for u, v in fine:
        wave = cv2.sepFilter2D(picture, cv2.CV_32F, waves[v], waves[u])
        zeros += np.abs(wave, out=wave) < _ZERO
    rows, columns = (side // 8 - 2 for side in picture.shape)
    if min(rows, columns) < 1:
        return 1.0  # nobody can say
    zeros = zeros[8 : 8 + 8 * rows, 8 : 8 + 8 * columns]
    share = zeros.reshape(rows, 8, columns, 8).mean((0, 2)) / len(fine)
    return float(share.max() - np.median(share))
