import pathlib

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def picture():
    """Draws one textured picture: `picture(seed)` is a uint8 array, any two differ."""

    def draw(seed: int, *, side: int = 48, channels: int = 1) -> np.ndarray:
        random = np.random.default_rng(seed)
        shape = (side, side) if channels == 1 else (side, side, channels)
        return random.integers(0, 256, shape).astype(np.uint8)

    return draw


@pytest.fixture
def class_folders(tmp_path, picture):
    """Makes a raw folder of class folders: `class_folders({"ok/a.png": pixels})`."""

    def make(pictures: dict[str, np.ndarray] | None = None) -> pathlib.Path:
        if pictures is None:
            names = [f"{kind}/{i:02}.png" for kind in ("good", "ng") for i in range(12)]
            pictures = {name: picture(i) for i, name in enumerate(names)}
        raw = tmp_path / "raw"
        for name, pixels in pictures.items():
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(raw / name)
        return raw

    return make
