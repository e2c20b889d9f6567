import pytest

from nexperia_tf.data.duplicates import clusters, verify


def found(verdicts, *, count=3, position_between=lambda copy, one, other: 0.5):
    preferences = [(place,) for place in range(count)]
    return clusters.Clusters(preferences, verdicts, position_between).all()


def copy(residual=1.0, *, moved=False):
    return verify.Verdict(
        same_photograph=True, moved=moved, max_local_residual=residual
    )


@pytest.mark.parametrize("moved", [True, False])
def test_what_may_be_a_copy_of_either_of_two_altered_parts_joins_neither(moved):
    same = copy(5.7, moved=moved)
    verdicts = {(0, 1): verify.Verdict(altered=True), (0, 2): same, (1, 2): same}
    assert found(verdicts) == [[0], [1], [2]]
    if not moved:
        to_the_first = lambda copy, one, other: float(one == 1)  # noqa: E731
        assert found(verdicts, position_between=to_the_first) == [[0, 2], [1]]


def test_the_picture_with_the_most_copies_is_kept():
    verdicts = {(0, 1): copy(), (1, 2): copy()}
    assert found(verdicts, count=4) == [[1, 0, 2], [3]]


def test_a_copy_of_a_copy_stands_apart():
    verdicts = {(0, 1): copy(), (1, 2): copy(), (2, 3): copy()}
    assert found(verdicts, count=4) == [[1, 0, 2], [3]]


def test_of_equals_the_nearest_to_its_copies_is_kept_and_then_the_preferred():
    nearest = {(0, 1): copy(1.0), (1, 2): copy(2.0), (0, 2): copy(3.0)}
    assert found(nearest) == [[1, 0, 2]]
    assert found(dict.fromkeys(nearest, copy())) == [[0, 1, 2]]
