import numpy as np
import pytest

from nexperia_tf.training import optimizers


def test_rises_linearly_then_falls_along_a_cosine():
    rate = optimizers.warmup_cosine(0.4, steps=110, warmup_steps=10)
    expected = {0: 0.0, 5: 0.2, 10: 0.4, 60: 0.2, 110: 0.0, 200: 0.0}
    found = [float(rate(step)) for step in expected]
    np.testing.assert_allclose(found, list(expected.values()), atol=1e-7)


def test_without_warm_up_starts_at_the_peak():
    rate = optimizers.warmup_cosine(0.4, steps=100)
    np.testing.assert_allclose([rate(0), rate(50), rate(100)], [0.4, 0.2, 0], atol=1e-7)


def test_falls_to_a_tenth_again_and_again():
    rate = optimizers.WarmupStep(0.4, every=30, warmup_steps=10)
    expected = {0: 0.0, 5: 0.2, 10: 0.4, 29: 0.4, 30: 0.04, 60: 0.004, 89: 0.004}
    found = [float(rate(step)) for step in expected]
    np.testing.assert_allclose(found, list(expected.values()), rtol=1e-5)
    assert float(optimizers.WarmupStep(0.4, every=30)(0)) == pytest.approx(0.4)


def test_warm_up_longer_than_training_is_refused():
    with pytest.raises(ValueError, match="warmup_steps=10, steps=10"):
        optimizers.warmup_cosine(0.1, steps=10, warmup_steps=10)
