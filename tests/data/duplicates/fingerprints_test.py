"""Fingerprints of plain pictures: what is left without what the product shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexperia_tf.data.duplicates import fingerprints

SIDE = 32


@pytest.fixture(scope="module")
def plain():
    """200 plain pictures of one product, and a noisier copy of each 20th."""
    random = np.random.default_rng(0)
    product = 100 + 20 * np.sin(np.arange(SIDE) / 2)[:, None] * np.ones(SIDE)
    own = random.normal(0, 1.5, (200, SIDE, SIDE))
    copies = own[::20] + random.normal(0, 0.5, (10, SIDE, SIDE))
    levels = product + np.concatenate([own, copies])
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def test_noisy_copies_are_each_others_nearest_and_no_others_are(plain):
    shown = np.arange(len(plain))
    places, prints = fingerprints.of(plain, shown, noise=1.5)
    assert len(places) == len(plain)
    expected = [(20 * k, 200 + k) for k in range(10)]
    assert fingerprints.nearest(prints) == expected


def test_a_picture_that_shows_more_is_left_to_its_gradients(plain):
    textured = plain.copy()
    textured[3, ::2] = 0
    places, _ = fingerprints.of(textured, np.arange(len(plain)), noise=1.5)
    assert 3 not in places and 4 in places


def test_shared_patterns_are_of_length_one_and_take_out_what_is_shared():
    random = np.random.default_rng(1)
    shared, own = random.normal(size=200), random.normal(size=(80, 200))
    pictures = 5 * shared + own
    patterns = fingerprints.shared_patterns(pictures, 4)
    np.testing.assert_allclose(np.linalg.norm(patterns, axis=1), 1, rtol=1e-6)
    left = pictures - pictures @ patterns.T @ patterns
    direction = shared / np.linalg.norm(shared)
    assert np.abs(left @ direction).max() < 0.05 * np.abs(pictures @ direction).min()


def test_what_two_pictures_alone_share_is_no_pattern_of_the_product():
    random = np.random.default_rng(2)
    pictures = random.normal(size=(80, 200))
    pictures[:2] += 30 * random.normal(size=200)
    assert len(fingerprints.shared_patterns(pictures, 1)) == 1
    assert len(fingerprints.shared_patterns(pictures, 1, min_images=10)) == 0


@given(st.integers(1, 500), st.integers(1, 50))
def test_spread_places_are_distinct_and_reach_both_ends(count, most):
    places = fingerprints.spread(count, most)
    assert len(places) == len(set(places)) <= min(count, most)
    assert places[0] == 0 and (len(places) == 1 or places[-1] == count - 1)
