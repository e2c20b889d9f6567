"""Histograms of gradients, and what a turn does to them."""

import numpy as np
import pytest

from nexperia_tf.data.measure import gradients, views


@pytest.fixture
def bands():
    return np.random.default_rng(0).normal(size=(3, 64, 64)).astype("float32")


@pytest.mark.parametrize("turn", range(views.TURNS))
def test_a_turned_picture_has_the_same_numbers_in_other_places(bands, turn):
    turned = np.stack([views.turned(band, turn) for band in bands])
    place = gradients.turned_indices()[turn]
    np.testing.assert_allclose(
        gradients.describe(turned), gradients.describe(bands)[:, place], atol=1e-3
    )


def test_each_turn_exchanges_all_numbers():
    for place in gradients.turned_indices():
        assert sorted(place) == list(range(gradients.SIZE))


def test_brighter_pictures_have_the_same_description(bands):
    np.testing.assert_allclose(
        gradients.describe(3 * bands + 5), gradients.describe(bands), atol=1e-3
    )


def test_an_edge_is_seen_where_it_lies_and_by_its_bearing():
    band = np.zeros((1, 64, 64), np.float32)
    band[:, :, 40:] = 1  # brighter to the right
    cells = gradients.describe(band).reshape(
        gradients.BEARINGS, gradients.CELLS, gradients.CELLS
    )
    bearing, _, column = np.unravel_index(cells.argmax(), cells.shape)
    assert bearing == 0
    assert column in (4, 5)  # pixel 40 of 64, in eighths
    assert (cells[gradients.BEARINGS // 2] == 0).all()  # nothing is darker there
