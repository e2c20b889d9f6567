"""Draws defects of any product on pictures of good parts, where the part is.

Lines, spots, pieces that miss or do not belong there, another texture, and chips of the
part's edge: what a picture of any product may show, from barely visible to strong by
the picture's own range and noise. `synthetic_defects` knows solar cells better.

References:
    [Li et al., 2021](https://arxiv.org/abs/2104.04015), a piece cut and pasted;
    [Zavrtanik et al., 2021](https://arxiv.org/abs/2108.07610), other textures.
"""

import dataclasses
import math
from collections.abc import Callable

import cv2
import numpy as np

from nexperia_tf.data.input import foreground, strokes
from nexperia_tf.sample import canvas

TRIES = 20
LEAST_PIXELS = 3  # that a defect is seen in
LEAST_LEVELS, MOST_LEVELS = 8.0, 24.0  # of a change that is seen, by the noise
LEAST_SIGNAL = 6.0  # standard deviations of the noise, over all that is seen
LEAST_NOISE = 2.0  # levels
LEAST_RANGE = 60.0  # levels; what is drawn on a plain part is not fainter for that
CUT = 0.8  # of lines and spots end where the part does; some hairs lie across

Window = tuple[slice, slice]  # rows and columns
Fill = Callable[["Scene", Window, np.random.Generator], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Scene:
    """A good picture without bars, and what is drawn by.

    Attributes:
        image: uint8 array of shape `(height, width, channels)`.
        part: uint8 array of shape `(height, width)`, 1 where the part is.
        colours: some of the part's pixels, `(n, channels)`.
        noise: levels; standard deviation between places a fine line's width apart.
        unit: the side of a square of as many pixels.
    """

    image: np.ndarray
    part: np.ndarray
    colours: np.ndarray
    noise: float
    unit: float

    @classmethod
    def of(cls, image: np.ndarray) -> "Scene":
        """Of a picture without bars."""
        part, unit = foreground.part(image), strokes.unit(image)
        every = math.ceil(unit / 24)
        colours = image[::every, ::every][part[::every, ::every] > 0]
        apart = max(1, round(unit / 64))
        grey = image[::every, :, image.shape[-1] // 2].astype(np.int16)
        steps = np.abs(grey[:, apart:] - grey[:, :-apart])
        noise = 1.05 * float(foreground.quantile(steps.ravel(), 0.5))
        return cls(image, part, colours, max(noise, LEAST_NOISE), unit)

    @property
    def least(self) -> float:
        """Levels from which a change is seen."""
        return min(max(LEAST_LEVELS, self.noise), MOST_LEVELS)

    @property
    def most(self) -> float:
        """Levels of the strongest change."""
        levels = self.colours.ravel()
        low, middle, high = (
            float(foreground.quantile(levels, share)) for share in (0.02, 0.5, 0.98)
        )
        return 0.9 * max(high - low, 0.6 * middle, LEAST_RANGE)


def draw_seen(
    image: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a defect that can be seen, and where.

    One that cannot be seen is drawn again. On a picture of one colour, as on a black
    one, there is nothing to be seen, and it stays as it is. The bars of a letterbox do,
    too.

    Args:
        image: uint8 array of shape `(height, width, channels)`.
        random: decides which and where.

    Returns:
        the picture, and uint8 of shape `(height, width, 1)`: 255 where it has changed
        so that it is seen, 0 elsewhere; nowhere, where the picture stayed as it is.
    """
    mask = np.zeros((*image.shape[:2], 1), np.uint8)
    inside = foreground.frame(image)
    if inside is None or _is_plain(image[inside]):
        return image, mask
    scene = Scene.of(image[inside])
    for _ in range(TRIES):
        kind = canvas.pick(random, SHARES)
        window, drawn, seen = draw(scene, random, kind)
        if seen.any():
            image = image.copy()
            image[inside][window], mask[inside][window] = drawn, seen[..., None]
            break
    return image, mask


def _is_plain(image: np.ndarray) -> bool:
    low, high = image.min(axis=0), image.max(axis=0)
    return bool((low.min(axis=0) == high.max(axis=0)).all())


def draw(
    scene: Scene, random: np.random.Generator, kind: str
) -> tuple[Window, np.ndarray, np.ndarray]:
    """A defect of one of `KINDS`.

    Returns:
        the window that it is in, the picture there, and uint8 `(rows, columns)`: 255
        where it is seen, nowhere if it is too faint for its size.
    """
    shape, fill = KINDS[kind](scene, random)
    blur = max(0.5, scene.unit / 224) * random.uniform(0.3, 1.2)
    window = _window(shape, margin=math.ceil(3 * blur))
    before, shape = scene.image[window], shape[window]
    if not shape.any():
        return window, before, np.zeros_like(shape)
    alpha = cv2.GaussianBlur(shape, (0, 0), blur)[..., None] / np.float32(255)
    after = before + alpha * (fill(scene, window, random) - before)
    drawn = np.rint(np.clip(after, 0, 255)).astype(np.uint8)
    return window, drawn, _seen(scene, before, drawn)


def _window(shape: np.ndarray, margin: int) -> Window:
    x, y, width, height = cv2.boundingRect(shape)
    return (
        slice(max(0, y - margin), y + height + margin),
        slice(max(0, x - margin), x + width + margin),
    )


def _seen(scene: Scene, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where the change is seen; gaps of a texture count, too."""
    change = foreground.strongest(cv2.absdiff(before, after).reshape(before.shape))
    seen = np.where(change > scene.least, 255, 0).astype(np.uint8)
    signal = math.sqrt(np.square(change[seen > 0], dtype=np.float32).sum())
    if cv2.countNonZero(seen) < LEAST_PIXELS or signal < LEAST_SIGNAL * scene.noise:
        return np.zeros_like(seen)
    return cv2.morphologyEx(seen, cv2.MORPH_CLOSE, _square(_gap(scene)))


def _gap(scene: Scene) -> int:
    """Pixels, odd."""
    return max(3, round(scene.unit / 45) | 1)


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), np.uint8)


def _between(random, low: float, high: float) -> float:
    """From low to high, as often in each octave."""
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _somewhere(where: np.ndarray, random) -> np.ndarray:
    """A place where `where` is not 0, x and y."""
    while True:  # faster than a list of all places, of which there are many
        y, x = (int(random.random() * side) for side in where.shape)
        if where[y, x]:
            return np.array([x, y], float)


def _lines(scene: Scene, random) -> np.ndarray:
    """A line from straight to winding, some with branches; 255 on it."""
    shape, unit = np.zeros_like(scene.part), scene.unit
    start, angle = _somewhere(scene.part, random), random.uniform(0, 2 * np.pi)
    for _ in range(1 + (random.random() < 0.25) * int(random.integers(1, 4))):
        length = _between(random, 0.04, 0.8) * unit
        run = strokes.wander(random, start, angle, length, unit / 40)
        width = max(_between(random, 0.7, 3.5), 224 / unit)  # a pixel at least
        strokes.line(shape, run, width, 1.0)
        angle += random.normal(0, 0.8)
        start = run[random.integers(len(run))]
    return shape


def _blobs(scene: Scene, random) -> np.ndarray:
    """An irregular area or a few; 255 on them."""
    shape = np.zeros_like(scene.part)
    for _ in range(1 + (random.random() < 0.3) * int(random.integers(1, 4))):
        size = 2 * _between(random, 0.008, 0.12) * scene.unit
        sides = random.permutation([size, size * _between(random, 0.4, 1)])
        centre = _somewhere(scene.part, random)
        outline = canvas.blob(random, centre, *np.maximum(sides, 2.5), points=12)
        strokes.patch(shape, outline, 1.0)
    return shape


def _on_part(scene: Scene, shape: np.ndarray) -> np.ndarray:
    return shape * scene.part


def _line(scene: Scene, random) -> tuple[np.ndarray, Fill]:
    """A scratch, a crack, a hair."""
    shape = _lines(scene, random)
    return _on_part(scene, shape) if random.random() < CUT else shape, _shade


def _spot(scene: Scene, random) -> tuple[np.ndarray, Fill]:
    """A stain, a pit, a particle."""
    shape = _blobs(scene, random)
    shape = _on_part(scene, shape) if random.random() < CUT else shape
    return shape, _shade if random.random() < 0.7 else _paint


def _piece(scene: Scene, random) -> tuple[np.ndarray, Fill]:
    """A piece that belongs elsewhere, so that another one misses here."""
    shape = _blobs(scene, random) if random.random() < 0.6 else _lines(scene, random)
    return _on_part(scene, cv2.dilate(shape, _square(3))), _moved


def _texture(scene: Scene, random) -> tuple[np.ndarray, Fill]:
    """A place that is blurred or grainy."""
    shape = cv2.dilate(_blobs(scene, random), _square(5))
    return _on_part(scene, shape), _blurred if random.random() < 0.5 else _grained


def _chip(scene: Scene, random) -> tuple[np.ndarray, Fill]:
    """A piece off the edge of the part, or of the picture; what lies outside shows."""
    inner = cv2.morphologyEx(
        scene.part,
        cv2.MORPH_ERODE,
        _square(3),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    places = np.flatnonzero((scene.part - inner).view(bool))
    y, x = divmod(int(random.choice(places)), scene.part.shape[1])
    sides = 2 * _between(random, 0.015, 0.12) * scene.unit * random.uniform(0.5, 1.5, 2)
    outline = canvas.blob(random, (x, y), *np.maximum(sides, 3), points=9)
    shape = np.zeros_like(scene.part)
    strokes.patch(shape, outline, 1.0)
    return shape, _outside


def _shade(scene: Scene, window: Window, random) -> np.ndarray:
    """Darker or brighter; on a colour picture some more in one colour than another."""
    levels = _between(random, scene.least, scene.most)
    levels *= -1 if random.random() < 0.65 else 1
    channels = scene.image.shape[-1]
    tint = np.ones(channels, np.float32)
    if channels > 1 and random.random() < 0.4:
        tint = random.uniform(0, 1, channels)
        tint /= tint.max()
    return scene.image[window] + (levels * tint).astype(np.float32)


def _paint(scene: Scene, window: Window, random) -> np.ndarray:
    """One plain colour, which hides what lies under it."""
    colour = scene.image[window].mean(axis=(0, 1))
    levels = _between(random, scene.least, scene.most)
    colour = colour + levels * random.choice([-1, 1]) * random.uniform(
        0.5, 1, len(colour)
    )
    return _noisy(np.clip(colour, 0, 255), scene, window, random)


def _moved(scene: Scene, window: Window, random) -> np.ndarray:
    """Another place of the same picture, mirrored, in another light."""
    places = []
    for side, at in zip(scene.image.shape, window):
        by = int(random.integers(side // 6, side - side // 6))
        along = (np.arange(side)[at] + by) % side
        places.append(along[:: -1 if random.random() < 0.5 else 1])
    light = np.float32(random.uniform(0.6, 1.4)), np.float32(random.uniform(-25, 25))
    return np.clip(scene.image[np.ix_(*places)] * light[0] + light[1], 0, 255)


def _blurred(scene: Scene, window: Window, random) -> np.ndarray:
    image = scene.image[window]
    blur = scene.unit / 224 * random.uniform(1.5, 5)
    return cv2.GaussianBlur(image, (0, 0), blur).reshape(image.shape)


def _grained(scene: Scene, window: Window, random) -> np.ndarray:
    image = scene.image[window]
    grain = random.standard_normal(image.shape[:2], np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), random.uniform(0.5, 2))
    grain *= _between(random, 1, 3.5) * scene.least / max(float(grain.std()), 1e-6)
    return image + grain[..., None]


def _outside(scene: Scene, window: Window, random) -> np.ndarray:
    """What lies beside the part there; beside the picture it is dark or bright."""
    beside = scene.image[window][scene.part[window] == 0]
    if len(beside):
        return _noisy(foreground.quantile(beside.T, 0.5), scene, window, random)
    darkest, brightest = (
        foreground.quantile(scene.colours.T, share).astype(float)
        for share in (0.02, 0.98)
    )
    dark = random.random() < 0.7
    colour = darkest * random.uniform(0, 0.8) if dark else brightest + 20
    return _noisy(np.clip(colour, 0, 255), scene, window, random)


def _noisy(colour: np.ndarray, scene: Scene, window: Window, random) -> np.ndarray:
    """An area of one colour with some of the picture's noise."""
    shape = scene.part[window].shape
    noise = random.standard_normal(shape, np.float32) * (0.5 * scene.noise)
    return colour.astype(np.float32) + noise[..., None]


KINDS: dict[str, Callable[[Scene, np.random.Generator], tuple[np.ndarray, Fill]]] = {
    "line": _line,
    "spot": _spot,
    "piece": _piece,
    "texture": _texture,
    "chip": _chip,
}
SHARES = {  # the last one takes what is left
    "line": 0.42,
    "spot": 0.3,
    "piece": 0.12,
    "texture": 0.07,
    "chip": 1.0,
}
