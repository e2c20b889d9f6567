import cv2
import numpy as np
import pytest

from nexperia_tf.data.measure import views


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 160, (120, 150)).astype(np.uint8)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shift", [(5, 0), (-5, 0), (0, 5), (4, -5)])
def test_a_rim_of_any_level_makes_way_for_the_edge_of_the_picture(
    picture, level, shift
):
    motion = np.column_stack([np.eye(2), shift])
    size = picture.shape[::-1]
    fill = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": level}
    rimmed = cv2.warpAffine(picture, motion, size, **fill)
    cleared = views.without_rim(rimmed)
    inside = cv2.warpAffine(np.ones_like(picture), motion, size) > 0
    core = cv2.erode(inside.astype(np.uint8), np.ones((5, 5))) > 0
    assert np.mean(cleared[~inside] == level) < 0.05  # as often as inside
    # What has the level of the rim and touches it counts as rim.
    assert np.mean(cleared[core] != rimmed[core]) < 0.001


def test_the_wedges_of_a_turned_picture_make_way(picture):
    smooth = cv2.GaussianBlur(picture, (0, 0), 5)
    motion = cv2.getRotationMatrix2D((74.5, 59.5), 3, 1)
    turned = cv2.warpAffine(smooth, motion, (150, 120))
    whole = cv2.warpAffine(smooth, motion, (150, 120), borderMode=cv2.BORDER_REPLICATE)
    off = np.abs(views.without_rim(turned).astype(int) - whole)
    assert off.max() < 40 and off.mean() < 0.5
    assert np.abs(turned.astype(int) - whole).max() > 90


def test_a_picture_without_a_rim_and_a_background_stay(picture):
    np.testing.assert_array_equal(views.without_rim(picture), picture)
    on_black = picture.copy()
    on_black[:, :40] = 0  # far too wide for a rim
    np.testing.assert_array_equal(views.without_rim(on_black), on_black)
    black = np.zeros_like(picture)
    np.testing.assert_array_equal(views.without_rim(black), black)
