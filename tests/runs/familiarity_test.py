"""Distances of features, and how often a familiar device is called unfamiliar."""

import numpy as np
import pytest
from sklearn import decomposition

from nexperia_tf.runs import familiarity

FEATURES = 60


def features(count, seed, *, shift=0.0):
    """Of few hidden causes and noise, of very different scales, none below 0."""
    fixed, rng = np.random.default_rng(7), np.random.default_rng(seed)
    causes = fixed.normal(size=(5, FEATURES))
    scales = 10.0 ** fixed.uniform(-1, 1, FEATURES)
    noise = 0.3 * rng.normal(size=(count, FEATURES))
    values = rng.normal(size=(count, 5)) @ causes + noise + 10
    values[:, ::7] += shift
    return values * scales


def test_the_distance_is_mahalanobis_by_probabilistic_principal_components():
    training, held_out = features(400, 0), features(99, 1)
    found = familiarity.fit(training, held_out)
    mean, scale = training.mean(0), training.std(0)
    oracle = decomposition.PCA(32).fit((training - mean) / scale)
    other = features(20, 2, shift=3)
    apart = (other - mean) / scale
    squares = np.einsum("ij,jk,ik->i", apart, oracle.get_precision(), apart)
    np.testing.assert_allclose(
        found.unfamiliar(other) * found.limit, np.sqrt(squares), rtol=1e-4
    )


def test_what_was_never_seen_is_far_away_and_more_of_the_same_is_not():
    found = familiarity.fit(features(400, 0), features(99, 1))
    assert (found.unfamiliar(features(200, 2)) >= 1).mean() < 0.05
    assert (found.unfamiliar(features(200, 3, shift=6)) >= 1).all()
    blank = found.unfamiliar(np.zeros((1, FEATURES)))
    assert blank[0] > 1.5


@pytest.mark.parametrize(
    ("held_out", "stated"), [(99, 0.01), (250, 0.00797), (30, 0.03226)]
)
def test_false_alarms_are_as_many_as_stated(held_out, stated):
    """On average over sets of held-out devices: one such set may be lucky."""
    training = features(300, 0)
    rates = [
        (found.unfamiliar(features(500, 1000 + seed)) >= 1).mean()
        for seed in range(300)
        if (found := familiarity.fit(training, features(held_out, 100 + seed)))
    ]
    assert found.false_alarm == pytest.approx(stated, abs=1e-4)
    error = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) <= found.false_alarm + 3 * error
    assert np.mean(rates) >= found.false_alarm - 4 * error  # nor far fewer


def test_too_few_pictures_say_nothing():
    assert familiarity.fit(features(19, 0), features(99, 1)) is None
    assert familiarity.fit(features(99, 0), features(19, 1)) is None
    assert familiarity.fit(features(20, 0), features(20, 1)).devices == 20


def test_pictures_that_are_all_alike_make_no_infinities():
    same = np.ones((30, 8))
    assert familiarity.fit(same, same) is None
    two = np.repeat([[1.0] * 8, [2.0] * 8], 15, axis=0)
    found = familiarity.fit(two, two)
    assert np.isfinite(found.unfamiliar(np.stack([same[0], np.arange(8)]))).all()
    assert found.unfamiliar(3 * same)[0] > 1
    dead = features(200, 0)
    dead[:, :10] = 0  # channels that the rectifier has switched off
    found = familiarity.fit(dead, dead[:50])
    assert np.isfinite(found.unfamiliar(features(20, 1))).all()
