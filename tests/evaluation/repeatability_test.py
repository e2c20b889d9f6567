"""Small changes of a picture, and the verdicts that flip by them."""

import numpy as np
import pytest
from scipy import ndimage

from nexperia_tf.evaluation import repeatability

NAMES = list(repeatability.CHANGES)


def picture(channels=1, seed=0, sides=(20, 31)):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(*sides, channels)), (2, 2, 0))
    return np.uint8(128 + 100 * smooth / np.abs(smooth).max())


@pytest.mark.parametrize("channels", (1, 3))
def test_every_change_keeps_shape_and_changes_little_but_something(channels):
    pixels = picture(channels)
    before = pixels.copy()
    as_it_is, *changed = repeatability.variants(pixels)
    assert np.array_equal(as_it_is, before) and len(changed) == len(NAMES)
    for name, other in zip(NAMES, changed):
        assert other.shape == pixels.shape and other.dtype == np.uint8, name
        apart = np.abs(other.astype(int) - pixels)
        assert 0 < apart.mean() < 15, name
    assert np.array_equal(pixels, before)


def test_shifts_move_by_one_pixel_and_repeat_the_rim():
    pixels = picture()
    left, right, up, down = (
        repeatability.CHANGES[f"1 pixel {way}"](pixels)
        for way in ("left", "right", "up", "down")
    )
    assert np.array_equal(left[:, :-1], pixels[:, 1:])
    assert np.array_equal(left[:, -1], pixels[:, -1])
    assert np.array_equal(right[:, 1:], pixels[:, :-1])
    assert np.array_equal(up[:-1], pixels[1:])
    assert np.array_equal(down[1:], pixels[:-1])


def test_light_is_scaled_and_ends_at_white():
    pixels = np.uint8([[[0], [100], [200], [250]]])
    assert repeatability.CHANGES["5 % darker"](pixels).ravel().tolist() == [
        0,
        95,
        190,
        238,
    ]
    brighter = repeatability.CHANGES["5 % brighter"](pixels)
    assert brighter.ravel().tolist() == [0, 105, 210, 255]


def test_turns_are_of_one_degree_about_the_middle():
    pixels = np.zeros((201, 201, 1), np.uint8)
    pixels[98:103, 198:] = 255  # a mark 98 pixels right of the middle
    turned = repeatability.CHANGES["turned 1 degree left"](pixels)[..., 0]
    rows = np.flatnonzero(turned[:, 199])
    expected = 100 - 99 * np.sin(np.radians(1))
    assert rows.mean() == pytest.approx(expected, abs=0.6)


def test_red_stays_red_in_jpeg():
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[..., 0] = 200
    saved = repeatability.CHANGES["saved as JPEG 90"](pixels)
    assert saved[..., 0].mean() > 190 and saved[..., 2].mean() < 10


def test_flips_are_counted_by_direction_change_and_kind():
    scores = np.full((4, 1 + len(NAMES)), 0.9)
    scores[2:] = 0.1
    scores[0, 1] = 0.4  # a defect that is lost, 1 pixel left
    scores[3, [1, 2]] = 0.5  # a good one that is rejected: the threshold counts
    found = repeatability.judge(scores, 0.5, kinds=["crack", "", "good", "good"])
    first, second, third, *_, together = found.changes
    assert (first.change, first.to_defect, first.to_good) == (NAMES[0], 1, 1)
    assert first.share.value == 0.5 and first.largest == pytest.approx(0.5)
    assert (second.to_defect, second.to_good) == (1, 0)
    assert third.share.value == 0 and third.kappa == 1
    assert (together.to_defect, together.to_good) == (1, 1)
    # Agreement of .5 where chance alone has .5.
    assert first.kappa == pytest.approx(0)
    assert [(k.kind, k.n, k.flips) for k in found.kinds] == [
        ("crack", 1, 1),
        ("good", 2, 1),
        ("not said", 1, 0),
    ]
    assert found.kinds[0].most == NAMES[0] and found.kinds[2].most == ""
    assert found.said == (
        "2 of 4 verdicts at threshold 0.5 flip under at least one of 9 small changes, "
        "most of them when moved 1 pixel left."
    )


def test_one_verdict_for_all_has_no_kappa_and_says_that_nothing_flips():
    found = repeatability.judge(np.full((5, 1 + len(NAMES)), 0.2), 0.5)
    assert {row.kappa for row in found.changes} == {None} and not found.kinds
    assert found.said.startswith("0 of 5 verdicts") and found.said.endswith("changes.")
    assert found.changes[0].share.high == pytest.approx(0.5218, abs=1e-4)


def test_flips_of_one_group_are_worth_less_than_as_many_devices():
    rng = np.random.default_rng(3)
    groups = np.repeat([f"lot {n}" for n in range(10)], 10)
    level = np.repeat(rng.random(10), 10)[:, np.newaxis]
    scores = np.tile(level, (1, 1 + len(NAMES)))
    scores[groups == "lot 4", 1] = 1 - scores[groups == "lot 4", 1]
    alone = repeatability.judge(scores, 0.5).changes[0].share
    lots = repeatability.judge(scores, 0.5, groups=groups).changes[0].share
    assert alone.value == lots.value == 0.1
    assert lots.high > alone.high + 0.1 and lots.low < alone.low


def test_other_scores_are_refused():
    with pytest.raises(ValueError, match="a column for the picture"):
        repeatability.judge(np.zeros((3, 4)), 0.5)
