"""Levels of one picture as another one shows them."""

import numpy as np
import pytest

from nexperia_tf.data.proof import tone_curve


@pytest.fixture
def levels():
    return np.random.default_rng(0).uniform(20, 200, 60_000).astype("float32")


@pytest.mark.parametrize(("gain", "gamma"), [(0.8, 1.0), (1.2, 1.0), (0.5, 1.15)])
def test_an_exposure_is_found_from_its_levels(levels, gain, gamma):
    after = (gain * levels**gamma).astype("float32")
    after, before = after[after < 250], levels[after < 250]
    np.testing.assert_allclose(
        tone_curve.exposure(before, after)(before), after, atol=1.0
    )


def test_equal_levels_are_left_as_they_are(levels):
    assert tone_curve.exposure(levels, levels)(levels) is levels


def test_a_table_says_what_each_level_has_become(levels):
    whole = np.rint(levels)
    table = tone_curve.table(whole, 255 - whole * 0.5)
    np.testing.assert_allclose(table[30:190], 255 - np.arange(30, 190) * 0.5, atol=0.1)


def test_a_scratch_on_a_rare_level_does_not_pass_for_what_it_has_become():
    clean = np.repeat(np.float32([100, 101, 102]), [50_000, 60, 50_000])
    noisy = clean + np.float32(10)
    noisy[50_000:50_020] = 200  # a third of the rare level
    assert abs(tone_curve.table(clean, noisy)[101] - 111) < 3


def test_expected_levels_are_read_between_those_of_the_table():
    clean = np.float32([[0, 10.5], [20, 255]])
    table = 2.0 * np.arange(256)
    np.testing.assert_allclose(tone_curve.expected(clean, table), 2 * clean, atol=0.1)


def test_a_wide_picture_is_looked_up_in_tiles():
    clean = np.full((2, 40_000), 7, np.float32)  # OpenCV's remap takes no 32,768
    assert (tone_curve.expected(clean, np.arange(256.0)) == 7).all()


def test_what_no_curve_explains_is_counted(levels):
    first = np.rint(levels).reshape(200, 300)
    inside = np.ones(first.shape, bool)
    inverted = 255 - first
    assert tone_curve.off_curve(first, inverted, inside) == 0
    inverted[:20] += 40  # a tenth on another curve, still whole levels
    assert 0.05 < tone_curve.off_curve(first, inverted, inside) <= 0.1


def test_the_spread_of_normal_differences_is_their_deviation():
    drawn = np.random.default_rng(1).normal(0, 3, 200_000)
    assert abs(tone_curve.spread(np.abs(drawn)) - 3) < 0.05
