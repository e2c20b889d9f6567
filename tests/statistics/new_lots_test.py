"""Lots that are exchangeable raise as few alarms as they may, and changed ones do."""

import itertools

import numpy as np
import pytest
from scipy import stats

from nexperia_tf.statistics import new_lots


def lots(rng, count, *, numbers=6, shift=0.0):
    values = rng.standard_t(4, (count, numbers))  # heavier tails than normal
    values[:, 0] += shift
    return values


def test_p_of_one_number_is_that_of_all_choices_of_new_lots():
    rng = np.random.default_rng(0)
    known, new = rng.normal(size=(6, 1)), rng.normal(1, 1, (3, 1))
    together = np.concatenate([known, new])[:, 0]
    sums = [sum(each) for each in itertools.combinations(together - together.mean(), 3)]
    exact = np.mean(np.abs(sums) >= abs((new - together.mean()).sum()) - 1e-9)
    found = new_lots.compare(known, new)
    assert found.least_p == pytest.approx(1 / 84)
    assert found.p[0] == pytest.approx(exact, abs=0.02)
    scipys = stats.permutation_test(
        (new[:, 0], known[:, 0]),
        lambda a, b: abs(a.mean() - b.mean()),
        alternative="greater",
    )
    assert found.p[0] == pytest.approx(scipys.pvalue, abs=0.02)
    assert found.difference[0] == pytest.approx(new.mean() - known.mean())


def test_with_strata_the_difference_is_that_of_a_regression_on_them():
    rng = np.random.default_rng(1)
    known_strata, new_strata = list("aaabbbbc"), list("abbd")
    offsets = {"a": 0.0, "b": 5.0, "c": 9.0, "d": -9.0}
    known = np.array([[offsets[s] + rng.normal()] for s in known_strata])
    new = np.array([[offsets[s] + 2 + rng.normal()] for s in new_strata])
    found = new_lots.compare(
        known, new, known_strata=known_strata, new_strata=new_strata
    )
    strata = [*known_strata, *new_strata]
    design = np.array(
        [[s == "a", s == "b", s == "c", s == "d", i >= 8] for i, s in enumerate(strata)]
    ).astype(float)
    fitted = np.linalg.lstsq(design, np.concatenate([known, new]), rcond=None)[0]
    assert found.difference[0] == pytest.approx(fitted[-1, 0])
    assert (found.lots, found.known) == (3, 7)  # c and d hold lots of one kind only
    assert found.least_p == pytest.approx(1 / (4 * 15))


def test_lots_of_one_kind_alarm_no_oftener_than_allowed():
    rng, alarms, windows = np.random.default_rng(2), 0, 200
    for window in range(windows):
        found = new_lots.compare(
            lots(rng, 20), lots(rng, 6), false_alarms=0.05, seed=window
        )
        alarms += found.p.min() <= 0.05
    assert alarms / windows <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / windows)


def test_a_change_of_one_number_is_found_and_the_others_are_not_blamed():
    rng = np.random.default_rng(3)
    found = new_lots.compare(lots(rng, 30), lots(rng, 10, shift=4.0))
    assert found.p[0] <= 0.001 and found.p[1:].min() > 0.01
    assert found.difference[0] == pytest.approx(4, abs=1.5)
    assert found.up[0] >= 9
    assert found.unseen[0] < 4


def test_two_lots_among_five_can_tell_nothing():
    found = new_lots.compare(np.zeros((5, 1)), np.full((2, 1), 100.0))
    assert found.least_p == pytest.approx(1 / 21) and found.p[0] > 0.01
    assert np.isinf(found.unseen[0])


def test_a_small_chance_is_tested_with_as_many_draws_as_it_takes():
    rng = np.random.default_rng(4)
    known, new = lots(rng, 40), lots(rng, 12, shift=9.0)
    found = new_lots.compare(known, new, false_alarms=1e-5)
    assert found.p[0] <= 1e-5


def test_a_rise_alone_counts_where_only_a_rise_does():
    known, new = np.arange(20.0)[:, None] / 10, np.full((8, 1), -5.0)
    assert new_lots.compare(known, new).p[0] < 0.001
    assert new_lots.compare(known, new, one_sided=[True]).p[0] > 0.5
    assert new_lots.compare(known, -new, one_sided=[True]).p[0] < 0.001


def test_what_does_not_vary_at_all_is_no_alarm():
    known = np.full((30, 1), 3.0)
    assert new_lots.compare(known, known[:8]).p[0] == 1


def test_without_a_common_stratum_nothing_is_compared():
    found = new_lots.compare(
        np.ones((4, 2)),
        np.ones((3, 2)),
        known_strata=list("aaaa"),
        new_strata=list("bbb"),
    )
    assert (found.lots, found.known, found.least_p) == (0, 0, 1.0)
    assert (found.p > 0.5).all()
