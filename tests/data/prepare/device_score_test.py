import numpy as np
import pytest

from nexperia_tf.data.prepare import device_score

SIDE = device_score.SIDE


def _frame(random, *, device: bool) -> np.ndarray:
    """A dim frame; a device is three bright leads around a body, a bit moved."""
    frame = np.full((SIDE, SIDE), 40.0)
    if device:
        dy, dx = random.integers(-2, 3, 2)
        frame[11 + dy : 21 + dy, 5 + dx : 27 + dx] += 15
        for top, left in ((5, 7), (5, 21), (22, 14)):
            frame[top + dy : top + dy + 5, left + dx : left + dx + 4] = 255
    else:
        x, y = random.integers(2, 28, 2)
        frame[y : y + 3, x : x + 3] = 230
    light = random.uniform(0.6, 1.2)
    return np.clip(frame * light + random.normal(0, 3, frame.shape), 0, 255)


@pytest.fixture(scope="module")
def frames():
    random = np.random.default_rng(0)
    shown = [_frame(random, device=i >= 6) for i in range(300)]
    return np.stack(shown).astype(np.uint8)


def test_frames_without_a_device_stand_below_the_threshold(frames):
    scores = device_score.scores(frames)
    limit = device_score.threshold(scores)
    assert np.all(scores[:6] < limit) and np.all(scores[6:] > limit)
    assert np.all((scores >= 0) & (scores <= 1))


def test_a_flaw_on_a_device_does_not_make_it_none(frames):
    flawed = frames.copy()
    flawed[20:40, 14:18, 10:16] = 250
    scores = device_score.scores(flawed)
    assert np.all(scores[20:40] > device_score.threshold(scores))


def test_the_score_does_not_depend_on_the_order(frames):
    order = np.random.default_rng(1).permutation(len(frames))
    np.testing.assert_allclose(
        device_score.scores(frames)[order],
        device_score.scores(frames[order]),
        atol=1e-5,
    )


def test_products_that_vary_and_second_products_are_not_judged(frames):
    random = np.random.default_rng(2)
    noise = random.integers(0, 255, frames.shape).astype(np.uint8)
    assert device_score.threshold(device_score.scores(noise)) is None
    turned = frames.copy()
    turned[200:] = turned[200:, ::-1]
    assert device_score.threshold(device_score.scores(turned)) is None


def test_a_frame_without_structure_scores_nothing(frames):
    flat = frames.copy()
    flat[0], flat[1] = 0, 255
    assert np.all(device_score.scores(flat)[:2] < 0.01)


def test_few_frames_are_not_judged():
    assert device_score.threshold([0.9] * 10) is None
    assert len(device_score.scores(np.zeros((0, SIDE, SIDE), np.uint8))) == 0
