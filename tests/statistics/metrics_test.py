import math

import hypothesis
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import strategies

from nexperia_tf import errors
from nexperia_tf.statistics import metrics

# How many devices, how many distinct scores at most (few: ties are the case that goes
# wrong), and a seed; drawing each score by itself would take most of the test's time.
DEVICES = strategies.tuples(
    strategies.integers(2, 40),
    strategies.sampled_from([1, 2, 3, 7, 12, 10**6]),
    strategies.integers(0, 2**32 - 1),
)


def arrays(devices):
    n, steps, seed = devices
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    hypothesis.assume(0 < labels.sum() < n)
    return labels, random.integers(0, steps + 1, n) / steps


@hypothesis.settings(max_examples=1000, deadline=None, derandomize=True)
@hypothesis.given(DEVICES)
def test_roc_and_auc_equal_scikit_learn(devices):
    labels, scores = arrays(devices)
    oracle = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    for ours, theirs in zip(metrics.roc(labels, scores), oracle):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    area = sklearn.metrics.auc(*oracle[:2])
    assert metrics.auc(labels, scores) == pytest.approx(area, abs=1e-12)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(DEVICES)
def test_other_figures_equal_scikit_learn(devices):
    labels, scores = arrays(devices)
    oracle = sklearn.metrics
    assert metrics.auc(labels, scores) == pytest.approx(
        oracle.roc_auc_score(labels, scores), abs=1e-12
    )
    for min_tpr in (0.99, 0.6):
        assert metrics.partial_auc(labels, scores, min_tpr=min_tpr) == pytest.approx(
            oracle.roc_auc_score(1 - labels, -scores, max_fpr=1 - min_tpr), abs=1e-9
        )
    assert metrics.average_precision(labels, scores) == pytest.approx(
        oracle.average_precision_score(labels, scores), abs=1e-12
    )
    assert metrics.brier(labels, scores) == pytest.approx(
        oracle.brier_score_loss(labels, scores), abs=1e-12
    )
    assert metrics.log_loss(labels, scores) == pytest.approx(
        oracle.log_loss(labels, scores.astype(np.float64)), rel=1e-9
    )


@hypothesis.settings(max_examples=100, deadline=None, derandomize=True)
@hypothesis.given(DEVICES, strategies.sampled_from([0.1, 0.5, 0.9, 0.991, 1.0]))
def test_a_threshold_is_a_defects_score_and_no_higher_one_catches_enough(
    devices, target
):
    labels, scores = arrays(devices)
    (point,) = metrics.fpr_at_tpr(labels, scores, [target])
    defects = scores[labels == 1]
    assert point.threshold in defects
    assert np.mean(defects >= point.threshold) >= target - 1e-12
    for higher in defects[defects > point.threshold]:
        assert np.mean(defects >= higher) < target
    assert point.misses == np.sum(defects < point.threshold)
    assert point.false_calls == np.sum(scores[labels == 0] >= point.threshold)
    assert point.fpr == point.false_calls / np.sum(labels == 0)


def test_every_defect_of_a_thousand_is_counted_as_the_target_says():
    labels = np.repeat([1, 0], [1000, 1000])
    scores = np.concatenate([np.arange(1000) / 1000 + 0.0005, np.arange(1000) / 1000])
    points = metrics.fpr_at_tpr(labels, scores)
    assert [p.misses for p in points] == [9, 7, 5, 3, 0]
    assert [p.false_calls for p in points] == [990, 992, 994, 996, 999]


def test_too_few_defects_give_one_point_for_two_targets():
    random = np.random.default_rng(0)
    labels = np.repeat([1, 0], [131, 287])
    points = metrics.fpr_at_tpr(labels, random.random(418))
    assert [p.misses for p in points] == [1, 0, 0, 0, 0]
    assert len({p.threshold for p in points[1:]}) == 1


def test_certain_scores_give_finite_log_loss():
    assert metrics.log_loss([1, 0], [0.0, 0.0]) == pytest.approx(18.02, abs=0.01)


def test_perfect_tied_and_inverted_scores():
    labels = np.array([0, 0, 1, 1])
    assert metrics.auc(labels, [0.1, 0.2, 0.3, 0.4]) == 1
    assert metrics.auc(labels, [0.5] * 4) == 0.5
    assert metrics.auc(labels, [0.4, 0.3, 0.2, 0.1]) == 0
    assert metrics.partial_auc(labels, [0.1, 0.2, 0.3, 0.4]) == 1


@pytest.mark.parametrize("metric", [metrics.auc, metrics.fpr_at_tpr, metrics.brier])
def test_one_class_is_an_error_that_counts(metric):
    with pytest.raises(errors.BadInput, match=r"a.csv: .* 412 good and 0 defect"):
        metric(np.zeros(412), np.linspace(0, 1, 412), where="a.csv")


@pytest.mark.parametrize(
    ("labels", "scores", "words"),
    [
        ([0, 1], [0.1, math.nan], "a.csv: score nan in row 1"),
        ([0, 1], [math.inf, 0.1], "a.csv: score inf in row 0"),
        ([0, 1, -1], [0.1, 0.2, 0.3], "1 of 3 labels are neither"),
        ([0, 1], [0.1], r"shape \(2,\) and scores of shape \(1,\)"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(labels, scores, words):
    with pytest.raises(errors.BadInput, match=words):
        metrics.auc(labels, scores, where="a.csv")


def test_a_target_is_a_share():
    with pytest.raises(errors.BadInput, match=r"Received 99.5"):
        metrics.fpr_at_tpr([0, 1], [0.1, 0.2], [99.5])
