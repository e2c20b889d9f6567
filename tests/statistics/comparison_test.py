import itertools

import numpy as np
import pytest

from nexperia_tf.statistics import clustered, comparison


def lots_of(count, size=30):
    return np.repeat([f"lot{i}" for i in range(count)], size)


def runs_of(lots, *, apart=0.0, liking=0.0, seed=0, runs=2):
    """Labels and scores of runs that differ by `apart`, and by lot by `liking`."""
    random = np.random.default_rng(seed)
    group_of = clustered.group_numbers(lots)
    labels = (random.random(len(lots)) < 0.3).astype(int)
    shared = (
        random.normal(size=len(lots)) + random.normal(size=group_of.max() + 1)[group_of]
    )
    scores = []
    for place in range(runs):
        by_lot = liking * random.normal(size=group_of.max() + 1)[group_of]
        own = 0.5 * random.normal(size=len(lots))
        scores.append(shared + own + (1.5 + by_lot + apart * place) * labels)
    return labels, scores


@pytest.mark.parametrize("groups", [None, lots_of(20, 5), lots_of(2, 50)])
@pytest.mark.parametrize("change", [lambda s: s, np.exp, lambda s: 0 * s])
def test_runs_that_rank_alike_do_not_differ(groups, change):
    labels, (scores, _) = runs_of(lots_of(20, 5))
    scores = change(scores)
    found = comparison.compare(labels, [scores, 3 * scores], groups=groups)[0, 1]
    assert found.value == 0
    assert found.p_delong == found.p_bootstrap == found.p == found.p_adjusted == 1
    assert groups is None or found.p_jackknife == found.p_sign_flip == 1
    assert found.words == comparison.ALIKE
    assert found.devices_needed is None


def test_without_variance_nothing_is_certain():
    labels = np.repeat([0, 1], 10)
    found = comparison.compare(labels, [labels, np.zeros(20)])[0, 1]
    assert found.value == 0.5 and found.p_delong == 1 and not found.distinguishable


def test_a_clear_difference_is_said_and_a_slight_one_names_what_it_needs():
    random = np.random.default_rng(2)
    labels = np.repeat([1, 0], [200, 800])
    signal = random.normal(size=1000) + 2 * labels
    worse = signal + 2 * random.normal(size=1000)
    alike = signal + 0.02 * random.normal(size=1000)
    found = comparison.compare(labels, [signal, worse, alike])
    assert list(found) == list(itertools.combinations(range(3), 2))
    assert found[0, 1].distinguishable
    assert found[0, 1].low > 0 and found[0, 1].bootstrap_low > 0
    assert found[0, 1].devices_needed < 1000
    assert not found[0, 2].distinguishable
    assert found[0, 2].devices_needed > 1000


def test_holm_is_holms():
    p = [0.01, 0.04, 0.03, 0.005]
    assert comparison.holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.6, 0.9]) == [1, 1]
    assert comparison.holm([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_an_exact_sign_flip_is_every_flip(seed):
    parts = np.random.default_rng(seed).normal(0.4, 1, size=9)
    every = [
        abs(np.dot(signs, parts)) for signs in itertools.product((1, -1), repeat=9)
    ]
    expected = np.mean(np.array(every) >= abs(parts.sum()) * (1 - 1e-12))
    assert comparison.sign_flip(parts[None])[0] == pytest.approx(expected, abs=1e-12)


def test_drawn_flips_agree_with_the_exact_ones_and_resolve_a_tenth_of_the_level():
    random = np.random.default_rng(1)
    parts = random.normal(0.5, 1, size=(3, comparison.EXACT_GROUPS + 1))
    drawn = comparison.sign_flip(parts, level=1e-3)
    exact = [comparison._exact_flip(part) for part in parts]
    np.testing.assert_allclose(drawn, exact, atol=0.01)
    clear = comparison.sign_flip(np.ones((1, 40)), level=1e-3)[0]
    assert 0 < clear <= 1e-4


def test_below_eight_lots_there_is_no_verdict_and_a_family_needs_more():
    for count, family, words in [
        (7, 1, comparison.TOO_FEW),
        (8, 1, comparison.APART),
        (8, 3, comparison.TOO_FEW),
        (10, 3, comparison.APART),
    ]:
        lots = lots_of(count)
        runs = 2 if family == 1 else 3
        labels, scores = runs_of(lots, apart=3.0, runs=runs)
        found = comparison.compare(labels, scores, groups=lots)
        assert len(found) == family
        assert found[0, runs - 1].words == words
        assert found[0, 1].groups_needed == clustered.groups_needed(0.01 / family)
        if words == comparison.TOO_FEW:
            assert {one.words for one in found.values()} == {words}


def test_two_lots_give_neither_limits_nor_a_verdict():
    lots = lots_of(2)
    labels, scores = runs_of(lots, apart=3.0)
    found = comparison.compare(labels, scores, groups=lots)[0, 1]
    assert (found.low, found.high, found.method) == (None, None, "none")
    assert found.words == comparison.TOO_FEW and found.p_jackknife == 1


def test_what_lots_like_is_no_difference_between_runs():
    lots = lots_of(10, 40)
    labels, scores = runs_of(lots, liking=2.0, seed=1)
    by_device = comparison.compare(labels, scores)[0, 1]
    by_lot = comparison.compare(labels, scores, groups=lots)[0, 1]
    assert by_lot.p > 10 * by_device.p
    assert by_lot.high - by_lot.low > 1.5 * (by_device.high - by_device.low)


def test_the_null_is_not_rejected_more_often_than_promised():
    lots, found = lots_of(12, 15), []
    for seed in range(300):
        labels, scores = runs_of(lots, liking=1.0, seed=seed)
        found.append(
            comparison.compare(labels, scores, groups=lots, replicates=20)[0, 1]
        )
    # Nominal .01 of 300 is 3; 9 is three standard errors above.
    assert sum(one.distinguishable for one in found) <= 8
    held = np.mean([one.low <= 0 <= one.high for one in found])
    assert held >= 0.91


def test_a_family_draws_enough_replicates_for_its_level():
    random = np.random.default_rng(5)
    labels = np.repeat([1, 0], [60, 140])
    signal = random.normal(size=200) + 2 * labels
    runs = [signal + spread * random.normal(size=200) for spread in (0, 0.1, 0.2, 4)]
    found = comparison.compare(labels, runs)
    assert {one.family for one in found.values()} == {6}
    assert found[0, 3].distinguishable
    assert found[0, 3].p_bootstrap <= 0.01 / 6 / 10
    assert found[0, 3].p_adjusted == pytest.approx(6 * found[0, 3].p, rel=1)
    only = comparison.compare(labels, runs, pairs=[(0, 3)])
    assert list(only) == [(0, 3)] and only[0, 3].family == 1


def test_the_same_seed_gives_the_same_figures():
    lots = lots_of(25, 8)
    labels, scores = runs_of(lots, apart=0.3)
    once, again = (comparison.compare(labels, scores, groups=lots) for _ in range(2))
    assert once == again
