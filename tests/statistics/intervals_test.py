import itertools
import json
import pathlib
import runpy

import numpy as np
import pytest
from scipy import stats

from nexperia_tf import errors
from nexperia_tf.statistics import comparison, intervals, metrics

SIMULATION = pathlib.Path(__file__).parents[2] / "benchmarks" / "interval_coverage.py"
GOLDENS = json.loads((pathlib.Path(__file__).parent / "proc_goldens.json").read_text())


def brute_force(labels, runs):
    """DeLong by its definition: every pair of a defect and a good device."""
    v10, v01 = [], []
    for scores in runs:
        defects, good = scores[labels == 1], scores[labels == 0]
        psi = (defects[:, None] > good) + 0.5 * (defects[:, None] == good)
        v10.append(psi.mean(axis=1))
        v01.append(psi.mean(axis=0))
    size = len(runs), len(runs)
    s10 = np.cov(v10).reshape(size) / len(v10[0])
    s01 = np.cov(v01).reshape(size) / len(v01[0])
    return np.mean(v10, axis=1), s10 + s01


@pytest.mark.parametrize("seed", range(200))
def test_delong_equals_every_pair_compared(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(6, 60))
    labels = np.zeros(n, dtype=int)
    labels[: random.integers(2, n - 1)] = 1
    steps = int(random.integers(2, 40))  # few steps: many ties
    first = random.integers(0, steps, n) / steps + 0.3 * labels * (seed % 3)
    second = random.integers(0, steps, n) / steps
    aucs, covariance = intervals.delong_covariance(labels, [first, second])
    expected_aucs, expected = brute_force(labels, [first, second])
    np.testing.assert_allclose(aucs, expected_aucs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=1e-12)
    assert metrics.auc(labels, first) == pytest.approx(aucs[0], abs=1e-12)
    single = intervals.delong_covariance(labels, [first])[1]
    np.testing.assert_allclose(single, expected[:1, :1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", GOLDENS["cases"], ids=lambda case: case["name"])
def test_delong_equals_proc(case):
    labels, first, second = (np.array(case[k]) for k in ("labels", "first", "second"))
    aucs, covariance = intervals.delong_covariance(labels, [first, second])
    assert aucs == pytest.approx([case["auc_first"], case["auc_second"]], abs=1e-12)
    assert covariance[0, 0] == pytest.approx(case["variance_first"], abs=1e-12)
    assert covariance[1, 1] == pytest.approx(case["variance_second"], abs=1e-12)
    assert covariance[0, 1] == pytest.approx(case["covariance"], abs=1e-12)
    alone = intervals.delong(labels, first)
    assert (alone.low, alone.high) == pytest.approx((case["low"], case["high"]))
    paired = comparison.compare(labels, [first, second])[0, 1]
    assert paired.p_delong == pytest.approx(case["p"], abs=1e-9)
    limits = case["low_difference"], case["high_difference"]
    assert (paired.low, paired.high) == pytest.approx(limits, abs=1e-9)
    partial = metrics.partial_auc(labels, first, min_tpr=0.9)
    assert partial == pytest.approx(case["partial_auc_tpr_90"], abs=1e-9)


def newcombe_by_roots(auc, m, n, z):
    """Method 5 as the quartic that its limits solve."""
    half = (m + n) / 2 - 1
    a = np.polynomial.Polynomial([0, 1])
    spread = (2 - a) * (1 + a) + half * ((1 - a) * (1 + a) + a * (2 - a))
    quartic = (auc - a) ** 2 * m * n * (2 - a) * (1 + a) - z**2 * a * (1 - a) * spread
    roots = quartic.roots().real
    return sorted(root for root in roots if -1e-9 <= root <= 1 + 1e-9)


@pytest.mark.parametrize(
    ("auc", "n_defect", "n_good"),
    [(0.998, 827, 3003), (0.5, 5, 8), (0.81, 131, 287), (1, 50, 60), (0, 5, 8)],
)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_newcombes_limits_solve_his_equation(auc, n_defect, n_good, confidence):
    found = intervals.newcombe_of(auc, n_defect, n_good, confidence=confidence)
    z = stats.norm.isf((1 - confidence) / 2)
    expected = newcombe_by_roots(auc, n_defect, n_good, z)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert found.low <= auc <= found.high


def test_the_studys_auc_is_uncertain_in_the_third_decimal():
    found = intervals.newcombe_of(0.99844, 827, 3003)
    assert found.low == pytest.approx(0.99600, abs=5e-6)
    assert found.low < 0.99794  # the worst of the study's ensembles
    assert found.high > 0.99844


def test_newcombe_is_symmetric_in_the_classes():
    one = intervals.newcombe_of(0.9, 40, 160)
    other = intervals.newcombe_of(0.1, 160, 40)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


@pytest.mark.parametrize(
    ("hits", "trials"), [(0, 827), (3, 827), (827, 827), (5, 10), (1, 1)]
)
def test_clopper_pearson_equals_scipys_exact_limits(hits, trials):
    exact = stats.binomtest(hits, trials).proportion_ci(0.95, "exact")
    found = intervals.clopper_pearson(hits, trials)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert found.value == hits / trials


def test_without_trials_nothing_is_known():
    found = intervals.clopper_pearson(0, 0)
    assert (found.low, found.high) == (0, 1)
    assert np.isnan(found.value)


def test_logit_delong_stays_inside_and_is_absent_at_one():
    labels = np.repeat([1, 0], [10, 30])
    scores = np.concatenate([np.arange(10) + 28.5, np.arange(30)])
    found = intervals.logit_delong(labels, scores)
    assert 0 < found.low < found.value < found.high < 1
    assert intervals.delong(labels, scores).high == 1  # cut off at the edge
    assert intervals.logit_delong(labels, labels) is None


def test_bootstrap_and_delong_agree_on_the_error():
    random = np.random.default_rng(3)
    labels = np.repeat([1, 0], [150, 350])
    first = random.normal(size=500) + 1.5 * labels
    second = first + random.normal(size=500)
    covariance = intervals.delong_covariance(labels, [first, second])[1]
    drawn = intervals.bootstrap_aucs(labels, [first, second])
    assert drawn.shape == (intervals.REPLICATES, 2)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, rtol=0.15)


def test_a_bootstrap_replicate_is_the_auc_of_the_drawn_devices():
    labels = np.array([1, 1, 0, 0, 0])
    scores = np.array([0.9, 0.4, 0.4, 0.1, 0.9])
    possible = {
        round(metrics.auc(labels, scores[[*defects, *good]]), 12)
        for defects in itertools.product(range(2), repeat=2)
        for good in itertools.product(range(2, 5), repeat=3)
    }
    drawn = intervals.bootstrap_aucs(labels, [scores], replicates=500)
    assert {round(auc, 12) for auc in drawn[:, 0]} <= possible


def test_devices_of_one_group_are_drawn_together():
    random = np.random.default_rng(4)
    lots = np.repeat(np.arange(20), 25)
    share = np.repeat(np.tile([0.1, 0.4], 10), 25)  # lots differ in their defects, too
    labels = (random.random(500) < share).astype(int)
    shift = np.repeat(random.normal(size=20), 25)  # a lot's light moves all its scores
    scores = random.normal(size=500) + 2 * labels + 2 * shift
    by_device = intervals.bootstrap_aucs(labels, [scores]).std()
    by_lot = intervals.bootstrap_aucs(labels, [scores], group_of=lots).std()
    assert by_lot > 1.2 * by_device
    alone = np.arange(500)
    np.testing.assert_allclose(
        intervals.bootstrap_aucs(labels, [scores], group_of=alone).std(),
        by_device,
        0.15,
    )


def test_the_same_seed_draws_the_same_devices():
    labels, scores = np.array([0, 1] * 20), np.linspace(0, 1, 40)
    once = intervals.bootstrap_aucs(labels, [scores], seed=5)
    again = intervals.bootstrap_aucs(labels, [scores], seed=5)
    np.testing.assert_array_equal(once, again)


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(errors.BadInput, match="two devices of each class"):
        intervals.delong(np.array([1, 0, 0]), np.array([0.5, 0.2, 0.1]))
    with pytest.raises(errors.BadInput, match=r"between 0 and 1.*Received 95"):
        intervals.newcombe([1, 0], [0.5, 0.2], confidence=95)


@pytest.mark.parametrize("shape", ["bell", "crowded", "5 % hard"])
def test_the_headline_interval_covers_at_auc_998(shape):
    simulation = runpy.run_path(str(SIMULATION))
    found = simulation["coverage"](simulation["SHAPES"][shape], 200)
    assert found["Newcombe 5 (headline)"] >= 0.94
    assert found["DeLong"] < found["Newcombe 5 (headline)"]
