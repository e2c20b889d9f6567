"""Draws dark defects on pictures of good parts: cracks, dead regions, streaks, spots.

A network that sees a good picture with a drawn crack beside the same picture without
one learns what a crack looks like, and not which lot or module is a bad one. The idea
is that of CutPaste and DRAEM, with shapes in place of patches and textures.

References:
    [Li et al., 2021](https://arxiv.org/abs/2104.04015),
    [Zavrtanik et al., 2021](https://arxiv.org/abs/2108.07610).
"""

from collections.abc import Callable

import cv2
import numpy as np

from nexperia_tf.data import sample_canvas as canvas

TWO = 0.2  # of the pictures show two kinds


def draw(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The picture with one or two kinds of defects on it.

    Args:
        image: uint8 array of shape `(size, size, channels)`.
        random: decides which and where.

    Returns:
        uint8 array of the same shape, nowhere brighter.
    """
    shade = np.zeros(image.shape[:2], np.uint8)  # 255 hides all light
    for _ in range(1 + (random.random() < TWO)):
        KINDS[canvas.pick(random, SHARES)](shade, random)
    # As soft as the picture: else sharpness, and not the shape, would tell.
    blur = max(1, len(image) / 224) * random.uniform(0.4, 1.0)
    shade = cv2.GaussianBlur(shade, (0, 0), blur)
    return canvas.mix(image, np.zeros_like(image), shade[..., None])


def _somewhere(shade, random, margin: float = 0.05) -> np.ndarray:
    return random.uniform(margin, 1 - margin, 2) * len(shade)


def _line(shade, points, width: float, depth: float) -> None:
    """A line `width` 224ths of the side wide; a part of a pixel is a fainter one."""
    pixels = width * len(shade) / 224
    thickness = int(np.ceil(pixels))
    canvas.path(shade, points, round(255 * depth * pixels / thickness), thickness)


def _patch(shade, outline, depth: float, blur: float = 0.0) -> None:
    """A dark area, under which no shade gets lighter; `blur` is in pixels."""
    patch = np.zeros_like(shade)
    canvas.area(patch, outline, round(255 * depth))
    if blur:
        patch = cv2.GaussianBlur(patch, (0, 0), blur)
    np.maximum(shade, patch, out=shade)


def _crack(
    shade,
    random,
    *,
    start: np.ndarray | None = None,
    angle: float | None = None,
    length: tuple[float, float] = (0.15, 0.9),
    branches: int = 3,
) -> None:
    """A thin line, straight or bent, with up to `branches` branches.

    Cracks of crystals follow their diagonals: half of those with no `angle` do.
    """
    if start is None:
        start = _somewhere(shade, random)
    if angle is None:
        diagonal = np.pi / 4 * (2 * random.integers(4) + 1) + random.normal(0, 0.12)
        angle = random.choice([diagonal, random.uniform(0, 2 * np.pi)])
    reach = random.uniform(*length)
    ends = np.array([[0, 0], [np.cos(angle), np.sin(angle)]]) * reach
    middle = ends.mean(axis=0) + random.choice([0, 0.08]) * random.normal(0, reach, 2)
    bent = start + np.array([ends[0], middle, ends[1]]) * len(shade)
    run = canvas.ragged(random, bent, random.choice([0.1, 0.5, 1.0]))
    _line(shade, run, random.choice([1.2, 1.8, 2.6]), random.uniform(0.25, 0.85))
    if random.random() < 0.5:
        for _ in range(int(random.integers(branches + 1))):
            _crack(
                shade,
                random,
                start=run[random.integers(len(run))],
                angle=angle + random.choice([-1, 1]) * random.uniform(0.3, 1.6),
                length=(0.2 * reach, 0.7 * reach),
                branches=0,
            )


def _region(shade, random) -> None:
    """A part that a crack cut off: a corner, a strip from one side, or an island."""
    side = len(shade)
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
        size = 2 * random.uniform(0.06, 0.3)
        corners = int(random.integers(3, 7))
        outline = canvas.blob(random, random.uniform(0.1, 0.9, 2), size, size, corners)
    mirrored = random.random(2) < 0.5
    outline = side * np.where(mirrored, 1 - outline, outline)
    edge = canvas.ragged(random, outline[1:3], 0.6)
    depth = random.uniform(0.15, 0.85)
    _patch(shade, np.concatenate([outline[:1], edge, outline[3:]]), depth)
    if random.random() < 0.6:
        _line(shade, edge, 1.0, min(1.0, depth + random.uniform(0, 0.4)))
    if random.random() < 0.5:
        _crack(shade, random, start=edge[random.integers(len(edge))])


def _network(shade, random) -> None:
    """Several cracks, all over or crossing one another in one place."""
    if random.random() < 0.5:
        for _ in range(int(random.integers(2, 6))):
            _crack(shade, random)
        return
    centre = _somewhere(shade, random)
    angle = random.uniform(0, np.pi)
    for _ in range(int(random.integers(4, 12))):
        _crack(
            shade,
            random,
            start=centre + random.normal(0, 0.12 * len(shade), 2),
            angle=angle + random.choice([0, np.pi / 2, 0.6]) + random.normal(0, 0.1),
            length=(0.05, 0.35),
            branches=0,
        )
    if random.random() < 0.5:
        _region(shade, random)


def _streaks(shade, random) -> None:
    """Upright streaks side by side: fingers that carry no current."""
    side = len(shade)
    centre = _somewhere(shade, random)
    for _ in range(int(random.integers(1, 7))):
        top = centre + random.normal(0, 1, 2) * (0.08 * side, 0.05 * side)
        run = top + np.outer([0, 1], [0, random.uniform(0.05, 0.33) * side])
        _line(shade, run, random.uniform(1, 3), random.uniform(0.12, 0.5))


def _smear(shade, random) -> None:
    """One long dark patch with soft edges."""
    size = random.uniform((0.06, 0.04), (0.8, 0.18)) * len(shade)
    outline = canvas.blob(random, _somewhere(shade, random, 0.1), *size, points=24)
    blur = len(shade) / 224 * random.uniform(0.8, 3)
    _patch(shade, outline, random.uniform(0.4, 0.95), blur)


def _spots(shade, random) -> None:
    """Small dark patches, most of them at the rim."""
    side = len(shade)
    for _ in range(int(random.integers(1, 4))):
        place = _somewhere(shade, random)
        if random.random() < 0.7:
            place[random.integers(2)] = random.choice([0.02, 0.98]) * side
        size = 2 * random.uniform(0.015, 0.06) * side * random.uniform(0.5, 1.6, 2)
        outline = canvas.blob(random, place, *size, points=12)
        _patch(shade, outline, random.uniform(0.4, 0.95), side / 280)


KINDS: dict[str, Callable] = {
    "crack": _crack,
    "region": _region,
    "network": _network,
    "streaks": _streaks,
    "smear": _smear,
    "spots": _spots,
}
SHARES = {  # the last one takes what is left
    "crack": 0.42,
    "region": 0.2,
    "network": 0.14,
    "streaks": 0.08,
    "smear": 0.08,
    "spots": 1.0,
}
