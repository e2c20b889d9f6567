import cv2
import numpy as np
import pytest

from nexperia_tf.data.proof import same_photo


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A textured picture, and the same with a faint scratch."""
    coarse = np.random.default_rng(0).uniform(60, 160, (28, 27)).astype(np.float32)
    one = cv2.resize(coarse, (267, 275), interpolation=cv2.INTER_CUBIC)
    mask = cv2.line(np.zeros_like(one), (120, 140), (135, 146), 12, 1)
    return one, one + mask


@pytest.mark.parametrize("gain", [1, 0.8, 1.2])
def test_a_noisy_copy_leans_to_the_picture_it_was_made_of(pair, gain):
    noise = np.random.default_rng(1).normal(0, 5, pair[0].shape)
    copies = [np.clip(gain * p + noise, 0, 255).astype(np.float32) for p in pair]
    assert abs(same_photo.position_between(copies[0], *pair)) < 0.3
    assert abs(same_photo.position_between(copies[1], *pair) - 1) < 0.3


def test_a_copy_that_shows_no_difference_leans_nowhere(pair):
    white = np.full_like(pair[0], 255)
    assert np.isnan(same_photo.position_between(white, *pair))
    assert np.isnan(same_photo.position_between(pair[0], pair[0], pair[0]))


def test_the_first_look_at_grain_refuses_no_copy_and_most_others(pair):
    random = np.random.default_rng(2)
    plain = 100 + 0.02 * pair[0]
    noise = random.normal(0, 3, (2, *plain.shape)).astype(np.float32)
    one, other = plain + noise
    for copy in (one, 0.8 * one, one + random.normal(0, 5, one.shape)):
        copy = copy.astype(np.float32)
        perhaps, _ = same_photo.grain_at_a_glance(
            same_photo.grain(one), same_photo.grain(copy)
        )
        assert perhaps
    said = same_photo.grain_at_a_glance(same_photo.grain(one), same_photo.grain(other))
    assert said == (False, False)
    brighter = same_photo.grain((0.8 * one + 9).astype(np.float32))
    assert same_photo.grain_at_a_glance(same_photo.grain(one), brighter) == (True, True)


def photograph(levels: np.ndarray) -> np.ndarray:
    """What a camera makes of levels: noise, and whole numbers."""
    noise = np.random.default_rng(3).normal(0, 2, levels.shape)
    return np.clip(np.rint(levels + noise), 0, 255).astype(np.float32)


def test_a_scratch_too_faint_for_any_place_is_seen_along_its_line(pair):
    part, inside = photograph(pair[0]), np.ones(pair[0].shape, bool)
    line = cv2.line(np.zeros_like(part), (120, 140), (150, 152), 1.0, 1)
    noisy = part + np.random.default_rng(4).normal(0, 2, part.shape)
    copy = np.rint(noisy).astype(np.float32)
    scratched = np.rint(noisy - 8 * line).astype(np.float32)
    assert same_photo.examine(part, copy, inside).same_photograph
    found = same_photo.examine(part, scratched, inside)
    assert found.max_local_residual <= same_photo.LARGEST_RESIDUAL
    assert found.same_exposure and not found.same_photograph


@pytest.mark.parametrize("gamma", [0.7, 1.4])
def test_rare_levels_do_not_make_a_copy_of_other_exposure_another_part(pair, gamma):
    dark = photograph(pair[0] / 4)
    dark[100:109, 120:160] += 150 * np.hanning(40).astype(np.float32)  # a bright edge
    copy = np.rint(255 * (dark / 255) ** gamma).astype(np.float32)
    found = same_photo.examine(dark, copy, np.ones(dark.shape, bool))
    assert found.same_photograph and found.max_line_residual < 2


def test_what_noise_was_cut_off_at_white_does_not_make_another_part(pair):
    part = photograph(pair[0])
    part[40:120, 40:120] = 255
    darker = np.rint(0.8 * part).astype(np.float32)
    noise = np.random.default_rng(5).normal(0, 4, part.shape)
    noisy = np.clip(np.rint(part + noise), 0, 255).astype(np.float32)
    found = same_photo.examine(darker, noisy, np.ones(part.shape, bool))
    assert found.same_photograph and found.max_local_residual < 6


def test_equal_grain_is_no_proof_and_equal_noise_is():
    random = np.random.default_rng(6)
    shading = cv2.resize(random.uniform(60, 160, (9, 9)), (256, 256))
    part = shading + random.normal(0, 12, (256, 256))  # as fine as noise, and stronger
    one, other = (
        (part + random.normal(0, 1.5, (2, 256, 256))).round().astype(np.float32)
    )
    noisy = (one + random.normal(0, 1.5, one.shape)).round().astype(np.float32)
    inside = np.ones(one.shape, bool)
    again, copy = (same_photo.examine(one, two, inside) for two in (other, noisy))
    assert again.same_exposure and again.own_noise > 0.3 and not again.same_photograph
    assert abs(copy.own_noise) < 0.1 and copy.same_photograph
    backwards = same_photo.examine(noisy, one, inside)
    assert abs(backwards.own_noise) < 0.1 and backwards.same_photograph


def test_where_all_levels_are_as_fine_as_noise_nothing_is_proven():
    random = np.random.default_rng(7)
    part = 120 + random.normal(0, 12, (256, 256))  # the tone curve rests on grain alone
    one, other = (part + random.normal(0, 1, (2, 256, 256))).round().astype(np.float32)
    found = same_photo.examine(one, other, np.ones(one.shape, bool))
    assert found.same_exposure and not found.derived


def test_noise_that_jpeg_took_away_proves_nothing(pair):
    random = np.random.default_rng(8)
    part = pair[0] + random.normal(0, 12, pair[0].shape)
    taken = part + random.normal(0, 1.5, (2, *part.shape))
    one, other = np.clip(np.rint(taken), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    one = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    inside = np.ones(part.shape, bool)
    noisy = np.clip(np.rint(one + random.normal(0, 2, part.shape)), 0, 255)
    for two in (other, noisy):
        found = same_photo.examine(
            one.astype(np.float32), two.astype(np.float32), inside
        )
        assert found.same_exposure and not found.same_photograph
    brighter = np.rint(1.1 * one.astype(np.float32))  # but a tone curve does
    assert same_photo.examine(one.astype(np.float32), brighter, inside).same_photograph


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_CUBIC])
def test_a_resampled_copy_differs_by_rounding_and_another_photograph_by_more(
    pair, interpolation
):
    part = photograph(pair[0])
    motion = np.float32([[1, 0, 1.4], [0, 1, -2.7]])
    size = part.shape[::-1]
    laid = cv2.warpAffine(part, motion, size, flags=interpolation)
    inside = cv2.warpAffine(np.ones_like(part), motion, size) > 0.999
    again = laid + np.random.default_rng(9).normal(0, 0.5, part.shape)
    found, other = (
        same_photo.examine(np.rint(p).astype(np.float32), laid, inside, resampled=True)
        for p in (laid, again)
    )
    assert found.departure < 0.32 and found.same_photograph
    assert other.departure > 0.45 and not other.same_photograph


def test_a_negative_is_another_picture_and_no_number_beyond_all_bounds(pair):
    part = photograph(pair[0])
    part[:40] = 0
    for steep in (255 - part, np.clip((part - 90) * 40, 0, 255)):
        found = same_photo.examine(
            part, steep.astype(np.float32), np.ones(part.shape, bool)
        )
        assert not found.same_photograph
