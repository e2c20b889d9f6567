"""What the sample draws with."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from nexperia_tf.sample import canvas


@pytest.fixture
def random():
    return np.random.default_rng(0)


LEVELS = arrays.arrays(np.uint8, 5)


@given(LEVELS, LEVELS, LEVELS)
def test_a_mix_lies_between_both_and_is_one_of_them_at_the_ends(under, over, alpha):
    mixed = canvas.mix(under, over, alpha)
    assert (np.minimum(under, over) <= mixed).all()
    assert (mixed <= np.maximum(under, over)).all()
    np.testing.assert_array_equal(canvas.mix(under, over, np.uint8([0] * 5)), under)
    np.testing.assert_array_equal(canvas.mix(under, over, np.uint8([255] * 5)), over)


def test_a_curve_keeps_its_ends_and_stays_within_its_points():
    points = [(0.0, 0.0), (10.0, 0.0), (10.0, 8.0)]
    curve = canvas.curve(*points)
    np.testing.assert_allclose(curve[[0, -1]], [points[0], points[-1]])
    assert (curve >= np.min(points, 0)).all() and (curve <= np.max(points, 0)).all()
    steps = np.hypot(*np.diff(curve, axis=0).T)
    assert len(curve) > len(points) and steps.sum() < 18  # corners are cut


@pytest.mark.parametrize("sd", [1.5, 6.0])
def test_noise_has_the_deviation_that_was_asked_for(random, sd):
    noise = canvas.bell(random, (200, 200), sd)
    assert noise.dtype == np.int16
    assert noise.std() == pytest.approx(sd, rel=0.06)
    assert abs(noise.mean()) < 0.1 * sd


def test_neighbours_in_sensor_noise_are_correlated_by_about_one_half(random):
    noise = canvas.sensor_noise(random, (250, 250), 4.0)
    pairs = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())
    assert 0.3 < pairs[0, 1] < 0.7


def test_an_area_covers_what_its_polygon_does():
    image = np.zeros((60, 60), np.uint8)
    canvas.area(image, np.array([(0, 0), (20, 0), (20, 10), (0, 10)]), 200, at=(5, 7))
    assert image[7 + 5, 5 + 10] == 200
    assert image.sum() / 200 == pytest.approx(21 * 11, rel=0.05)
    assert image[:6].sum() == image[:, :4].sum() == 0


def test_a_star_reaches_as_far_as_it_was_told():
    reach = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0]])
    outlines = canvas.star(reach)
    np.testing.assert_allclose(np.linalg.norm(outlines, axis=-1), reach)


def test_a_ragged_path_passes_through_its_corners(random):
    corners = np.array([(0.0, 0.0), (40.0, 0.0), (40.0, 30.0)])
    jagged = canvas.ragged(random, corners, 2.0)
    distance = np.hypot(*(jagged[:, None] - corners[None]).transpose(2, 0, 1))
    np.testing.assert_allclose(distance.min(axis=0), 0, atol=1e-9)
    assert len(jagged) > 10 and np.abs(jagged - np.clip(jagged, 0, 40)).max() < 9


def test_streams_of_one_device_differ_by_part_and_repeat():
    parts = [canvas.stream((3, 7), part).random() for part in range(canvas.SPECKS + 1)]
    assert len(set(parts)) == len(parts)
    assert canvas.stream((3, 7), canvas.NOISE).random() == parts[canvas.NOISE]
