import dataclasses

import numpy as np
import pytest
from scipy import stats

from nexperia_tf.statistics import certificate, choices, guarantee, operating_point


@pytest.mark.parametrize("rho", [0.01, 0.1, 0.3, 0.8])
@pytest.mark.parametrize("rate", [0.002, 0.02, 0.2])
def test_no_lots_hold_a_miss_less_often_than_the_bound_says(rate, rho):
    size = np.arange(1, 60)
    bound = guarantee.hit_probability(size, rate, rho)
    theta = (1 - rho) / rho
    beta = 1 - stats.betabinom.pmf(0, size, rate * theta, (1 - rate) * theta)
    assert (bound <= beta + 1e-12).all()
    # Bad lots miss one share of their devices, the others none: the same rho.
    share = rate + rho * (1 - rate)
    bad = rate / share * (1 - (1 - share) ** size)
    assert (bound <= bad + 1e-12).all()
    assert bound[0] == pytest.approx(rate)


@pytest.mark.parametrize("rate", [0.002, 0.02, 0.2])
def test_the_bound_is_sharp_where_devices_are_independent_or_all_alike(rate):
    size = np.arange(1, 40)
    alone = guarantee.hit_probability(size, rate, 0.0)
    np.testing.assert_allclose(alone, 1 - (1 - rate) ** size, rtol=0.25 * rate * 39)
    np.testing.assert_allclose(guarantee.hit_probability(size, rate, 1.0), rate)


@pytest.mark.parametrize("escape", [0.003, 0.005, 0.009, 0.05])
def test_groups_of_one_device_cost_nothing(escape):
    scores = np.random.default_rng(0).random(1500)
    alone = certificate.choose(scores, max_escape=escape)
    named = certificate.choose(
        scores, groups=np.arange(1500).astype(str), max_escape=escape
    )
    assert alone == dataclasses.replace(named, grouped_by=None)
    assert named.effective_defects == pytest.approx(1500)
    assert named.method == guarantee.DEVICES and named.rho is None


def test_defects_that_are_all_caught_are_not_worth_their_number():
    groups = np.repeat(np.arange(100), 10)
    # No defect is near the rest: at the threshold itself nothing tells them apart.
    scores = np.random.default_rng(0).normal(size=1000)
    found = certificate.choose(scores, groups=groups, max_escape=0.02)
    assert found.guaranteed and found.method == guarantee.LIMITED
    assert 0 < found.rho < 1 and found.rho_level == pytest.approx(0.04)
    assert 200 < found.effective_defects < 800


@pytest.mark.parametrize(("lots", "size"), [(30, 10), (15, 20), (6, 50)])
def test_few_lots_count_as_few_devices_and_say_how_many_are_needed(lots, size):
    scores = np.random.default_rng(0).normal(size=300)
    groups = np.repeat(np.arange(lots), size)
    found = certificate.choose(scores, groups=groups, max_escape=0.01)
    assert not found.guaranteed and found.method == guarantee.UNITS
    assert found.groups_needed == found.defects_needed == 299
    said = f"of {lots} groups, each counted as one device; 299 groups are needed"
    assert said in found.refusal
    limit = 1 - 0.05 ** (1 / lots)
    assert found.certified_escape == pytest.approx(limit)
    # What is said to be enough is.
    again = certificate.choose(np.arange(299), groups=np.arange(299), max_escape=0.01)
    assert again.guaranteed


def test_what_is_certified_could_have_been_promised():
    random = np.random.default_rng(1)
    scores, groups = random.normal(size=1000), np.repeat(np.arange(200), 5)
    found = certificate.choose(scores, groups=groups, max_escape=0.002)
    assert not found.guaranteed
    bound = guarantee.bound(scores, groups, rate=0.002, delta=0.05)
    assert bound.allowed(1.001 * found.certified_escape) >= 0
    assert bound.allowed(0.98 * found.certified_escape) < 0


def test_worse_correlation_never_allows_more():
    sizes = np.random.default_rng(0).integers(1, 30, 80)
    allowed = [
        guarantee.allowed(sizes, 0.03, rho=rho, delta=0.05)
        for rho in (0, 0.05, 0.1, 0.3, 1)
    ]
    assert allowed == sorted(allowed, reverse=True) and allowed[0] > allowed[-1]


@pytest.mark.parametrize("rho", [0.05, 0.2])
def test_the_limit_of_rho_covers(rho):
    delta, runs, lots, size, rate = 0.05, 400, 100, 10, 0.04
    theta = (1 - rho) / rho
    random = np.random.default_rng(0)
    chance = random.beta(rate * theta, (1 - rate) * theta, (runs, lots))
    sizes = np.full(lots, size)
    short = [
        guarantee.rho_limit(sizes, random.binomial(size, p), delta=delta) < rho
        for p in chance
        if p.max() > 0.01
    ]
    assert np.mean(short) <= delta + 3 * np.sqrt(delta * (1 - delta) / len(short))


def test_a_promise_for_each_model_that_could_have_been_chosen():
    scores = np.random.default_rng(0).random(2000)
    one = certificate.choose(scores, max_escape=0.01)
    seven = certificate.choose(scores, usage=certificate.Usage(7), max_escape=0.01)
    same = certificate.choose(scores, max_escape=0.01, confidence=1 - 0.05 / 7)
    assert seven.threshold == same.threshold < one.threshold
    assert seven.defects_needed == same.defects_needed > one.defects_needed
    few = certificate.choose(scores[:300], usage=certificate.Usage(7), max_escape=0.01)
    assert "300 calibration defects that chose among 7 models" in few.refusal
    usage = certificate.Usage.of(choices.stated(7), None)
    few = certificate.choose(scores[:300], usage=usage, max_escape=0.01)
    assert "300 calibration defects that chose among 7 by --choices" in few.refusal
    unknown = certificate.choose(scores, usage=certificate.Usage(None), max_escape=0.01)
    assert not unknown.guaranteed and "--choices N" in unknown.refusal
    assert unknown.certified_escape == 1


@pytest.mark.parametrize(
    ("lots", "words"), [(2000, "each of another lot"), (7, "lots")]
)
def test_where_there_are_lots_the_word_is_lot(lots, words):
    scores = np.random.default_rng(0).random(2000)
    named = np.array([f"L{i % lots}" for i in range(2000)])
    found = certificate.choose(scores, groups=named, grouped_by="lot", max_escape=0.001)
    said = certificate.rests_on(found.certificate("p.csv"))
    assert words in said and "group" not in said + found.refusal


def test_the_band_counts_groups_of_good_devices():
    random = np.random.default_rng(6)
    labels = np.repeat([1, 0], [700, 3000])
    scores = np.concatenate([random.beta(9, 1, 700), random.beta(1, 9, 3000)])
    groups = np.arange(3700) % 20
    asked = {"pass_below": 0.3, "max_overkill": 0.005}
    alone = operating_point.band(labels, scores, **asked)
    lots = operating_point.band(labels, scores, groups=groups, **asked)
    assert alone.reject_from is not None and lots.reject_from is None
    assert (lots.n_groups, lots.method) == (20, guarantee.UNITS)
    assert lots.good_needed == 598
