import numpy as np
import pytest
import sklearn.calibration
import sklearn.frozen
import sklearn.linear_model
from scipy import special

from nexperia_tf import errors
from nexperia_tf.statistics import calibration, metrics


def devices(n=4000, seed=0):
    """Labels drawn from the probabilities of the logits: perfectly calibrated."""
    random = np.random.default_rng(seed)
    logits = 3 * random.normal(size=n) - 1
    return (random.random(n) < special.expit(logits)).astype(int), logits


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.0])
def test_the_factor_and_the_shift_that_spoilt_the_logits_are_found(factor, shift):
    labels, logits = devices()
    found = calibration.fit(logits * factor + shift, labels)
    assert found.temperature == pytest.approx(factor, rel=0.05)
    assert found.offset == pytest.approx(-shift / factor, abs=0.2)


@pytest.mark.parametrize("kept", [1.0, 0.04])
def test_scores_equal_scikit_learns(kept):
    labels, logits = devices(800, seed=1)
    # Down to a few defects, whose targets count.
    labels &= np.random.default_rng(2).random(800) < kept
    logits = 1.7 * logits + 5
    model = sklearn.linear_model.LogisticRegression().fit(logits[:, None], labels)
    model.coef_, model.intercept_ = np.array([[1.0]]), np.array([0.0])
    oracle = sklearn.calibration.CalibratedClassifierCV(
        sklearn.frozen.FrozenEstimator(model), method="sigmoid"
    ).fit(logits[:, None], labels)
    theirs = oracle.predict_proba(logits[:, None])[:, 1]
    ours = calibration.fit(logits, labels).scores(logits)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_what_balanced_training_learned_is_brought_back_to_the_prevalence():
    random = np.random.default_rng(0)
    labels = (random.random(4000) < 0.05).astype(int)
    # By Bayes' rule the logits of a half of defects, for normals two SD apart.
    balanced = 2 * (random.normal(size=4000) + 2 * labels) - 2
    found = calibration.fit(balanced, labels)
    assert found.offset == pytest.approx(np.log(0.05 / 0.95), abs=0.15)
    assert found.temperature == pytest.approx(1, abs=0.05)
    assert found.scores(balanced).mean() == pytest.approx(labels.mean(), abs=1e-3)
    spoilt = metrics.log_loss(labels, special.expit(balanced))
    alone = [special.expit(balanced / t) for t in np.geomspace(0.05, 20, 200)]
    alone = min(metrics.log_loss(labels, scores) for scores in alone)
    mended = metrics.log_loss(labels, found.scores(balanced))
    assert spoilt == pytest.approx(0.361, abs=0.001)
    assert alone > 0.35 and mended == pytest.approx(0.123, abs=0.001)


def test_no_other_line_has_a_smaller_log_loss():
    labels, logits = devices(5000, seed=2)
    best = calibration.fit(logits, labels)

    def loss(temperature, offset):
        return metrics.log_loss(labels, special.expit(logits / temperature + offset))

    least = loss(best.temperature, best.offset)
    for factor, shift in ((0.98, 0), (1.02, 0), (1, -0.02), (1, 0.02)):
        assert least <= loss(best.temperature * factor, best.offset + shift)


def test_calibrated_scores_need_no_calibration():
    labels, logits = devices(300, seed=5)
    scores = calibration.fit(logits, labels).scores(logits)
    again = calibration.fit(calibration.logits(scores), labels)
    assert (again.temperature, again.offset) == pytest.approx((1, 0), abs=1e-5)


@pytest.mark.parametrize("turned", [False, True])
def test_ranks_do_not_change(turned):
    labels, logits = devices(300, seed=3)
    if turned:  # defects score lowest: the slope stays above 0 all the same
        logits = -logits
    scores = special.expit(logits)
    rescaled = calibration.rescaled(scores, calibration.fit(logits, labels))
    assert metrics.auc(labels, rescaled) == metrics.auc(labels, scores)


@pytest.mark.parametrize("widest", [0.1, 12, 1000])
@pytest.mark.parametrize("middle", [0, 50])
def test_separated_classes_do_not_drive_scores_until_ranks_are_lost(widest, middle):
    labels = np.repeat([0, 1], 20)
    logits = middle + np.linspace(-widest, widest, 40)
    found = calibration.fit(logits, labels)
    odds = found.logits(logits)
    assert np.abs(odds).max() <= calibration.LARGEST_LOGIT + 1e-6
    assert len(np.unique(special.expit(odds))) == 40


def test_a_handful_of_devices_promises_little():
    found = calibration.fit(np.array([-9.0, -8, 7, 9]), np.array([0, 0, 1, 1]))
    assert 0.6 < found.scores(9.0) < 0.9  # two of two, taken for three of four


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
    with pytest.raises(errors.BadInput, match=r"v.csv: Calibration needs .* 0 defect"):
        calibration.fit(np.zeros(3), np.zeros(3), where="v.csv")
