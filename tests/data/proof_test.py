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
