import io

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.baseline import simple_numbers
from nexperia_tf.data.measure import measurement


def _noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def _with_line(angle, *, side=128, dark=True):
    """A flat picture with one thin line through its middle, turned by `angle`."""
    y, x = np.mgrid[:side, :side] - side / 2
    turned = np.radians(angle)
    off = np.abs(y * np.cos(turned) - x * np.sin(turned))
    line = 90 * np.clip(1.5 - off, 0, 1)
    return np.rint(150 + (-line if dark else line)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "size", [(1, 1), (1, 700), (700, 1), (3, 7), (48, 48), (300, 20), (900, 1100)]
)
def test_any_shape_gives_the_same_finite_numbers(size, channels):
    usual = simple_numbers.numbers(_noise((64, 64)), channels=channels)
    for pixels in (_noise(size), _noise((*size, 3)), np.zeros(size, np.uint8)):
        found = simple_numbers.numbers(pixels, channels=channels)
        assert list(found) == list(usual)
        assert np.isfinite(list(found.values())).all()
        small = simple_numbers.thumbnail(pixels)
        assert small.shape == (simple_numbers.THUMBNAIL**2,)
        assert np.isfinite(small).all()


def test_grey_stored_as_colour_has_the_numbers_of_grey():
    grey = _noise((64, 50))
    in_colour = np.repeat(grey[..., None], 3, axis=2)
    found = simple_numbers.numbers(in_colour, channels=3)
    assert found == simple_numbers.numbers(grey, channels=3)
    assert found["saturation at 100 %"] == 0


@pytest.mark.parametrize("angle", [0, 30, 60, 90, 120, 150])
@pytest.mark.parametrize("word", ["dark", "light"])
def test_a_line_is_strongest_in_its_own_direction(angle, word):
    pixels = _with_line(angle, dark=word == "dark")
    found = simple_numbers.numbers(pixels, channels=1)
    other = {"dark": "light", "light": "dark"}[word]
    strengths = {
        direction: found[f"{word} line {direction}° at 1/1"]
        for direction in range(0, 180, 30)
    }
    assert max(strengths, key=strengths.get) == angle
    assert strengths[angle] > found[f"{other} line {angle}° at 1/1"]


def test_a_wide_spot_is_seen_at_a_coarse_scale():
    y, x = np.mgrid[:256, :256] - 128
    spot = np.where(y**2 + x**2 < 20**2, 60, 160).astype(np.uint8)
    found = simple_numbers.numbers(spot, channels=1)
    by_scale = [found[f"spots at 1/{2**k}, 99.9 %"] for k in range(4)]
    assert max(by_scale) == by_scale[-1] > 1


def test_rows_and_columns_of_the_product_are_taken_off():
    grid = np.full((96, 96), 170, np.uint8)
    grid[::16] = 60
    grid[:, 20:24] = 90
    found = simple_numbers.numbers(grid, channels=1)
    marred = grid.copy()
    marred[38:42, 50:56] = 100
    other = simple_numbers.numbers(marred, channels=1)
    name = "level off the grid at 0 %"
    assert other[name] < found[name] - 20


def test_the_look_is_what_preparing_measures():
    pixels = _noise((70, 90), seed=3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    measured = measurement.measure(file.getvalue())
    found = simple_numbers.numbers(pixels, channels=1)
    for name in ("brightness", "contrast", "sharpness"):
        assert found[name] == pytest.approx(getattr(measured, name), rel=1e-9)


def test_light_alone_does_not_change_the_thumbnail():
    pixels = _noise((64, 64)) // 4
    brighter = (2 * pixels + 10).astype(np.uint8)
    one, two = map(simple_numbers.thumbnail, (pixels, brighter))
    np.testing.assert_allclose(one, two, atol=1e-4)
