"""Draws dark defects on pictures of good parts, and marks that are none.

A network that sees a good picture with a drawn crack beside the same picture without
one learns what a crack looks like, and not which lot or module is a bad one. The idea
is that of CutPaste and DRAEM, with shapes in place of patches and textures. Where
streaks, spots or uneven light say nothing, both kinds of pictures get them. Lengths on
a rectangle are those on the square of as many pixels, its unit; places are anywhere.

References:
    [Li et al., 2021](https://arxiv.org/abs/2104.04015),
    [Zavrtanik et al., 2021](https://arxiv.org/abs/2108.07610).
"""

from collections.abc import Callable

import cv2
import numpy as np

from nexperia_tf.data.input import strokes
from nexperia_tf.sample import canvas

TWO = 0.2  # of the pictures show two kinds
LEAST_LEVELS, LEAST_SHARE = 3, 0.07  # of the light, that a seen place has lost more of
LEAST_PIXELS = 3  # that a defect is seen in
TRIES = 20  # on a picture of 8:1 one in two cannot be seen
DARK, CRACKS = "dark", "cracks"
LOOKS = (DARK, CRACKS)


def draw(
    image: np.ndarray, random: np.random.Generator, look: str = DARK
) -> np.ndarray:
    """The picture with one or two kinds of defects on it.

    Args:
        image: uint8 array of shape `(height, width, channels)`.
        random: decides which and where.
        look: one of `LOOKS`, the kinds that are defects.

    Returns:
        uint8 array of the same shape, nowhere brighter.
    """
    shade = np.zeros(image.shape[:2], np.uint8)  # 255 hides all light
    for _ in range(1 + (random.random() < TWO)):
        KINDS[canvas.pick(random, SHARES[look])](shade, random)
    return _shaded(image, shade, random)


def draw_seen(
    image: np.ndarray, random: np.random.Generator, look: str = DARK
) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a defect that can be seen, and where.

    One that fell on a letterbox's bars, on what is black already, or is too faint for
    so few pixels is drawn again, another one elsewhere. Where none can be seen the
    picture stays as it is, and so does what it is called.

    Args:
        image: uint8 array of shape `(height, width, channels)`.
        random: decides which and where.
        look: one of `LOOKS`.

    Returns:
        the picture, and 255 where the defect is seen as `place` gives it: nowhere,
        where the picture stayed as it is.
    """
    for _ in range(TRIES):
        drawn = draw(image, random, look)
        seen = place(image, drawn)
        if np.count_nonzero(seen) >= LEAST_PIXELS:
            return drawn, seen
    return image, np.zeros_like(seen)


def place(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where a drawn defect took light that can be seen.

    Args:
        before: uint8 array of shape `(height, width, channels)`.
        after: the same picture with the defect.

    Returns:
        uint8 array of shape `(height, width, 1)`, 255 there and 0 elsewhere.
    """
    lost = before.astype(np.int16) - after
    seen = (lost > LEAST_LEVELS) & (lost > LEAST_SHARE * before)
    return np.where(seen.any(axis=-1, keepdims=True), 255, 0).astype(np.uint8)


def add_harmless(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The picture with what good parts have, too, or as it is.

    About half of all pictures get their own mirrored texture once more, and some get
    uneven light, streaks or spots: what is no sign of a defect where only `CRACKS` are.

    Args:
        image: uint8 array of shape `(height, width, channels)`.
        random: decides what.

    Returns:
        uint8 array of the same shape.
    """
    gain = np.ones(image.shape, np.float32)
    if random.random() < 0.5:
        gain *= _texture(image, random) ** random.uniform(0.4, 1)
    if random.random() < 0.3:
        gain *= _uneven_light(image, random)[..., None]
    image = np.clip(image * gain, 0, 255).astype(np.uint8)
    shade = np.zeros(image.shape[:2], np.uint8)
    if random.random() < 0.35:
        _streaks(shade, random)
    if random.random() < 0.15:
        _spots(shade, random)
    return _shaded(image, shade, random)


def _texture(image, random) -> np.ndarray:
    """How much brighter each place of the mirrored picture is than what lies around."""
    axes = random.choice([1, 2, 3])
    mirrored = image[:: -1 if axes & 1 else 1, :: -1 if axes & 2 else 1]
    mirrored = np.ascontiguousarray(mirrored, np.float32)
    places = (
        np.rint(14 * strokes.sides(image) / strokes.unit(image)).astype(int).clip(1)
    )
    coarse = cv2.resize(mirrored, places.tolist(), interpolation=cv2.INTER_AREA)
    around = cv2.resize(coarse, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(mirrored / (around.reshape(image.shape) + 1), 0.3, 1.3)


def _uneven_light(image, random) -> np.ndarray:
    """A slope over the picture and darker rims, float32 of shape `(height, width)`."""
    along = [
        np.linspace(-1, 1, side, dtype=np.float32) for side in strokes.sides(image)
    ]
    slopes, rims = random.normal(0, 0.15, 2), random.uniform(0, 0.25, 2)
    rims *= random.random(2)
    x, y = (s * way - rim * way**2 for s, rim, way in zip(slopes, rims, along))
    return np.clip(1 + x + y[:, None], 0.3, 1.5)


def _shaded(image, shade, random) -> np.ndarray:
    # As soft as the picture: else sharpness, and not the shape, would tell.
    blur = max(0.7, strokes.unit(image) / 224) * random.uniform(0.4, 1.0)
    shade = cv2.GaussianBlur(shade, (0, 0), blur)
    return canvas.mix(image, np.zeros_like(image), shade[..., None])


def _somewhere(shade, random, margin: float = 0.05) -> np.ndarray:
    return random.uniform(margin, 1 - margin, 2) * strokes.sides(shade)


def _to_rim(place: np.ndarray, shade, random) -> None:
    """Moves a place to one of the four sides."""
    share = random.choice([0.02, 0.98])
    axis = random.integers(2)
    place[axis] = share * strokes.sides(shade)[axis]


def _crack(
    shade,
    random,
    *,
    start: np.ndarray | None = None,
    angle: float | None = None,
    length: tuple[float, float] = (0.15, 1.0),
    depth: tuple[float, float] = (0.12, 0.65),
    is_branch: bool = False,
) -> None:
    """A thin line that wanders, with branches; one side of it may be darker.

    Lengths are in units of the picture, the angle in radians. A branch has neither
    branches nor sides.
    """
    unit = strokes.unit(shade)
    if start is None:
        start = _somewhere(shade, random, 0.02)
        if random.random() < 0.35:  # many begin at the rim
            _to_rim(start, shade, random)
    if angle is None:
        angle = random.uniform(0, 2 * np.pi)
    reach, dark = random.uniform(*length), random.uniform(*depth)
    run = strokes.wander(random, start, angle, reach * unit, step=unit / 40)
    if not is_branch and random.random() < 0.3:
        across = np.array([-np.sin(angle), np.cos(angle)]) * random.choice([-1, 1])
        across *= random.uniform(0.05, 0.4) * unit
        outline = np.vstack([run, run[-1] + across, run[0] + across])
        strokes.patch(shade, outline, random.uniform(0.05, 0.35))
    strokes.line(shade, run, random.choice([1.0, 1.5, 2.2]), dark)
    if is_branch:
        return
    if random.random() < 0.35:
        for _ in range(int(random.integers(1, 4))):
            _crack(
                shade,
                random,
                start=run[random.integers(len(run))],
                angle=angle + random.choice([-1, 1]) * random.uniform(0.4, 1.6),
                length=(0.2 * reach, 0.8 * reach),
                depth=(0.6 * dark, dark),
                is_branch=True,
            )
    if random.random() < 0.1:  # where it was hit
        middle, size = run[len(run) // 2], random.uniform(0.015, 0.03) * unit
        strokes.patch(
            shade, canvas.blob(random, middle, size, size), random.uniform(0.4, 0.8)
        )


def _region(shade, random) -> None:
    """A part that a crack cut off: a corner, a strip from one side, or an island."""
    sides = strokes.sides(shade)
    shape = canvas.pick(random, {"corner": 0.33, "strip": 0.33, "island": 1.0})
    if shape == "corner":
        a, b = random.uniform(0.08, 0.6, 2)
        outline = np.array([[0, 0], [a, 0], [0, b]])
    elif shape == "strip":
        top, height = random.uniform(0, 0.75), random.uniform(0.12, 0.33)
        reach = random.uniform(0.1, 0.7)
        far = reach * random.uniform(0.3, 1.3)
        outline = np.array([[0, top], [reach, top], [far, top + height]])
        outline = np.vstack([outline, [0, top + height]])
    else:
        width, height = 2 * random.uniform(0.06, 0.3) * (strokes.unit(shade) / sides)
        corners = int(random.integers(3, 7))
        place = random.uniform(0.1, 0.9, 2)
        outline = canvas.blob(random, place, width, height, corners)
    mirrored = random.random(2) < 0.5
    outline = sides * np.where(mirrored, 1 - outline, outline)
    edge = canvas.ragged(random, outline[1:3], 0.6)
    depth = random.uniform(0.15, 0.85)
    strokes.patch(shade, np.concatenate([outline[:1], edge, outline[3:]]), depth)
    if random.random() < 0.6:
        strokes.line(shade, edge, 1.0, min(1.0, depth + random.uniform(0, 0.4)))
    if random.random() < 0.5:
        _crack(shade, random, start=edge[random.integers(len(edge))])


def _network(shade, random) -> None:
    """Several short cracks, most of them around one place."""
    away = 0.2 * strokes.unit(shade)
    centre = _somewhere(shade, random, 0.1)
    for _ in range(int(random.integers(2, 6))):
        near = np.clip(centre + random.normal(0, away, 2), 0, strokes.sides(shade))
        start = near if random.random() < 0.7 else None
        _crack(shade, random, start=start, length=(0.1, 0.5))


def _streaks(shade, random) -> None:
    """Upright streaks side by side: fingers that carry no current."""
    unit = strokes.unit(shade)
    centre = _somewhere(shade, random)
    for _ in range(int(random.integers(1, 7))):
        top = centre + random.normal(0, 1, 2) * (0.08 * unit, 0.05 * unit)
        run = top + np.outer([0, 1], [0, random.uniform(0.05, 0.33) * unit])
        strokes.line(shade, run, random.uniform(1, 3), random.uniform(0.12, 0.5))


def _smear(shade, random) -> None:
    """One long dark patch with soft edges."""
    size = random.uniform((0.06, 0.04), (0.8, 0.18)) * strokes.unit(shade)
    outline = canvas.blob(random, _somewhere(shade, random, 0.1), *size, points=24)
    blur = strokes.unit(shade) / 224 * random.uniform(0.8, 3)
    strokes.patch(shade, outline, random.uniform(0.4, 0.95), blur)


def _spots(shade, random) -> None:
    """Small dark patches, most of them at the rim."""
    unit = strokes.unit(shade)
    for _ in range(int(random.integers(1, 4))):
        place = _somewhere(shade, random)
        if random.random() < 0.7:
            _to_rim(place, shade, random)
        size = 2 * random.uniform(0.015, 0.06) * unit * random.uniform(0.5, 1.6, 2)
        outline = canvas.blob(random, place, *size, points=12)
        strokes.patch(shade, outline, random.uniform(0.4, 0.95), unit / 280)


KINDS: dict[str, Callable] = {
    "crack": _crack,
    "region": _region,
    "network": _network,
    "streaks": _streaks,
    "smear": _smear,
    "spots": _spots,
}
SHARES = {  # of each look; the last one takes what is left
    DARK: {
        "crack": 0.42,
        "region": 0.2,
        "network": 0.14,
        "streaks": 0.08,
        "smear": 0.08,
        "spots": 1.0,
    },
    CRACKS: {"crack": 0.65, "region": 0.2, "network": 1.0},
}
