"""Each number moves by what it is named after, and by little else."""

import cv2
import numpy as np
import pytest

from nexperia_tf.drift import measure


@pytest.fixture(scope="module")
def canvas():
    rng = np.random.default_rng(0)
    levels = cv2.GaussianBlur(rng.normal(110, 120, (96, 96)), (0, 0), 1.2)
    return np.clip(levels, 5, 200).astype(np.uint8)[..., None]


def moved(before, after):
    names = measure.names(before.shape[-1])
    return dict(zip(names, measure.of_canvas(after) - measure.of_canvas(before)))


def test_a_brighter_light_is_brightness_and_no_place(canvas):
    found = moved(canvas, np.rint(canvas * 1.1).astype(np.uint8))
    for name in ("brightness", "contrast", "darks", "brights"):
        assert found.pop(name) == pytest.approx(np.log(1.1), abs=0.02)
    assert max(map(abs, found.values())) < 0.03


def test_a_blur_is_less_fine_detail_everywhere(canvas):
    found = moved(canvas, cv2.GaussianBlur(canvas, (0, 0), 1)[..., None])
    assert found["fine detail"] < -0.1
    assert abs(found["brightness"]) < 0.01
    assert (
        max(abs(found[f"brightness {r} {c}"]) for r in range(4) for c in (0, 3)) < 0.01
    )


def test_a_smudge_is_seen_at_its_place(canvas):
    smudged = canvas.copy()
    smudged[72:, :24] = cv2.GaussianBlur(canvas, (0, 0), 2)[72:, :24, None] * 0.8
    found = moved(canvas, smudged)
    fine = {name: value for name, value in found.items() if name.startswith("fine")}
    assert min(fine, key=fine.get) == "fine detail 3 0"
    assert found["brightness 3 0"] == pytest.approx(np.log(0.8), abs=0.03)


def test_a_colour_cast_is_red_and_blue(canvas):
    colour = np.repeat(canvas, 3, axis=-1)
    assert measure.of_canvas(colour).shape == (40,)
    cast = colour.copy()
    cast[..., 0] = cast[..., 0] * 0.9
    found = moved(colour, cast)
    assert found["red"] == pytest.approx(np.log(0.9), abs=0.01)
    assert found["blue"] == 0


@pytest.mark.parametrize("level", [0, 255])
def test_a_blank_picture_has_numbers(level):
    assert np.isfinite(measure.of_canvas(np.full((32, 48, 1), level, np.uint8))).all()
