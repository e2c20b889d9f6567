"""Traces of JPEG, which takes the noise of a photograph away.

What it makes of a picture can be computed, and the grid of its blocks can be seen in a
picture that was saved without loss since.
"""

import itertools

import cv2
import numpy as np

from nexperia_tf.data import images
from nexperia_tf.data.measure import signature

_QUALITIES = range(40, 101)  # of JPEG
_SAME_LEVELS = 1.5  # of a blurred difference; encoders round differently
_CODED_OTHERWISE = 2e-3  # of the pixels; noise moves coefficients over their thresholds
_FINE = 6  # cycles, down and across together; coefficients from there on
_ZERO = 0.75  # levels; the rounding of pixels is .29
_GRID = 0.03  # of the coefficients; at most .01 without JPEG, at least .05 after it
_COLOURS = (
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
_PART, _UNIT = 1024, 16  # pixels a side: of a part looked at first, of what JPEG codes
_FARTHEST_CODED = 2.0  # levels between the means of blocks before and after JPEG


def is_made_of(copy: np.ndarray, original: np.ndarray) -> bool:
    """Whether `copy` is what JPEG makes of `original`, at any quality.

    Another photograph is not: its noise moves some coefficients over the thresholds of
    the code, and blocks of pixels with them.

    Args:
        copy, original: uint8 `(height, width)` or `(height, width, 3)`.
    """
    if copy.shape != original.shape:
        copy, original = images.grey(copy), images.grey(original)
    before, after = (_coded_blocks(images.grey(p)) for p in (original, copy))
    if np.quantile(np.abs(after - before), 0.99) > _FARTHEST_CODED:
        return False
    samplings = _COLOURS if original.ndim == 3 else _COLOURS[:1]
    for quality, sampling in itertools.product(_QUALITIES, samplings):
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
    if original.shape[0] * original.shape[1] <= _PART**2:
        return True
    top, left = (max(0, side - _PART) // 2 // _UNIT * _UNIT for side in copy.shape[:2])
    part = slice(top, top + _PART), slice(left, left + _PART)
    coded = _coded(np.ascontiguousarray(original[part]), quality, sampling)
    return bool(np.mean(coded != copy[part]) <= 5 * _CODED_OTHERWISE)


def _coded(pixels: np.ndarray, quality: int, sampling: int) -> np.ndarray:
    """What JPEG makes of grey or RGB pixels."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if pixels.ndim == 2:
        _, content = cv2.imencode(".jpg", pixels, options)
        return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, content = cv2.imencode(".jpg", pixels[..., ::-1], options)
    return cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1]


def _coded_blocks(grey: np.ndarray) -> np.ndarray:
    """The means of JPEG's blocks; it changes them least."""
    rows, columns = (max(1, side // 8) for side in grey.shape)
    whole = grey[: 8 * rows, : 8 * columns].astype(np.float32)
    return cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)


def was_there(picture: np.ndarray) -> bool:
    """Whether grey levels have been through JPEG, whatever was saved after that.

    JPEG makes most fine coefficients of its blocks 0. They are, but for rounding, in
    blocks that lie as JPEG's did, and in no others.

    Args:
        picture: float32 `(height, width)`.
    """
    zeros = np.zeros(picture.shape, np.uint8)
    waves = signature.cosines(8, 8) / np.sqrt([[32.0], *[[16.0]] * 7])  # of length 1
    fine = [(u, v) for u in range(8) for v in range(8) if u + v >= _FINE]
    for u, v in fine:
        wave = cv2.sepFilter2D(picture, cv2.CV_32F, waves[v], waves[u])
        zeros += np.abs(wave, out=wave) < _ZERO
    rows, columns = (side // 8 - 2 for side in picture.shape)
    if min(rows, columns) < 1:
        return True  # nobody can say
    zeros = zeros[8 : 8 + 8 * rows, 8 : 8 + 8 * columns]
    share = zeros.reshape(rows, 8, columns, 8).mean((0, 2)) / len(fine)
    return bool(share.max() - np.median(share) > _GRID)
