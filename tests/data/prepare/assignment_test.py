"""Deals of few units, against all deals there are."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nexperia_tf.data.prepare import assignment

LABELS = (0, 1)  # the first strata; a third one is a kind of defect


def asked(counts, fractions=(0.6, 0.2, 0.2)) -> assignment.Deal:
    counts = np.array(counts)
    return assignment.Deal(
        counts=counts,
        fractions=np.array(fractions),
        held=np.zeros((len(fractions), counts.shape[1]), int),
        labels=LABELS,
        ranks=np.array([3.0, 2.0, 1.0])[: len(fractions)],
    )


def best_of_all(deal: assignment.Deal) -> tuple:
    places = range(len(deal.fractions))
    every = itertools.product(places, repeat=len(deal.counts))
    return min(deal.key(np.array(each)) for each in every)


UNITS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 2)),
    min_size=3,
    max_size=6,
).filter(lambda units: np.array(units).sum(axis=0).all())


@settings(max_examples=25, deadline=None)
@given(UNITS)
def test_nothing_is_lacking_that_any_deal_could_give(units):
    deal = asked(units)
    lacks, kinds, _ = deal.key(assignment.deal(deal))
    assert (lacks, kinds) == best_of_all(deal)[:2]


@settings(max_examples=25, deadline=None)
@given(UNITS)
def test_every_unit_has_one_place_and_the_same_one_again(units):
    deal = asked(units)
    places = assignment.deal(deal)
    assert places.shape == (len(units),) and set(places) <= {0, 1, 2}
    np.testing.assert_array_equal(deal.holdings(places).sum(axis=0), deal.total)
    np.testing.assert_array_equal(assignment.deal(asked(units)), places)


def test_the_greedy_deal_is_taken_only_where_it_is_near_enough():
    even = asked([[5, 1, 1]] * 20)
    greedy = assignment.greedy(even)
    assert assignment.near_enough(even, greedy)
    np.testing.assert_array_equal(assignment.deal(even), greedy)
    # One unit holds most defects: by size alone train would go without the kind.
    uneven = asked([[9, 0, 0], [0, 9, 0], [0, 1, 0], [0, 1, 1], [9, 1, 0], [9, 0, 0]])
    assert uneven.key(assignment.deal(uneven)) <= uneven.key(assignment.greedy(uneven))


def test_shares_come_out_where_units_allow_them():
    random = np.random.default_rng(0)
    deal = asked(random.integers(1, 6, (90, 3)))
    held = deal.holdings(assignment.deal(deal))
    shares = held / deal.total
    assert np.abs(shares[:, LABELS] - [[0.6], [0.2], [0.2]]).max() < 0.02


def test_what_places_hold_already_counts():
    deal = asked([[4, 2, 1]] * 6, fractions=(0.5, 0.5))
    before = np.array([[24, 12, 6], [0, 0, 0]])
    held = assignment.Deal(deal.counts, deal.fractions, before, deal.labels, deal.ranks)
    assert set(assignment.deal(held)) == {1}


def test_the_solver_writes_nothing(capfd):
    assignment.deal(asked([[9, 0, 0], [0, 9, 1], [1, 1, 0], [9, 0, 1], [3, 0, 0]]))
    assert capfd.readouterr().out == ""
