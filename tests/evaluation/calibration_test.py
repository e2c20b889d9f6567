import numpy as np
import pytest
import sklearn.calibration
import sklearn.frozen
import sklearn.linear_model
from scipy import special

from nexperia_tf import errors, metrics
from nexperia_tf.evaluation import calibration


def devices(n=4000, seed=0):
    """Labels drawn from the probabilities of the logits: perfectly calibrated."""
    random = np.random.default_rng(seed)
    logits = 3 * random.normal(size=n) - 1
    return (random.random(n) < special.expit(logits)).astype(int), logits


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
def test_the_factor_that_spoilt_the_logits_is_found(factor):
    labels, logits = devices()
    assert calibration.fit(logits * factor, labels) == pytest.approx(factor, rel=0.05)


def test_temperature_equals_scikit_learns():
    labels, logits = devices(800, seed=1)
    logits = 1.7 * logits
    model = sklearn.linear_model.LogisticRegression().fit(logits[:, None], labels)
    model.coef_, model.intercept_ = np.array([[1.0]]), np.array([0.0])
    oracle = sklearn.calibration.CalibratedClassifierCV(
        sklearn.frozen.FrozenEstimator(model), method="temperature"
    ).fit(logits[:, None], labels)
    theirs = oracle.predict_proba(logits[:, None])[:, 1]
    ours = special.expit(logits / calibration.fit(logits, labels))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_no_other_temperature_has_a_smaller_log_loss():
    labels, logits = devices(500, seed=2)
    best = calibration.fit(logits, labels)
    loss = lambda t: metrics.log_loss(labels, special.expit(logits / t))  # noqa: E731
    assert loss(best) <= min(loss(best * 0.99), loss(best * 1.01))


def test_ranks_do_not_change():
    labels, logits = devices(300, seed=3)
    scores = special.expit(logits)
    rescaled = calibration.rescaled(scores, 2.7)
    assert metrics.auc(labels, rescaled) == metrics.auc(labels, scores)


def test_separated_classes_are_not_cooled_until_ranks_are_lost():
    labels = np.repeat([0, 1], 20)
    logits = np.linspace(-12, 12, 40)
    found = calibration.fit(logits, labels)
    assert found == pytest.approx(12 / calibration.LARGEST_LOGIT, rel=1e-3)
    assert len(np.unique(special.expit(logits / found))) == 40


def test_scores_of_zero_and_one_have_finite_log_odds():
    odds = calibration.logits(np.array([0.0, 0.5, 1.0]))
    assert odds[1] == 0 and np.isfinite(odds).all()
    assert odds[0] == pytest.approx(-odds[2])


def test_bins_hold_every_device_once_and_cover_the_truth():
    labels, logits = devices(seed=4)
    bins = calibration.reliability(labels, special.expit(logits))
    assert sum(found.n for found in bins) == 4000
    assert sum(found.n_defect for found in bins) == labels.sum()
    highs = [found.high for found in bins]
    assert highs == sorted(highs)
    held = [found.rate.low <= found.mean_score <= found.rate.high for found in bins]
    assert sum(held) >= len(bins) - 1  # these scores are true probabilities


def test_equal_scores_make_one_bin():
    (found,) = calibration.reliability([0, 1, 1, 0], np.full(4, 0.5))
    assert (found.n, found.n_defect, found.low, found.high) == (4, 2, 0.5, 0.5)


def test_one_class_is_refused():
    with pytest.raises(errors.BadInput, match=r"v.csv: Temperature needs .* 0 defect"):
        calibration.fit(np.zeros(3), np.zeros(3), where="v.csv")
