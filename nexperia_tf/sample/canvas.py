"""What the sample draws with: noise, texture, lines and areas, in integers only.

Only integer paths of OpenCV and numpy touch pixels, so that the same numbers give the
same bytes on any machine.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Sequence

import cv2
import numpy as np

WIDTH, HEIGHT = 275, 267
_SUBPIXEL_BITS = 4  # cv2 draws with coordinates in 1/16 pixel

# Streams of random numbers of one device.
LOOK, POCKET, DEVICE, DEFECT, NOISE, SPECKS = range(6)

# 256 equally likely values of a normal variable: noise from random bytes.
_QUANTILES = np.array(
    [statistics.NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)]
)
_SHEET = 768  # side of a sheet of noise, pixels


def stream(key: tuple[int, ...], part: int) -> np.random.Generator:
    """The random numbers of one part of one device."""
    return np.random.default_rng([*key, part])


def curve(*points: tuple[float, float]) -> np.ndarray:
    """A smooth path from the first to the last of few points, `(n, 2)`."""
    return _corner_cutting(len(points)) @ np.array(points, float)


@functools.cache
def _corner_cutting(count: int) -> np.ndarray:
    """Chaikin's corner cutting, two rounds, as weights of `count` points."""
    weights = np.eye(count)
    for _ in range(2):
        quarter = 0.75 * weights[:-1] + 0.25 * weights[1:]
        three_quarters = 0.25 * weights[:-1] + 0.75 * weights[1:]
        cut = np.stack([quarter, three_quarters], axis=1).reshape(-1, count)
        weights = np.concatenate([weights[:1], cut, weights[-1:]])
    return weights


def bell(random: np.random.Generator, shape: tuple[int, int], sd: float) -> np.ndarray:
    """Integer normal noise, int16 of `shape`; not to be changed in place."""
    return _cut(random, _noise_sheet(sd), shape)


def sensor_noise(
    random: np.random.Generator, shape: tuple[int, int], sd: float
) -> np.ndarray:
    """The same, neighbouring pixels correlated by about one half."""
    return _cut(random, _sensor_sheet(sd), shape)


def _cut(random, sheet: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A piece of a sheet of noise from a random place: far faster than new noise."""
    y = int(random.integers(_SHEET - shape[0] + 1))
    x = int(random.integers(_SHEET - shape[1] + 1))
    return sheet[y : y + shape[0], x : x + shape[1]]


@functools.lru_cache(64)
def _noise_sheet(sd: float) -> np.ndarray:
    uniform = np.frombuffer(np.random.default_rng(0).bytes(_SHEET**2), np.uint8)
    table = np.rint(_QUANTILES * sd).astype(np.int16)
    return table[uniform].reshape(_SHEET, _SHEET)


@functools.lru_cache(64)
def _sensor_sheet(sd: float) -> np.ndarray:
    clouds = np.clip(_noise_sheet(round(2.2 * sd, 2)) + 128, 0, 255).astype(np.uint8)
    clouds = cv2.GaussianBlur(clouds, (0, 0), 0.8).astype(np.int16) - 128
    return clouds + np.roll(_noise_sheet(round(0.7 * sd, 2)), 97, axis=1)


def mottle(
    random: np.random.Generator, shape: tuple[int, int], grain: float
) -> np.ndarray:
    """Cloudy texture, uint8 of `shape` over 0-255; `grain` is the size of a cloud."""
    return _cut(random, _cloud_sheet(grain), shape)


@functools.lru_cache(64)
def _cloud_sheet(grain: float) -> np.ndarray:
    side = math.ceil(_SHEET / grain)
    coarse = np.frombuffer(np.random.default_rng(1).bytes(side * side), np.uint8)
    size = (_SHEET, _SHEET)
    coarse = coarse.reshape(side, side)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR_EXACT)


def mix(under: np.ndarray, over: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`over` seen through `alpha` (0-255) on `under`, all uint8, in integers."""
    alpha = alpha.astype(np.uint16)
    blend = under * (255 - alpha) + over * alpha + 127
    return (blend // 255).astype(np.uint8)


def path(
    image: np.ndarray,
    points: np.ndarray,
    level: int,
    thickness: int = 1,
    *,
    at: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Draws an antialiased open path through `(n, 2)` points, in place.

    Args:
        image: uint8, drawn into.
        points: x and y in pixels, a pixel's centre at whole numbers.
        level: grey level of the ink.
        thickness: pixels.
        at: where the points' origin lies in the image.
    """
    paths(image, [points], level, thickness, at=at)


def paths(
    image: np.ndarray,
    runs: Sequence[np.ndarray],
    level: int,
    thickness: int = 1,
    *,
    at: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Draws several paths of one level, in place; see `path`."""
    # Converting all points at once is what keeps many short paths fast.
    ends = np.cumsum([len(run) for run in runs]).tolist()
    fixed = _subpixels(np.concatenate(runs), at)
    lines = [fixed[start:end] for start, end in zip([0, *ends], ends)]
    cv2.polylines(
        image, lines, False, int(level), thickness, cv2.LINE_AA, _SUBPIXEL_BITS
    )


def area(
    image: np.ndarray,
    points: np.ndarray,
    level: int,
    *,
    at: tuple[float, float] = (0.0, 0.0),
) -> None:
    """Fills an antialiased polygon, in place; arguments as those of `path`."""
    outline = [_subpixels(points, at)]
    cv2.fillPoly(image, outline, int(level), cv2.LINE_AA, _SUBPIXEL_BITS)


def _subpixels(points: np.ndarray, at: tuple[float, float]) -> np.ndarray:
    fixed = (np.asarray(points, float) + at) * (1 << _SUBPIXEL_BITS)
    return np.rint(fixed).astype(np.int32)


def star(reach: np.ndarray) -> np.ndarray:
    """Closed outlines around the origin.

    Args:
        reach: distance of each corner from the origin, shape `(..., corners)`.

    Returns:
        float array of shape `(..., corners, 2)`.
    """
    return reach[..., None] * _directions(reach.shape[-1])


@functools.cache
def _directions(count: int) -> np.ndarray:
    turn = 2 * np.pi / count * np.arange(count)
    return np.stack([np.cos(turn), np.sin(turn)], axis=1)


def ragged(random, points, roughness: float) -> np.ndarray:
    """A path made jagged between its corners; a step every four pixels."""
    points = np.asarray(points, float)
    jagged = [points[:1]]
    for a, b in itertools.pairwise(points):
        steps = max(1, int(np.hypot(*(b - a)) / 4))
        along = a + (b - a) * (np.arange(1, steps + 1) / steps)[:, None]
        off = bell(random, (steps, 2), 16) * (roughness / 16)
        off[-1] = 0
        jagged.append(along + off)
    return np.concatenate(jagged)


def blob(random, centre, width: float, height: float, points: int = 14) -> np.ndarray:
    """An irregular closed outline."""
    outline = star(random.uniform(0.55, 1.1, points))
    return centre + outline * (width / 2, height / 2)


def pick(random, shares: dict[str, float]) -> str:
    """One of the names, by its share; the last takes what is left."""
    names = list(shares)
    limits = np.cumsum(list(shares.values())[:-1])
    return names[int(np.searchsorted(limits, random.random()))]
