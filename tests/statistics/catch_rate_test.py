import numpy as np
import pytest
from scipy import special, stats

from nexperia_tf.statistics import catch_rate, clustered, metrics


def drawn(random, n_defect, n_good):
    labels = np.repeat([1, 0], [n_defect, n_good])
    scores = random.normal(size=len(labels))
    scores[:n_defect] = 1.5 * scores[:n_defect] + 4
    return labels, scores


def truth(tpr):
    return stats.norm.sf(4 + 1.5 * stats.norm.ppf(1 - tpr))


def test_limits_cover_the_overkill_at_the_true_catch_rate():
    random = np.random.default_rng(1)
    targets = (0.97, 0.99)
    held = np.zeros(2)
    for _ in range(400):
        found = catch_rate.overkill(*drawn(random, 500, 800), targets)
        held += [one.low <= truth(t) <= one.high for one, t in zip(found, targets)]
    assert np.all(held / 400 >= 0.94)


def test_ties_are_held_against_the_threshold():
    random = np.random.default_rng(2)
    levels = np.arange(-3, 12) / 2  # the true curve has steps, too
    exact = 4 + 1.5 * stats.norm.ppf(0.03)
    held = 0
    for _ in range(300):
        labels, scores = drawn(random, 400, 400)
        scores = levels[np.clip(np.searchsorted(levels, scores, "right") - 1, 0, None)]
        (found,) = catch_rate.overkill(labels, scores, [0.97])
        step = levels[np.searchsorted(levels, exact, "right") - 1]
        held += found.low <= stats.norm.sf(step) <= found.high
    assert held / 300 >= 0.94


@pytest.mark.parametrize(
    ("n_defect", "with_limit"),
    [
        (108, []),
        (131, []),
        (827, [0.991, 0.993, 0.995]),
        (1300, [0.991, 0.993, 0.995, 0.997]),
    ],
)
def test_too_few_defects_leave_the_overkill_without_an_upper_limit(
    n_defect, with_limit
):
    labels, scores = drawn(np.random.default_rng(3), n_defect, 500)
    found = catch_rate.overkill(labels, scores)
    assert [one.point.tpr for one in found if one.high is not None] == with_limit
    assert all(bool(one.reason) == (one.high is None) for one in found)
    assert found[-1].point.tpr == 1 and found[-1].high is None


def test_the_row_keeps_what_these_devices_do():
    labels, scores = drawn(np.random.default_rng(4), 300, 300)
    found = catch_rate.overkill(labels, scores)
    assert [one.point for one in found] == metrics.fpr_at_tpr(labels, scores)
    for one in found:
        assert 0 <= one.low <= one.point.fpr
        assert one.high is None or one.point.fpr <= one.high <= 1


def test_limits_are_narrower_than_the_trivial_union():
    labels, scores = drawn(np.random.default_rng(5), 827, 3003)
    for one in catch_rate.overkill(labels, scores, [0.991, 0.993]):
        trivial = union(labels, scores, one.point.tpr)
        assert one.high - one.low < trivial[1] - trivial[0]


def union(labels, scores, tpr, error=0.05 / 4):
    """Order statistics and Clopper-Pearson, each with half of the error."""
    defects, good = np.sort(scores[labels == 1]), scores[labels == 0]
    below = stats.binom.ppf(error, defects.size, 1 - tpr)
    ranks = int(below), int(stats.binom.isf(error, defects.size, 1 - tpr)) + 1
    many, few = (int(np.sum(good >= defects[rank - 1])) for rank in ranks)
    high = special.betaincinv(many + 1, good.size - many, 1 - error)
    return special.betaincinv(few, good.size - few + 1, error), high


def test_lots_widen_the_limits():
    random = np.random.default_rng(6)
    labels, scores = drawn(random, 1000, 1000)
    lots = random.integers(0, 40, 2000)
    scores = scores + random.normal(size=40)[lots]
    names = np.array([f"l{lot}" for lot in lots])
    (plain,) = catch_rate.overkill(labels, scores, [0.95])
    (by_lot,) = catch_rate.overkill(labels, scores, [0.95], groups=names)
    assert by_lot.low < plain.low and by_lot.high > plain.high
    few = np.array([f"l{lot % 2}" for lot in lots])
    (two,) = catch_rate.overkill(labels, scores, [0.99], groups=few)
    assert two.high is None
    assert clustered.count(few) == 2
