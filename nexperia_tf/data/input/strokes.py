"""Strokes that defects are drawn with: lines, areas and paths that wander.

Lengths on a rectangle are those on the square of as many pixels, its unit; points are
x and y in pixels.
"""

import math

import cv2
import numpy as np

from nexperia_tf.sample import canvas


def unit(shade) -> float:
    """The side of a square of as many pixels."""
    return math.sqrt(math.prod(shade.shape[:2]))


def sides(shade) -> np.ndarray:
    """Width and height, `(2,)`."""
    return np.array(shade.shape[1::-1])


def line(shade, points, width: float, depth: float) -> None:
    """A line `width` 224ths of the unit wide; a part of a pixel is a fainter one."""
    pixels = width * unit(shade) / 224
    thickness = int(np.ceil(pixels))
    line = np.zeros_like(shade)
    canvas.path(line, points, round(255 * depth * pixels / thickness), thickness)
    np.maximum(shade, line, out=shade)


def patch(shade, outline, depth: float, blur: float = 0.0) -> None:
    """A dark area, under which no shade gets lighter; `blur` is in pixels."""
    patch = np.zeros_like(shade)
    canvas.area(patch, outline, round(255 * depth))
    if blur:
        patch = cv2.GaussianBlur(patch, (0, 0), blur)
    np.maximum(shade, patch, out=shade)


def wander(random, start, angle: float, length: float, step: float) -> np.ndarray:
    """A path that keeps its heading but for slow turns, `(n, 2)`."""
    sd = random.choice([0.03, 0.1, 0.2])  # radians a step
    turns = random.normal(0, sd, max(2, round(length / step)))
    off = 0.0
    for i, turn in enumerate(turns):
        off = turns[i] = 0.9 * off + turn
    heading = angle + turns
    steps = step * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    return np.vstack([start, start + np.cumsum(steps, axis=0)])
