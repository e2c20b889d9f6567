"""The laser marking of a look-alike device: three characters and a date code."""

from __future__ import annotations

import dataclasses

import numpy as np

from nexperia_tf.sample import canvas
from nexperia_tf.sample.canvas import curve


def _line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


_RING = curve(
    (0.5, 0),
    (0.05, 0),
    (0, 0.5),
    (0.05, 1),
    (0.5, 1),
    (0.95, 1),
    (1, 0.5),
    (0.95, 0),
    (0.5, 0),
)
_NINE = curve(
    (0.95, 0.35),
    (0.85, 0.62),
    (0.2, 0.62),
    (0, 0.35),
    (0.15, 0),
    (0.85, 0),
    (1, 0.35),
    (0.95, 0.75),
    (0.75, 1),
    (0.25, 1),
    (0.1, 0.85),
)
_LOWER_BOWL = curve((0, 0.48), (0.9, 0.48), (1.05, 0.75), (0.9, 1), (0, 1))
_UPPER_BOWL = curve((0, 0), (0.85, 0), (1, 0.24), (0.85, 0.48), (0, 0.48))

# Strokes in a unit box, y down, upright; the drawing turns them.
GLYPHS: dict[str, list[np.ndarray]] = {
    "0": [_RING],
    "1": [_line((0.25, 0.2), (0.6, 0), (0.6, 1))],
    "2": [
        curve((0.05, 0.25), (0.2, 0), (0.85, 0), (1, 0.3), (0.7, 0.6), (0, 1)),
        _line((0, 1), (1, 1)),
    ],
    "3": [
        curve((0.05, 0.12), (0.3, 0), (0.95, 0), (0.95, 0.47), (0.4, 0.47)),
        curve((0.4, 0.47), (1, 0.47), (1.05, 1), (0.3, 1), (0, 0.85)),
    ],
    "4": [_line((0.75, 1), (0.75, 0), (0, 0.68), (1, 0.68))],
    "5": [
        _line((0.95, 0), (0.15, 0), (0.1, 0.45)),
        curve((0.1, 0.45), (0.5, 0.33), (1, 0.45), (1, 0.95), (0.4, 1.03), (0, 0.88)),
    ],
    "6": [1.0 - _NINE],
    "7": [_line((0, 0), (1, 0), (0.35, 1))],
    "8": [
        curve(
            (0.5, 0.46),
            (0.05, 0.4),
            (0.1, 0),
            (0.9, 0),
            (0.95, 0.4),
            (0.5, 0.46),
            (-0.05, 0.55),
            (0, 1),
            (1, 1),
            (1.05, 0.55),
            (0.5, 0.46),
        )
    ],
    "9": [_NINE],
    "A": [_line((0, 1), (0.5, 0), (1, 1)), _line((0.2, 0.65), (0.8, 0.65))],
    "B": [_line((0, 0), (0, 1)), _UPPER_BOWL, _LOWER_BOWL],
    "C": [
        curve((1, 0.15), (0.75, 0), (0.1, 0), (0, 0.5), (0.1, 1), (0.75, 1), (1, 0.85))
    ],
    "D": [_line((0, 0), (0, 1)), curve((0, 0), (0.9, 0), (1, 0.5), (0.9, 1), (0, 1))],
    "F": [_line((0.95, 0), (0, 0), (0, 1)), _line((0, 0.48), (0.75, 0.48))],
    "G": [
        curve((1, 0.15), (0.75, 0), (0.1, 0), (0, 0.5), (0.1, 1), (0.75, 1), (1, 0.8)),
        _line((1, 0.85), (1, 0.55), (0.6, 0.55)),
    ],
    "J": [curve((0.8, 0), (0.8, 0.8), (0.75, 1), (0.2, 1), (0.05, 0.8))],
    "K": [
        _line((0, 0), (0, 1)),
        _line((0.9, 0), (0.05, 0.55)),
        _line((0.3, 0.4), (1, 1)),
    ],
    "M": [_line((0, 1), (0.05, 0), (0.5, 0.7), (0.95, 0), (1, 1))],
    "P": [_line((0, 0), (0, 1)), _UPPER_BOWL],
    "R": [_line((0, 0), (0, 1)), _UPPER_BOWL, _line((0.5, 0.48), (1, 1))],
    "S": [
        curve(
            (0.95, 0.15),
            (0.7, 0),
            (0.05, 0),
            (0.05, 0.42),
            (0.5, 0.48),
            (0.97, 0.55),
            (0.97, 1),
            (0.3, 1),
            (0, 0.85),
        )
    ],
    "T": [_line((0, 0), (1, 0)), _line((0.5, 0), (0.5, 1))],
    "V": [_line((0, 0), (0.5, 1), (1, 0))],
    "W": [_line((-0.1, 0), (0.2, 1), (0.5, 0.1), (0.8, 1), (1.1, 0))],
    "Y": [_line((0, 0), (0.5, 0.5), (1, 0)), _line((0.5, 0.5), (0.5, 1))],
    "Z": [_line((0, 0), (1, 0), (0, 1), (1, 1))],
    "o": [0.2 + 0.6 * _RING],
}

CODES = (
    *("5CW", "TVW", "1FW", "WDV", "WCM", "210", "1GW", "3GW", "3BW", "6CW", "Z7W"),
    *("W1A", "A7W", "110", "WV3", "1BW", "W76", "W1G", "CJW", "6BW", "RRW", "W2G"),
    *("W7S", "JYW", "5BW", "WCJ", "WV4", "A4W", "Z2W", "PTW"),
)
DATES = ("99", "98", "97", "96", "9o")


@dataclasses.dataclass(frozen=True)
class Marking:
    """What the laser wrote.

    Attributes:
        code: three characters, first one at the right (the device lies upside down).
        date: two digits, stacked and turned by 90 degrees at the left end.
        contrast: grey levels above the body.
        height: cap height in pixels.
        width: character width in pixels.
        pitch: distance of the characters in pixels.
        outlined: a crisp laser leaves two thin lines for each stroke.
        missing: places (0-2 characters, 3-4 digits) where nothing was written.
        ghost: offset in pixels of a second, weaker print, or None.
        ghost_contrast: contrast of that second print.
    """

    code: str
    date: str
    contrast: int = 50
    height: float = 34.0
    width: float = 27.0
    pitch: float = 38.0
    outlined: bool = False
    missing: tuple[int, ...] = ()
    ghost: tuple[float, float] | None = None
    ghost_contrast: int = 0


def strokes(marking: Marking) -> list[np.ndarray]:
    """All strokes of a marking, `(n, 2)` points in pixels from the body's centre."""
    places = []
    for place, character in enumerate(marking.code):
        narrow = 0.45 if character == "1" else 1.0
        centre = np.array([60.0 - place * marking.pitch, 1.5])
        turn = np.array([[-marking.width * narrow, 0.0], [0.0, -marking.height]])
        places.append((character, centre, turn))
    for place, digit in enumerate(marking.date):
        centre = np.array([-60.0, -10.0 + 21.5 * place])
        turn = np.array([[0.0, -31.0], [16.0, 0.0]])
        places.append((digit, centre, turn))
    return [
        centre + (stroke - 0.5) @ turn.T
        for place, (character, centre, turn) in enumerate(places)
        if place not in marking.missing
        for stroke in GLYPHS[character]
    ]


def draw(
    layer: np.ndarray, marking: Marking, *, centre: tuple[float, float], body: int
) -> None:
    """Writes a marking into a uint8 device layer, in place."""
    lines = strokes(marking)
    if marking.ghost is not None:
        shifted = [line + marking.ghost for line in lines]
        _write(layer, shifted, marking.outlined, centre, body, marking.ghost_contrast)
    _write(layer, lines, marking.outlined, centre, body, marking.contrast)


def _write(layer, lines, outlined, centre, body, contrast) -> None:
    edge = 18 if outlined else 0  # a crisp edge is brighter than a blurred stroke
    canvas.paths(layer, lines, min(255, body + contrast + edge), 4, at=centre)
    if outlined:
        canvas.paths(layer, lines, body + contrast // 3, 2, at=centre)
