import io

import cv2
import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data import images
from nexperia_tf.data.proof import jpeg_traces


def levels(seed: int, shape=(160, 200)) -> np.ndarray:
    """A part in fine grain before any camera."""
    random = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(random.normal(0, 30, shape), (0, 0), 0.8)
    return 110 + grain + cv2.GaussianBlur(random.normal(0, 300, shape), (0, 0), 9)


def photograph(scene: np.ndarray, seed: int, noise: float = 1.5) -> np.ndarray:
    taken = scene + np.random.default_rng(seed).normal(0, noise, scene.shape)
    return np.clip(np.rint(taken), 0, 255).astype(np.uint8)


def saved(pixels: np.ndarray, **options) -> np.ndarray:
    """Pixels as Pillow writes a JPEG of them and this project reads it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return images.load(file.getvalue()).pixels


@pytest.mark.parametrize("quality", [50, 75, 90, 95])
def test_jpeg_of_a_picture_is_known_and_jpeg_of_another_photograph_is_not(quality):
    scene = levels(0)
    first, second = photograph(scene, 1), photograph(scene, 2, noise=0.5)
    assert jpeg_traces.is_made_of(saved(first, quality=quality), first)
    assert not jpeg_traces.is_made_of(saved(second, quality=quality), first)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_jpeg_of_a_colour_picture_is_known(subsampling):
    pixels = np.stack([photograph(levels(k), k) for k in range(3)], -1)
    coded = saved(pixels, quality=80, subsampling=subsampling)
    assert jpeg_traces.is_made_of(coded, pixels)
    assert not jpeg_traces.is_made_of(coded, pixels[::-1].copy())


@pytest.mark.parametrize("quality", [75, 90, 95])
def test_a_picture_remembers_jpeg_whatever_was_done_without_loss_since(quality):
    first = photograph(levels(3), 4)
    coded = saved(first, quality=quality).astype(np.float32)
    assert not jpeg_traces.was_there(first.astype(np.float32))
    assert jpeg_traces.was_there(coded)
    assert jpeg_traces.was_there(coded[3:, 5:].copy())  # a crop moves the grid
    assert jpeg_traces.was_there(np.rint(0.9 * coded))


@pytest.mark.parametrize("quality", [41, 75, 95])
def test_a_file_says_with_which_quality_it_was_saved(quality):
    picture, file = Image.fromarray(photograph(levels(0), 1)), io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=quality)
    assert jpeg_traces.qualities(file) == (quality,)
    own, other = [list(range(1, 65)), [3] * 64], io.BytesIO()
    picture.convert("RGB").save(other, "JPEG", qtables=own)
    assert jpeg_traces.qualities(other) == ()


def test_a_part_that_shows_jpeg_clearly_says_it_of_the_whole():
    first = photograph(levels(3), 4)
    for picture in (first, saved(first, quality=90), first[:100, :90]):
        picture = picture.astype(np.float32)
        said = jpeg_traces.surely_there(picture)
        assert said == jpeg_traces.was_there(picture)
