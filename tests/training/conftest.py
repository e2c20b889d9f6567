"""What several tests of training share: a tiny network, and pictures it can learn."""

import numpy as np
import pytest

from nexperia_tf.models import backbones

SHAPE = backbones.Shape((1, 1), planes=(4, 8), stem=4)


@pytest.fixture(scope="module")
def two_stage_backbone():
    """Makes `--backbone tiny` known, a network of two stages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "tiny", SHAPE)
        yield


@pytest.fixture(scope="session")
def noisy_picture():
    """`noisy_picture(random, spot)`: uint8 `(32, 32)`, and the spot's box, if any."""

    def draw(random: np.random.Generator, *, spot: bool):
        pixels = random.integers(40, 130, (32, 32)).astype(np.uint8)
        if not spot:
            return pixels, None
        x, y = (int(place) for place in random.integers(4, 20, 2))
        pixels[y : y + 7, x : x + 7] = 240
        return pixels, [x, y, x + 7, y + 7]

    return draw
