"""A raw folder of noise, for benchmarks that ask how a training ends."""

import pathlib

import numpy as np
from PIL import Image


def draw(folder: pathlib.Path) -> None:
    """Forty pictures of each class; defects are a little brighter."""
    noise = np.random.default_rng(0)
    for name, low in (("good", 0), ("defect", 12)):
        (folder / name).mkdir(parents=True)
        for i in range(40):
            pixels = noise.integers(low, 196 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
