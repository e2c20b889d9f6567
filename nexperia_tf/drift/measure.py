"""Numbers of a picture that move when a camera, a lens or a light does.

They are taken of the canvas that the network sees, and are logarithms, so that a
difference of .05 is a change by 5 %. Those of a place are less those of the whole
picture: a brighter light moves one number, a smudge on the lens the numbers of a place.
"""

import functools
import itertools

import cv2
import numpy as np

GRID = 4  # rows and columns of places
BRIGHTNESS, CONTRAST, DARKS, BRIGHTS = "brightness", "contrast", "darks", "brights"
FINE, COARSE = "fine detail", "coarse detail"
RED, BLUE = "red", "blue"
_SIGMAS = (1.0, 2.0, 4.0)  # pixels: detail is what lies between two blurs
_LEAST_LEVEL, _LEAST_ENERGY = 1.0, 0.05  # levels; black and blank have logarithms, too


@functools.cache
def names(channels: int) -> tuple[str, ...]:
    """What the numbers are, in their order; a place is `brightness 0 3`, row, column.

    >>> len(names(1)), names(3)[6:8]
    (38, ('red', 'blue'))
    """
    whole = (BRIGHTNESS, CONTRAST, DARKS, BRIGHTS, FINE, COARSE)
    colours = (RED, BLUE) if channels == 3 else ()
    places = [
        f"{what} {row} {column}"
        for what in (BRIGHTNESS, FINE)
        for row in range(GRID)
        for column in range(GRID)
    ]
    return (*whole, *colours, *places)


def place(name: str) -> tuple[int, int] | None:
    """Row and column of a number of a place; None of one of the whole picture.

    >>> place("fine detail 0 3"), place("fine detail")
    ((0, 3), None)
    """
    *_, row, column = ("", "", *name.split(" "))
    return (int(row), int(column)) if row.isdecimal() else None


def of_canvas(pixels: np.ndarray) -> np.ndarray:
    """Numbers of a picture.

    Args:
        pixels: letterboxed, uint8 of shape `(height, width, channels)`.

    Returns:
        float32 of shape `(numbers,)`, as `names` orders them.
    """
    levels = pixels.astype(np.float32).mean(axis=-1)
    dark, bright = _percentiles(pixels)
    energies = [band**2 for band in _bands(levels)]
    fine, middle, coarse = (_log_energy(energy.mean()) for energy in energies)
    brightness = _log_level(levels.mean())
    whole = [
        brightness,
        _log_level(levels.std()),
        _log_level(dark),
        _log_level(bright),
        fine - middle,
        middle - coarse,
    ]
    local_fine, local_middle = (_log_energy(_places(e)) for e in energies[:2])
    return np.concatenate(
        [
            whole,
            _colours(pixels),
            _log_level(_places(levels)) - brightness,
            local_fine - local_middle - (fine - middle),
        ]
    ).astype(np.float32)


def _percentiles(pixels: np.ndarray) -> tuple[float, float]:
    """The levels below which 5 % and 95 % of a picture's values lie, between two."""
    counts = np.bincount(pixels.reshape(-1), minlength=256)
    below = np.cumsum(counts) / pixels.size
    # Within a level its values count as spread evenly: a shift by half a level shows.
    return tuple(float(np.interp(q, below, np.arange(256) + 0.5)) for q in (0.05, 0.95))


def _bands(levels: np.ndarray) -> list[np.ndarray]:
    """What a picture holds between two blurs, the finest first."""
    blurred = [levels, *(cv2.GaussianBlur(levels, (0, 0), sigma) for sigma in _SIGMAS)]
    return [sharper - softer for sharper, softer in itertools.pairwise(blurred)]


def _places(values: np.ndarray) -> np.ndarray:
    """Means of the places of the grid, row by row."""
    return cv2.resize(values, (GRID, GRID), interpolation=cv2.INTER_AREA).reshape(-1)


def _colours(pixels: np.ndarray) -> list[float]:
    if pixels.shape[-1] != 3:
        return []
    red, green, blue = (_log_level(level) for level in pixels.mean(axis=(0, 1)))
    return [red - green, blue - green]


def _log_level(level):
    return np.log(level + _LEAST_LEVEL)


def _log_energy(energy):
    return np.log(energy + _LEAST_ENERGY) / 2
