import cv2
import numpy as np
import pytest

from nexperia_tf.data import proof


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
    assert abs(proof.leaning(copies[0], *pair)) < 0.3
    assert abs(proof.leaning(copies[1], *pair) - 1) < 0.3


def test_a_copy_that_shows_no_difference_leans_nowhere(pair):
    white = np.full_like(pair[0], 255)
    assert np.isnan(proof.leaning(white, *pair))
    assert np.isnan(proof.leaning(pair[0], pair[0], pair[0]))


def test_the_first_look_at_grain_refuses_no_copy_and_most_others(pair):
    random = np.random.default_rng(2)
    plain = 100 + 0.02 * pair[0]
    noise = random.normal(0, 3, (2, *plain.shape)).astype(np.float32)
    one, other = plain + noise
    for copy in (one, 0.8 * one, one + random.normal(0, 5, one.shape)):
        copy = copy.astype(np.float32)
        assert proof.hints_at_shared_grain(proof.grain(one), proof.grain(copy))
    assert not proof.hints_at_shared_grain(proof.grain(one), proof.grain(other))


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
    assert proof.examine(part, copy, inside).same_photograph
    found = proof.examine(part, scratched, inside)
    assert found.max_local_residual <= proof.LARGEST_RESIDUAL
    assert found.same_exposure and not found.same_photograph


@pytest.mark.parametrize("gamma", [0.7, 1.4])
def test_rare_levels_do_not_make_a_copy_of_other_exposure_another_part(pair, gamma):
    dark = photograph(pair[0] / 4)
    dark[100:109, 120:160] += 150 * np.hanning(40).astype(np.float32)  # a bright edge
    copy = np.rint(255 * (dark / 255) ** gamma).astype(np.float32)
    found = proof.examine(dark, copy, np.ones(dark.shape, bool))
    assert found.same_photograph and found.max_line_residual < 2


def test_what_noise_was_cut_off_at_white_does_not_make_another_part(pair):
    part = photograph(pair[0])
    part[40:120, 40:120] = 255
    darker = np.rint(0.8 * part).astype(np.float32)
    noise = np.random.default_rng(5).normal(0, 4, part.shape)
    noisy = np.clip(np.rint(part + noise), 0, 255).astype(np.float32)
    found = proof.examine(darker, noisy, np.ones(part.shape, bool))
    assert found.same_photograph and found.max_local_residual < 6
