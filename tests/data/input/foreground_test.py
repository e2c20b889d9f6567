import cv2
import numpy as np
import pytest

from nexperia_tf.data.input import foreground

TABLE, BRASS = (120, 126, 130), (160, 136, 80)  # of the same brightness


def disc(side=(96, 128), *, table=TABLE, brass=BRASS, hole=8, seed=0):
    """A turned disc on an unevenly lit table, and where it is, both of `side`."""
    truth = np.zeros(side, np.uint8)
    centre = side[1] // 2, side[0] // 2
    cv2.circle(truth, centre, min(side) // 3, 1, -1)
    cv2.circle(truth, centre, hole, 0, -1)
    picture = np.where(truth[..., None] > 0, np.array(brass), np.array(table))
    picture = picture * np.linspace(0.95, 1.05, side[1])[:, None]
    noise = np.random.default_rng(seed).normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8), truth


def overlap(a, b) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


@pytest.mark.parametrize("side", [(32, 32), (96, 128), (224, 224), (512, 300)])
def test_a_disc_as_bright_as_its_table_is_told_by_colour(side):
    assert np.mean(TABLE) == pytest.approx(np.mean(BRASS), abs=0.5)
    picture, truth = disc(side, hole=max(3, min(side) // 12))
    found = foreground.part(picture)
    assert (found.shape, found.dtype) == (side, np.uint8)
    assert overlap(found, truth) > 0.85


def test_a_grey_disc_is_told_by_brightness():
    picture, truth = disc(table=(90,), brass=(150,))
    assert overlap(foreground.part(picture), truth) > 0.9


def test_pieces_of_a_part_stand_for_all_of_it():
    """Bright leads about a body that the camera hardly sees."""
    picture = np.random.default_rng(0).normal(40, 2, (120, 128, 1))
    for y, x in ((20, 30), (20, 85), (85, 58)):
        picture[y : y + 15, x : x + 12] = 180
    found = foreground.part(picture.astype(np.uint8))
    assert found[50, 64] == 1  # between them
    assert found[5].sum() == found[-5].sum() == 0
    assert 0.1 < found.mean() < 0.6


@pytest.mark.parametrize("kind", ["noise", "one colour", "slope", "strip", "speck"])
def test_where_no_part_is_clear_it_is_everywhere(kind):
    picture = np.random.default_rng(0).normal(120, 5, (96, 128, 1))
    if kind == "one colour":
        picture[:] = 120
    elif kind == "slope":  # brightest in the middle, with no edge
        y, x = np.mgrid[-1:1:96j, -1:1:128j]
        picture += 80 * np.exp(-2 * (x**2 + y**2))[..., None]
    elif kind == "strip":  # goes on beyond the picture
        picture[30:60] += 60
    elif kind == "speck":
        picture[40:44, 60:64] += 60
    assert foreground.part(picture.astype(np.uint8)).all()


def test_bars_of_a_letterbox_are_no_part_of_the_picture():
    picture = np.zeros((64, 96, 3), np.uint8)
    assert foreground.frame(picture) is None
    picture[20:50, 4:90] = 70
    picture[30, 40] = 0  # a black place inside is no bar
    assert foreground.frame(picture) == (slice(20, 50), slice(4, 90))
    picture[27:] = 2
    assert foreground.frame(picture) is None  # seven rows
