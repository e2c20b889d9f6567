import cv2
import numpy as np
import pytest

from nexperia_tf.data.input import foreground, product_defects

SIDES = [(32, 32), (64, 224), (512, 40), (224, 224)]


def textured(side, channels=1, *, seed=0) -> np.ndarray:
    """Clouds that fill the picture, uint8 of shape `(*side, channels)`."""
    random = np.random.default_rng(seed)
    clouds = cv2.GaussianBlur(random.normal(0, 60, side), (0, 0), 2)
    noise = random.normal(0, 3, (*side, channels))
    return np.clip(120 + clouds[..., None] + noise, 4, 255).astype(np.uint8)


def disc(side=(120, 128)) -> np.ndarray:
    """A bright disc on a table, uint8 of shape `(*side, 3)`."""
    picture = np.full((*side, 3), (70, 80, 90), np.uint8)
    centre = side[1] // 2, side[0] // 2
    cv2.circle(picture, centre, min(side) // 3, (180, 160, 100), -1)
    noise = np.random.default_rng(0).normal(0, 3, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def drawn(image, seed) -> tuple[np.ndarray, np.ndarray]:
    before = image.copy()
    after, mask = product_defects.draw_seen(image, np.random.default_rng(seed))
    np.testing.assert_array_equal(image, before)  # not drawn into
    assert (after.shape, after.dtype) == (image.shape, np.uint8)
    assert (mask.shape, mask.dtype) == ((*image.shape[:2], 1), np.uint8)
    assert set(np.unique(mask)) <= {0, 255}
    return after, mask[..., 0] > 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", SIDES)
def test_the_mask_is_where_a_picture_of_any_shape_has_changed(side, channels):
    image = textured(side, channels)
    sizes = []
    for seed in range(30):
        after, mask = drawn(image, seed)
        change = np.abs(after.astype(int) - image).max(axis=-1)
        assert mask[change > product_defects.MOST_LEVELS].all()
        strong = (change > product_defects.LEAST_LEVELS).astype(np.uint8)
        near = cv2.dilate(strong, np.ones((15, 15), np.uint8))  # a texture's gaps
        assert not mask[near == 0].any()
        assert mask.sum() >= product_defects.LEAST_PIXELS
        sizes.append(mask.mean())
    assert min(sizes) < 0.01 < max(sizes) < 0.4


@pytest.mark.parametrize("side", [(30, 128), (100, 20)])
def test_bars_are_never_touched(side):
    image = np.zeros((128, 128, 1), np.uint8)
    place = tuple(slice((128 - s) // 2, (128 - s) // 2 + s) for s in side)
    image[place] = textured(side)
    bars = np.ones((128, 128), bool)
    bars[place] = False
    for seed in range(60):
        after, mask = drawn(image, seed)
        assert not after[bars].any() and not mask[bars].any()
        assert mask.any()


@pytest.mark.parametrize("level", [0, 2, 130, 255])
def test_on_one_colour_nothing_is_drawn(level):
    image = np.full((48, 64, 3), level, np.uint8)
    after, mask = drawn(image, 0)
    np.testing.assert_array_equal(after, image)
    assert not mask.any()


def test_a_defect_lies_on_the_part():
    image = disc()
    part = foreground.part(image) > 0
    shares = []
    for seed in range(100):
        _, mask = drawn(image, seed)
        assert (mask & part).any()
        shares.append(np.mean(part[mask]))
    assert np.mean(np.array(shares) > 0.9) > 0.8  # some hairs lie across
    assert min(shares) < 0.9


def test_the_same_seed_gives_the_same_bytes():
    image = textured((96, 96), 3)
    first, again, other = (drawn(image, seed)[0].tobytes() for seed in (1, 1, 2))
    assert first == again != other


def test_every_kind_comes_up(monkeypatch):
    taken = []
    draw = product_defects.draw
    monkeypatch.setattr(
        product_defects, "draw", lambda *given: taken.append(given[2]) or draw(*given)
    )
    image = textured((64, 64))
    for seed in range(200):
        drawn(image, seed)
    assert set(product_defects.SHARES) == set(product_defects.KINDS) == set(taken)
    assert taken.count("line") > taken.count("texture") > 3


def shown(kind, image, count=80) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures with a defect of one kind that is seen, and where."""
    scene, random, found = product_defects.Scene.of(image), np.random.default_rng(0), []
    for _ in range(count):
        window, drawn, seen = product_defects.draw(scene, random, kind)
        if seen.any():
            after, mask = image.copy(), np.zeros(image.shape[:2], bool)
            after[window], mask[window] = drawn, seen > 0
            found.append((after, mask))
    return found


@pytest.mark.parametrize("kind", product_defects.KINDS)
def test_each_kind_can_be_seen_on_texture_and_goes_from_faint_to_strong(kind):
    image = textured((128, 128), 3)
    found = shown(kind, image)
    assert len(found) > 15
    strength = [
        np.abs(after.astype(int) - image).max(axis=-1)[mask].mean()
        for after, mask in found
    ]
    assert max(strength) > 2 * min(strength)


def test_chips_touch_the_edge_and_show_the_table():
    image = disc()
    part = foreground.part(image)
    edge = cv2.morphologyEx(part, cv2.MORPH_GRADIENT, np.ones((7, 7), np.uint8)) > 0
    table = np.median(image[part == 0], axis=0)
    off = []
    for after, mask in shown("chip", image):
        assert (mask & edge).any()
        if mask.sum() < 40:  # mostly its soft edge
            continue
        off.append(np.abs(np.median(after[mask], axis=0) - table).max())
    assert len(off) > 15
    assert np.mean(np.array(off) < 25) > 0.9


def test_chips_of_a_part_that_fills_the_picture_touch_its_side():
    for _, mask in shown("chip", textured((96, 96))):
        rim = np.concatenate([mask[:3].ravel(), mask[-3:].ravel()])
        rim = np.concatenate([rim, mask[:, :3].ravel(), mask[:, -3:].ravel()])
        assert rim.any()


def test_lines_are_thin_and_spots_are_not():
    image = textured((224, 224))

    def depth(kind) -> float:
        depths = [
            cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3).max()
            for _, mask in shown(kind, image)
        ]
        return float(np.quantile(depths, 0.9))

    assert depth("line") < 6 < depth("spot")  # pixels from the middle to the side
