import cv2
import numpy as np
import pytest

from nexperia_tf.data.input import synthetic_defects

SIZE = 128  # at 96, 4 to 7 in 100 are as faint as a real crack shrunk that far
GREY = np.full((SIZE, SIZE, 1), 200, np.uint8)


def darkened(image, seed, look=synthetic_defects.DARK) -> np.ndarray:
    """Share of its light that each pixel has lost, float of shape `(SIZE, SIZE)`."""
    after = synthetic_defects.draw(image, np.random.default_rng(seed), look)
    assert (after.shape, after.dtype) == (image.shape, np.uint8)
    return 1 - after.astype(float).mean(axis=-1) / image.mean(axis=-1)


@pytest.mark.parametrize("look", synthetic_defects.LOOKS)
def test_a_defect_is_dark_and_nearly_always_to_be_seen(look):
    lost = [darkened(GREY, seed, look) for seed in range(400)]
    assert min(share.min() for share in lost) >= 0  # nothing gets brighter
    seen = [(share > 0.08).sum() >= 3 for share in lost]
    assert np.mean(seen) > 0.97
    assert np.median([(share > 0.02).mean() for share in lost]) < 0.1  # most is kept


@pytest.mark.parametrize("look", synthetic_defects.LOOKS)
def test_all_sizes_and_places_come_up(look):
    lost = np.array([darkened(GREY, seed, look) > 0.08 for seed in range(400)])
    assert lost.any(axis=0).all()
    smallest, largest = np.quantile(lost.mean(axis=(1, 2)), [0.05, 0.95])
    assert smallest < 0.005 and largest > 0.1


def test_every_kind_has_a_look_and_cracks_are_no_marks():
    shares = synthetic_defects.SHARES
    assert set(shares) == set(synthetic_defects.LOOKS)
    assert set(shares[synthetic_defects.DARK]) == set(synthetic_defects.KINDS)
    assert not {"streaks", "spots"} & set(shares[synthetic_defects.CRACKS])


def test_harmless_marks_come_on_most_pictures_and_spare_the_rest():
    spotted = GREY.copy()
    spotted[20:30, 40:50] = 120  # texture to be mirrored
    changed = []
    for seed in range(400):
        after = synthetic_defects.add_harmless(spotted, np.random.default_rng(seed))
        assert (after.shape, after.dtype) == (spotted.shape, np.uint8)
        changed.append((after != spotted).any())
    none = 0.5 * 0.7 * 0.65 * 0.85  # of the four comes up
    assert 1 - np.mean(changed) == pytest.approx(none, abs=0.06)


@pytest.mark.parametrize("kind", synthetic_defects.KINDS)
def test_each_kind_scales_with_the_picture(kind):
    def covered(size: int) -> float:
        total = 0.0
        for seed in range(60):
            shade = np.zeros((size, size), np.uint8)
            synthetic_defects.KINDS[kind](shade, np.random.default_rng(seed))
            total += shade.mean() / 255
        return total / 60

    assert covered(224) == pytest.approx(covered(96), rel=0.4)


@pytest.mark.parametrize("shape", [(320, 128), (96, 384)])
@pytest.mark.parametrize("kind", synthetic_defects.KINDS)
def test_each_kind_covers_as_much_of_a_rectangle_and_comes_up_anywhere(kind, shape):
    def drawn(shape) -> np.ndarray:
        total = np.zeros(shape)
        for seed in range(200):
            shade = np.zeros(shape, np.uint8)
            synthetic_defects.KINDS[kind](shade, np.random.default_rng(seed))
            total += shade / 255
        return total / 200

    side = round(np.sqrt(np.prod(shape)))
    total = drawn(shape)
    assert total.mean() == pytest.approx(drawn((side, side)).mean(), rel=0.5)
    quarters = [
        part.any()
        for half in np.array_split(total, 2)
        for part in np.array_split(half, 2, axis=1)
    ]
    assert all(quarters)


@pytest.mark.parametrize("look", synthetic_defects.LOOKS)
@pytest.mark.parametrize("shape", [(160, 64, 1), (48, 192, 3)])
def test_a_rectangle_gets_defects_that_are_seen_and_harmless_marks(shape, look):
    image = np.full(shape, 180, np.uint8)
    image[10:20, 30:40] = 120
    for seed in range(40):
        random = np.random.default_rng(seed)
        marked = synthetic_defects.add_harmless(image, random)
        drawn, where = synthetic_defects.draw_seen(marked, random, look)
        assert drawn.shape == marked.shape == shape
        assert where.shape == (*shape[:2], 1) and np.count_nonzero(where) >= 3


def test_the_random_numbers_decide():
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    first, again, other = (
        synthetic_defects.draw(image, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_colours_keep_their_hue():
    image = np.full((SIZE, SIZE, 3), (240, 160, 80), np.uint8)
    for seed in range(20):
        after = synthetic_defects.draw(image, np.random.default_rng(seed)).astype(float)
        np.testing.assert_allclose(after[..., 0] / 3, after[..., 2], atol=0.7)


@pytest.mark.parametrize("look", synthetic_defects.LOOKS)
@pytest.mark.parametrize("height", [8, 32, 128])
def test_one_that_is_drawn_to_be_seen_is_seen_in_the_picture(look, height):
    wide = np.zeros_like(GREY)
    top = (SIZE - height) // 2
    wide[top : top + height] = GREY[:height]
    unseen = 0
    for seed in range(100):
        first = synthetic_defects.draw(wide, np.random.default_rng(seed), look)
        hidden = np.count_nonzero(synthetic_defects.place(wide, first)) < 3
        unseen += hidden
        random = np.random.default_rng(seed)
        drawn, where = synthetic_defects.draw_seen(wide, random, look)
        assert np.count_nonzero(where) >= 3 and not where[wide == 0].any()
        np.testing.assert_array_equal(where, synthetic_defects.place(wide, drawn))
        assert hidden or np.array_equal(drawn, first)  # what was seen stays as it was
    assert unseen < 5 if height == SIZE else unseen > 25


@pytest.mark.parametrize("look", synthetic_defects.LOOKS)
def test_where_no_defect_can_be_seen_the_picture_stays_as_it_is(look):
    black = np.random.default_rng(0).integers(0, 3, (64, 64, 1)).astype(np.uint8)
    drawn, where = synthetic_defects.draw_seen(black, np.random.default_rng(0), look)
    assert not where.any()
    np.testing.assert_array_equal(drawn, black)


def test_a_letterboxed_picture_keeps_its_black_bars():
    image = cv2.copyMakeBorder(GREY[..., 0], 20, 20, 0, 0, cv2.BORDER_CONSTANT)
    image = cv2.resize(image, (SIZE, SIZE))[..., None]
    image[image < 200] = 0
    for seed in range(20):
        after = synthetic_defects.draw(image, np.random.default_rng(seed))
        assert not after[image == 0].any()
