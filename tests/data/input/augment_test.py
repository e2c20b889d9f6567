import dataclasses

import cv2
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from nexperia_tf import errors, sizes
from nexperia_tf.data.input import augment

SIZE = 64
SQUARE = sizes.Size(SIZE, SIZE)
STILL = augment.Policy(flip="none", rotation=0, zoom=0, brightness=0, contrast=0)
FARTHEST = augment.Policy(flip="both", rotation=25, zoom=0.3)


def noise(count: int, channels: int = 1) -> np.ndarray:
    shape = (count, SIZE, SIZE, channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@hypothesis.given(
    draws=strategies.lists(
        strategies.floats(0, 1, exclude_max=True), min_size=8, max_size=8
    ),
    height=strategies.integers(8, 512),
    width=strategies.integers(8, 512),
)
def test_the_whole_picture_stays_within_the_frame(draws, height, width):
    matrix = augment.motion(np.array([draws]), sizes.Size(height, width), FARTHEST)[0]
    # outer edges of the outermost pixels
    right, bottom = width - 0.5, height - 0.5
    corners = np.array([[x, y, 1] for x in (-0.5, right) for y in (-0.5, bottom)])
    moved = corners @ matrix.T
    assert (moved >= -0.5 - 1e-9).all()
    assert (moved <= np.array([right, bottom]) + 1e-9).all()


@pytest.mark.parametrize("policy", [FARTHEST, augment.Policy("both", crop=True)])
@pytest.mark.parametrize("shape", [(96, 32), (24, 80), (16, 64)])
def test_a_rectangle_is_moved_as_opencv_moves_it(shape, policy):
    images = np.random.default_rng(0).integers(0, 256, (40, *shape, 3), dtype=np.uint8)
    draws = augment.draws(0, 0, 40)
    still_lit = dataclasses.replace(policy, brightness=0, contrast=0)
    changed = augment.augment(images, draws, still_lit)
    make = augment.crop if policy.crop else augment.motion
    across = shape[::-1]
    for image, matrix, found in zip(
        images, make(draws, sizes.Size(*shape), policy), changed
    ):
        mirrored = cv2.warpAffine(
            image, matrix, across, borderMode=cv2.BORDER_REFLECT_101
        )
        # Rounded elsewhere, to a 32nd of a pixel.
        apart = np.abs(found.astype(int) - mirrored)
        assert np.median(apart) <= 2 and apart.mean() < 6


@pytest.mark.parametrize("policy", [augment.Policy(), FARTHEST])
def test_a_defect_at_the_border_is_still_there(policy):
    side = 12
    extremes = np.array(np.meshgrid(*[[0.0, 0.999]] * 6)).reshape(6, -1).T
    draws = np.column_stack([extremes, np.full((len(extremes), 2), 0.5)])
    for top, left in [(0, 0), (0, SIZE - side), (SIZE - side, 0), (SIZE - side, 20)]:
        image = np.zeros((SIZE, SIZE, 1), np.uint8)
        image[top : top + side, left : left + side] = 255
        matrices = augment.motion(draws, SQUARE, policy)
        changed = augment.augment(np.repeat(image[None], len(draws), 0), draws, policy)
        for matrix, after in zip(matrices, changed):
            corners = [(x, y) for x in (left, left + side) for y in (top, top + side)]
            box = (np.array([[x - 0.5, y - 0.5, 1] for x, y in corners])) @ matrix.T
            area = side**2 * abs(np.linalg.det(matrix[:, :2]))
            # the mirrored rim may show it again, it never hides it
            assert (after[..., 0] / 255).sum() >= 0.9 * area
            x, y = np.rint(box.mean(axis=0)).astype(int)
            assert after[y, x, 0] > 250


def test_a_crop_fills_the_frame_with_a_part_of_the_picture():
    draws = augment.draws(0, 0, 2000)
    matrices = augment.crop(draws, SQUARE, augment.Policy("both", crop=True))
    rim = (-0.5, SIZE - 0.5)
    square = np.array([[x, y, 1] for x in rim for y in rim]).T
    areas = []
    for matrix in matrices:
        back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]])) @ square
        assert back[:2].min() > -0.5 - 1e-6 and back[:2].max() < SIZE - 0.5 + 1e-6
        areas.append(np.prod(np.ptp(back[:2], axis=1)) / SIZE**2)
    assert 0.08 <= min(areas) < 0.1 and 0.95 < max(areas) <= 1
    assert np.mean(areas) == pytest.approx(0.53, abs=0.02)


def test_pictures_change_as_the_matrix_says():
    draws = np.full((1, 8), 0.5)
    draws[0, 2:4] = [1, 0.25]  # right and up
    draws[0, 1] = 1
    policy = augment.Policy(rotation=0, zoom=0.25, contrast=0, brightness=0)
    image = np.zeros((1, SIZE, SIZE, 1), np.uint8)
    image[0, 20:28, 40:48] = 255
    after = augment.augment(image, draws, policy)[0, :, :, 0]
    weights = after / after.sum()
    centre = [
        (weights.sum(0) * np.arange(SIZE)).sum(),
        (weights * np.arange(SIZE)[:, None]).sum(),
    ]
    expected = augment.motion(draws, SQUARE, policy)[0] @ [43.5, 23.5, 1]
    np.testing.assert_allclose(centre, expected, atol=0.2)


def test_a_policy_of_nothing_changes_nothing():
    images = noise(3, channels=3)
    draws = augment.draws(0, 0, 3)
    np.testing.assert_array_equal(augment.augment(images, draws, STILL), images)


@pytest.mark.parametrize(
    ("flip", "seen"),
    [
        ("none", {(1, 1)}),
        ("horizontal", {(1, 1), (-1, 1)}),
        ("vertical", {(1, 1), (1, -1)}),
        ("both", {(1, 1), (-1, 1), (1, -1), (-1, -1)}),
    ],
)
def test_pictures_are_mirrored_along_the_allowed_axes_only(flip, seen):
    policy = augment.Policy(flip=flip, rotation=0, zoom=0)
    matrices = augment.motion(augment.draws(0, 0, 64), SQUARE, policy)
    assert {(m[0, 0], m[1, 1]) for m in matrices.tolist() and matrices} == seen


def test_turns_and_shifts_use_the_room_they_have():
    policy = augment.Policy(flip="none")
    matrices = augment.motion(augment.draws(0, 0, 4096), SQUARE, policy)
    degrees = np.rad2deg(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert degrees.min() < -9.9 and degrees.max() > 9.9
    centre = np.full(2, (SIZE - 1) / 2)
    shift = matrices[:, :, :2] @ centre + matrices[:, :, 2] - centre
    assert 0.04 * SIZE < np.abs(shift).max() <= 0.05 * SIZE


def test_a_tone_bends_between_black_and_white():
    policy = augment.Policy(brightness=0, contrast=0, tone=0.5)
    tables = augment.light(augment.draws(0, 0, 256), policy).astype(int)
    assert (np.diff(tables, axis=1) >= 0).all()
    assert not tables[:, 0].any() and (tables[:, 255] == 255).all()
    limits = 255 * (128 / 255) ** np.exp([0.5, -0.5])
    found = [tables[:, 128].min(), tables[:, 128].max()]
    np.testing.assert_allclose(found, limits, atol=2)


def test_light_changes_in_order_and_within_limits():
    tables = augment.light(augment.draws(0, 0, 256), augment.Policy()).astype(int)
    assert (np.diff(tables, axis=1) >= 0).all()
    assert tables[:, 0].max() <= 0.06 * 255 + 1
    assert np.abs(tables[:, 128] - 128).max() <= 128 * 0.2 + 0.06 * 255 + 1


def test_a_draw_follows_from_seed_epoch_and_index():
    table = augment.draws(3, 5, 40)
    np.testing.assert_array_equal(table[:10], augment.draws(3, 5, 10))
    assert ((table >= 0) & (table < 1)).all()
    others = [augment.draws(3, 6, 40), augment.draws(4, 5, 40)]
    assert all((table != other).all() for other in others)


def test_the_number_of_threads_changes_nothing():
    images, draws = noise(8), augment.draws(0, 1, 8)
    threads = cv2.getNumThreads()
    try:
        results = []
        for count in (1, 2, 5):
            cv2.setNumThreads(count)
            results.append(augment.augment(images, draws, FARTHEST))
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_picture_does_not_depend_on_its_batch():
    images, draws = noise(8), augment.draws(0, 1, 8)
    whole = augment.augment(images, draws, augment.Policy())
    part = augment.augment(images[3:4], draws[3:4], augment.Policy())
    np.testing.assert_array_equal(whole[3:4], part)


def test_an_unknown_flip_is_refused():
    with pytest.raises(errors.BadInput, match="flip 'sideways' is unknown; choose one"):
        augment.Policy(flip="sideways")
