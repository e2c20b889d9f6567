import numpy as np
import pytest
from scipy import stats

from nexperia_tf import predictions
from nexperia_tf.statistics import clustered, intervals, metrics


def lots_of(count, size):
    return np.repeat([f"lot{i}" for i in range(count)], size)


def drawn(seed, lots, *, auc=0.9, alike=0.3, ties=False):
    """Devices whose lots move both classes and differ in their share of defects."""
    random = np.random.default_rng(seed)
    group_of = clustered.group_numbers(lots)
    count = group_of.max() + 1
    shares = np.clip(0.25 + 0.15 * random.normal(size=count), 0.05, 0.6)
    labels = random.random(len(lots)) < shares[group_of]
    labels[:2] = [True, False]
    moved, seen = np.sqrt(alike) * random.normal(size=(2, count))
    scores = moved[group_of] + np.sqrt(1 - alike) * random.normal(size=len(lots))
    scores += labels * (seen[group_of] + stats.norm.ppf(auc) * np.sqrt(2 + alike))
    return labels, np.round(scores, 1) if ties else scores


def table(**columns):
    n = len(next(iter(columns.values())))
    return predictions.Predictions(
        image_id=[f"d{i}" for i in range(n)],
        label=[i % 2 for i in range(n)],
        score=np.linspace(0.1, 0.9, n),
        columns={k: np.array(v, dtype=object) for k, v in columns.items()},
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_leaving_a_group_out_is_the_auc_of_the_others(seed, ties):
    lots = lots_of(6, 12)
    labels, scores = drawn(seed, lots, ties=ties)
    parts = clustered.Parts.of(labels, [scores, -scores], lots)
    expected = [
        [
            metrics.auc(labels[lots != lot], sign * scores[lots != lot])
            for lot in np.unique(lots)
        ]
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(parts.without_one(), expected, atol=1e-12)
    whole = [metrics.auc(labels, scores), metrics.auc(labels, -scores)]
    np.testing.assert_allclose(parts.aucs, whole, atol=1e-12)
    np.testing.assert_allclose(parts.contributions().sum(axis=1), whole, atol=1e-12)


def test_devices_that_stand_alone_keep_newcombes_interval():
    labels, scores = drawn(1, lots_of(40, 5))
    plain = intervals.newcombe(labels, scores)
    each = np.array([f"d{i}" for i in range(200)])
    for groups in (None, each, np.full(200, "")):
        found = clustered.headline(labels, scores, groups)
        assert (found.low, found.high) == (plain.low, plain.high)
        assert (found.method, found.reason, found.groups) == ("newcombe-5", "", None)


def test_lots_that_differ_widen_the_interval_and_never_narrow_it():
    lots = lots_of(12, 40)
    labels, scores = drawn(2, lots, alike=0.5)
    plain, found = (
        intervals.newcombe(labels, scores),
        clustered.headline(labels, scores, lots),
    )
    assert found.method == "newcombe-5-by-group" and found.groups == 12
    assert found.design_effect > 2
    assert found.low < plain.low < found.value < plain.high < found.high
    labels, scores = drawn(2, lots, alike=0)
    found = clustered.headline(labels, scores, lots)
    plain = intervals.newcombe(labels, scores)
    assert found.design_effect >= 1
    assert found.low <= plain.low and plain.high <= found.high


@pytest.mark.parametrize(
    ("lots", "labels", "scores", "reason"),
    [
        ("aaaaaa", [0, 1, 0, 1, 0, 1], [1, 2, 3, 4, 5, 6], "1 lot is too few"),
        ("aaabbb", [0, 1, 0, 1, 0, 1], [1, 2, 3, 4, 5, 6], "2 lots are too few"),
        (
            "aabbcc",
            [1, 1, 0, 0, 0, 0],
            [1, 6, 3, 4, 5, 2],
            "all defects are of one lot",
        ),
        ("aabbcc", [0, 0, 1, 1, 1, 1], [1, 6, 3, 4, 5, 2], "all good devices are of"),
        ("aabbcc", [0, 1, 0, 1, 0, 1], [1, 9, 2, 8, 3, 7], "every defect scores above"),
        ("aabbcc", [1, 0, 1, 0, 1, 0], [1, 9, 2, 8, 3, 7], "every defect scores below"),
        ("aabbcc", [0, 1, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1], "scores do not vary"),
    ],
)
def test_no_interval_is_given_where_none_can_hold(lots, labels, scores, reason):
    found = clustered.headline(labels, scores, list(lots))
    assert (found.low, found.high, found.method) == (None, None, "none")
    assert found.reason.startswith(reason)
    assert found.value == metrics.auc(labels, scores)


@pytest.mark.parametrize("count", [3, 7, 15])
def test_the_headline_holds_at_few_lots_where_newcombes_does_not(count):
    lots, truth = lots_of(count, 40), 0.9
    held, by_device = [], []
    for seed in range(200):
        labels, scores = drawn(seed, lots, auc=truth)
        found = clustered.headline(labels, scores, lots)
        if found.low is not None:
            held.append(found.low <= truth <= found.high)
        plain = intervals.newcombe(labels, scores)
        by_device.append(plain.low <= truth <= plain.high)
    assert len(held) > 180
    assert np.mean(held) >= 0.92
    assert np.mean(by_device) < 0.8


def test_equal_lots_leave_one_degree_of_freedom_less_than_lots():
    labels = np.tile([1, 0, 0], 10)
    parts = clustered.Parts.of(labels, [np.arange(30)], lots_of(10, 3))
    assert parts.freedom() == pytest.approx(9)


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("share", [0.001, 0.05, 0.5])
def test_exceedances_correlate_as_normals_do(rho, share):
    at = stats.norm.ppf(share)
    both = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([at, at])
    expected = (both - share**2) / (share - share**2)
    assert clustered.tail_correlation(rho, share) == pytest.approx(expected, abs=1e-4)


def test_the_correlation_of_a_group_is_found():
    random = np.random.default_rng(6)
    group_of = np.repeat(np.arange(300), 10)
    scores = np.sqrt(0.3) * random.normal(size=300)[group_of]
    scores += np.sqrt(0.7) * random.normal(size=3000)
    assert clustered.correlation(np.exp(scores), group_of) == pytest.approx(
        0.3, abs=0.04
    )


def test_devices_in_groups_are_worth_less_also_where_none_is_hit():
    random = np.random.default_rng(7)
    group_of = np.repeat(np.arange(10), 50)
    none = np.zeros(500, dtype=bool)
    apart = random.normal(size=500)
    alike = apart + 2 * random.normal(size=10)[group_of]
    assert clustered.effective(none, alike, group_of) < clustered.effective(
        none, apart, group_of
    )
    assert clustered.effective(none, alike, group_of) < 250
    assert clustered.effective(none, alike, np.arange(500)) == 500
    assert clustered.effective(none, alike, np.zeros(500, dtype=int)) == 1
    lots = np.array([f"l{i}" for i in group_of])
    plain = intervals.clopper_pearson(0, 500)
    assert clustered.rate(none, alike, lots).high > 2 * plain.high
    assert clustered.rate(none, alike) == plain


def test_a_rate_by_group_is_never_narrower_than_clopper_pearson():
    random = np.random.default_rng(8)
    for _ in range(100):
        lots = random.integers(0, random.integers(2, 40), 200).astype(str)
        scores = random.random(200)
        hits = scores > random.random()
        found = clustered.rate(hits, scores, lots)
        plain = intervals.clopper_pearson(int(hits.sum()), 200)
        assert found.value == pytest.approx(plain.value)
        assert found.low <= plain.low + 1e-12 and found.high >= plain.high - 1e-12


def test_groups_come_from_the_table():
    assert clustered.groups_of(table(lot=["a", "b", "c", "d"])) is None
    assert clustered.groups_of(table(lot=["a", "a", "", ""])).tolist()[:2] == ["a", "a"]
    assert clustered.word_of(table(lot=["a", "a", "", ""])) == "lot"
    assert clustered.word_of(table(group=["x", "x"], lot=["a", "b"])) == "group"
    assert clustered.word_of(table(machine=["x", "x"])) is None
    assert clustered.count(["a", "a", "", "", "b"]) == 4
