"""Assignments of few units, against all assignments there are."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nexperia_tf.data.prepare import assignment

LABELS = (0, 1)  # the first strata; a third one is a kind of defect


def problem(counts, fractions=(0.6, 0.2, 0.2)) -> assignment.Problem:
    counts = np.array(counts)
    return assignment.Problem(
        counts=counts,
        fractions=np.array(fractions),
        held=np.zeros((len(fractions), counts.shape[1]), int),
        labels=LABELS,
        ranks=np.array([3.0, 2.0, 1.0])[: len(fractions)],
    )


def best_of_all(given: assignment.Problem) -> tuple:
    places = range(len(given.fractions))
    every = itertools.product(places, repeat=len(given.counts))
    return min(given.key(np.array(each)) for each in every)


UNITS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 3), st.integers(0, 2)),
    min_size=3,
    max_size=6,
).filter(lambda units: np.array(units).sum(axis=0).all())


@settings(max_examples=25, deadline=None)
@given(UNITS)
def test_nothing_is_lacking_that_any_assignment_could_give(units):
    given = problem(units)
    lacks, kinds, _ = given.key(assignment.assign(given))
    assert (lacks, kinds) == best_of_all(given)[:2]


@settings(max_examples=25, deadline=None)
@given(UNITS)
def test_every_unit_has_one_place_and_the_same_one_again(units):
    given = problem(units)
    places = assignment.assign(given)
    assert places.shape == (len(units),) and set(places) <= {0, 1, 2}
    np.testing.assert_array_equal(given.holdings(places).sum(axis=0), given.total)
    np.testing.assert_array_equal(assignment.assign(problem(units)), places)


def test_the_greedy_assignment_is_taken_only_where_it_is_near_enough():
    even = problem([[5, 1, 1]] * 20)
    greedy = assignment.greedy(even)
    assert assignment.near_enough(even, greedy)
    np.testing.assert_array_equal(assignment.assign(even), greedy)
    # One unit holds most defects: by size alone train would go without the kind.
    uneven = problem([[9, 0, 0], [0, 9, 0], [0, 1, 0], [0, 1, 1], [9, 1, 0], [9, 0, 0]])
    assert uneven.key(assignment.assign(uneven)) <= uneven.key(
        assignment.greedy(uneven)
    )


def test_shares_come_out_where_units_allow_them():
    random = np.random.default_rng(0)
    given = problem(random.integers(1, 6, (90, 3)))
    held = given.holdings(assignment.assign(given))
    shares = held / given.total
    assert np.abs(shares[:, LABELS] - [[0.6], [0.2], [0.2]]).max() < 0.02


def test_what_places_hold_already_counts():
    given = problem([[4, 2, 1]] * 6, fractions=(0.5, 0.5))
    before = np.array([[24, 12, 6], [0, 0, 0]])
    held = assignment.Problem(
        given.counts, given.fractions, before, given.labels, given.ranks
    )
    assert set(assignment.assign(held)) == {1}


def test_the_solver_writes_nothing(capfd):
    assignment.assign(problem([[9, 0, 0], [0, 9, 1], [1, 1, 0], [9, 0, 1], [3, 0, 0]]))
    assert capfd.readouterr().out == ""
