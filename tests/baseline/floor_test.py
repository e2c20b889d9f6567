import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.baseline import floor
from nexperia_tf.statistics import clustered


def _table(values, label, group=None, names=None):
    values = np.asarray(values, np.float32)
    names = names or [f"number {i}" for i in range(values.shape[1])]
    group = [""] * len(label) if group is None else group
    return floor.Table(names, values, values, np.asarray(label), np.asarray(group))


def _drawn(n, *, seed, numbers=12, shift=0.0):
    random = np.random.default_rng(seed)
    label = np.arange(n) % 2
    values = random.normal(size=(n, numbers))
    values[:, 0] -= shift * label
    return values, label


def test_darkness_that_decides_is_found_and_named():
    names = ["brightness", *(f"number {i}" for i in range(11))]
    train = _table(*_drawn(120, seed=0, shift=6), names=names)
    test = _table(*_drawn(200, seed=1, shift=6), names=names)
    fitted = floor.fit(train)
    best = fitted.alone[0]
    assert best.words == "darkness" and best.auc > 0.99
    for scores in (fitted.scores(test), fitted.scores_alone(best, test)):
        assert clustered.headline(test.label, scores).value > 0.99


def test_a_coin_stays_a_coin():
    train = _table(*_drawn(300, seed=2))
    test = _table(*_drawn(400, seed=3))
    fitted = floor.fit(train)
    for scores in (
        fitted.scores(test),
        fitted.scores_of_neighbour(test),
        fitted.scores_alone(fitted.alone[0], test),
    ):
        auc = clustered.headline(test.label, scores)
        assert auc.low < 0.5 < auc.high


def test_the_model_that_ranks_better_by_folds_is_kept():
    random = np.random.default_rng(4)
    sums = random.normal(size=(300, 60))
    of_a_sum = (sums.sum(axis=1) > 0).astype(int)
    assert floor.fit(_table(sums, of_a_sum)).model == floor.REGRESSION
    crossed = random.normal(size=(400, 4))
    of_a_cross = (crossed[:, 0] * crossed[:, 1] > 0).astype(int)
    fitted = floor.fit(_table(crossed, of_a_cross))
    assert fitted.model == floor.TREES
    assert fitted.tried[floor.TREES] > fitted.tried[floor.REGRESSION] + 0.2


def test_a_number_that_only_tells_the_group_is_not_counted_on():
    """Each group has one label and one level; a new group's level says nothing."""
    random = np.random.default_rng(5)
    group = np.repeat(np.arange(40), 10)
    label = random.integers(0, 2, 40)[group]
    level = random.normal(size=(40, 3))[group] + 0.01 * random.normal(size=(400, 3))
    by_group = floor.fit(_table(level, label, [f"g{i}" for i in group])).tried
    alone = floor.fit(_table(level, label)).tried
    assert alone[floor.TREES] > 0.95
    assert by_group[floor.TREES] < 0.75


def test_the_seed_decides_and_nothing_else():
    train = _table(*_drawn(80, seed=6, shift=1))
    test = _table(*_drawn(50, seed=7, shift=1))
    first, again, other = (floor.fit(train, seed=s) for s in (0, 0, 1))
    assert first.tried == again.tried != other.tried
    np.testing.assert_array_equal(first.scores(test), again.scores(test))


@pytest.mark.parametrize("defects", [1, 2, 3])
def test_few_defects_are_enough_to_score(defects):
    values, _ = _drawn(20, seed=8)
    label = np.zeros(20, int)
    label[:defects] = 1
    fitted = floor.fit(_table(values, label))
    scores = fitted.scores(_table(values, label))
    assert scores.shape == (20,) and np.all((scores >= 0) & (scores <= 1))
    assert bool(fitted.tried) == (defects > 1)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_refused_with_its_counts(label):
    values, _ = _drawn(9, seed=9)
    with pytest.raises(errors.BadInput, match=f"{9 - 9 * label} good and {9 * label}"):
        floor.fit(_table(values, np.full(9, label)))


def test_the_nearest_neighbour_is_nearer_in_its_own_class():
    train = _table([[0, 0], [0, 1], [9, 9], [9, 8]], [0, 0, 1, 1])
    fitted = floor.fit(train)
    scores = fitted.scores_of_neighbour(_table([[0, 0.4], [9, 8.4], [0, 0]], [0, 1, 0]))
    assert scores[0] < 0.1 and scores[1] > 0.9 and scores[2] == 0


def test_numbers_that_say_the_same_are_shown_once():
    values, label = _drawn(200, seed=10, shift=3)
    again = np.concatenate([values[:, :1] * 2 + 5, values], axis=1)
    fitted = floor.fit(_table(again, label))
    assert {n.name for n in fitted.alone[:2]} == {"number 0", "number 1"}
    shown = [number.name for number in fitted.distinct(3)]
    assert len(shown) == 3 and len({"number 0", "number 1"} & set(shown)) == 1
