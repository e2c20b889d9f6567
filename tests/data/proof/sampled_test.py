"""What a sample of pixels refuses, and what it must not refuse."""

import cv2
import numpy as np
import pytest

from nexperia_tf.data.measure import views
from nexperia_tf.data.proof import alignment, sampled
from nexperia_tf.sample import command as sample

SIDE = 300


def part(number: int) -> np.ndarray:
    """A drawn device as a camera saw it, uint8 `(SIDE, SIDE)`."""
    pixels, _ = sample.device(0, number)
    size = (SIDE, SIDE)
    levels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    levels += np.random.default_rng(number).normal(0, 3, levels.shape)
    return np.clip(np.rint(levels), 2, 250).astype(np.uint8)


def coded(pixels: np.ndarray, quality: int) -> np.ndarray:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imdecode(cv2.imencode(".jpg", pixels, options)[1], cv2.IMREAD_GRAYSCALE)


def way_of(shift, degrees: float) -> np.ndarray:
    """From places of a moved picture to those of the one it was."""
    moved = cv2.getRotationMatrix2D(((SIDE - 1) / 2,) * 2, degrees, 1)
    moved[:, 2] += shift
    return np.linalg.inv(np.vstack([moved, [0, 0, 1]]))


def copied(pixels: np.ndarray, way: np.ndarray, interpolation: int) -> np.ndarray:
    flags = interpolation | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REFLECT
    size = pixels.shape[::-1]
    return cv2.warpAffine(pixels, way[:2], size, flags=flags, borderMode=border)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
def test_no_resampled_copy_is_refused(seed, interpolation):
    random = np.random.default_rng(seed)
    original = part(seed)
    way = way_of(random.uniform(-5, 5, 2), random.uniform(-3, 3))
    copy = copied(original, way, interpolation)
    if seed % 2:
        copy = np.rint(0.9 * copy).astype(np.uint8)
    look = sampled.Sampled([copy, original].__getitem__)
    near = way.copy()
    near[:2, 2] += random.uniform(-0.7, 0.7, 2)  # as a look at thumbnails finds it
    found = look.aligned(0, 1, near)
    ends = np.array([[x, y, 1] for x in (0, SIDE) for y in (0, SIDE)])
    assert np.abs((found - way) @ ends.T).max() < 0.15  # pixels
    assert not look.no_resampled_copy(0, 1, found)
    assert not look.no_resampled_copy(1, 0, np.linalg.inv(found))


@pytest.mark.parametrize("quality", [75, 90])
def test_what_jpeg_changed_is_no_resampled_copy(quality):
    original = part(3)
    way = way_of((1.3, -2.4), 2.0)
    copy = coded(copied(original, way, cv2.INTER_LINEAR), quality)
    look = sampled.Sampled([copy, original].__getitem__)
    found = look.aligned(0, 1, way)
    assert found is not None and look.no_resampled_copy(0, 1, found)


def test_a_tone_curve_is_refused_only_where_there_is_none():
    original = part(1)
    brighter = np.clip(np.rint(255 * (original / 255) ** 0.8), 0, 255).astype(np.uint8)
    shifted = np.roll(brighter, (2, -3), (0, 1))
    pictures = [original, shifted, coded(brighter, 90)]
    look = sampled.Sampled(pictures.__getitem__)
    shift = np.array([[1.0, 0, -3], [0, 1, 2], [0, 0, 1]])
    assert not look.off_any_curve(0, 1, shift)
    assert look.off_any_curve(0, 1, np.eye(3))
    assert look.off_any_curve(0, 2, np.eye(3))


def test_nothing_is_said_of_pictures_that_nothing_aligns():
    noise = np.random.default_rng(0).integers(40, 200, (2, SIDE, SIDE)).astype(np.uint8)
    flat = np.full((SIDE, SIDE), 128, np.uint8)
    tiny = part(0)[:6, :6]
    pictures = [*noise, flat, tiny]
    look = sampled.Sampled(pictures.__getitem__)
    for a, b in ((0, 1), (2, 2), (0, 2), (3, 3), (0, 3)):
        assert look.aligned(a, b, np.eye(3)) is None
    assert not look.no_resampled_copy(3, 3, np.eye(3))


@pytest.mark.parametrize("turn", range(views.TURNS))
def test_places_of_a_turned_picture_are_those_it_had(turn):
    picture = np.arange(20 * 30).reshape(20, 30)
    turned = views.turned(picture, turn)
    back = alignment.turned_back(picture.shape, turn)
    for x, y in ((0, 0), (3, 5), (turned.shape[1] - 1, turned.shape[0] - 1)):
        was_x, was_y, _ = (back @ [x, y, 1]).astype(int)
        assert picture[was_y, was_x] == turned[y, x]
    motion = np.array([[1.01, 0.02, 3], [-0.02, 0.99, -2], [0, 0, 1]])
    found, left = alignment.without_turn(back @ motion, turned.shape, picture.shape)
    assert found == turn
    np.testing.assert_allclose(left, motion[:2], atol=1e-9)
