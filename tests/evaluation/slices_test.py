import numpy as np
import pytest

from nexperia_tf.evaluation import slices
from nexperia_tf.statistics import metrics


def devices():
    labels = np.repeat([1, 1, 0, 0], [30, 30, 100, 100])
    scores = np.concatenate(
        [
            np.linspace(0.6, 0.9, 30),  # chips, all caught at .5
            np.linspace(0.3, 0.6, 30),  # scratches, two thirds pass
            np.linspace(0.0, 0.4, 100),  # good of machine A
            np.linspace(0.3, 0.7, 100),  # good of machine B, half rejected
        ]
    )
    columns = {
        "defect_type": ["chip"] * 30 + ["scratch"] * 30 + [""] * 200,
        "machine": ["A"] * 30 + ["B"] * 30 + ["A"] * 100 + ["B"] * 100,
    }
    return labels, scores, columns


def test_the_worst_slice_comes_first_with_its_counts():
    labels, scores, columns = devices()
    found = slices.table(labels, scores, columns, threshold=0.5)
    assert [(part.by, part.value) for part in found] == [
        ("defect_type", "scratch"),
        ("defect_type", "chip"),
        ("machine", "B"),
        ("machine", "A"),
    ]
    scratch = found[0]
    assert (scratch.n, scratch.n_defect, scratch.escapes) == (30, 30, 20)
    assert scratch.escape_rate.value == pytest.approx(2 / 3)
    assert scratch.escape_rate.low < 2 / 3 < scratch.escape_rate.high
    assert scratch.overkill_rate is None and scratch.auc is None
    worst = found[2]
    assert worst.false_calls == 50
    assert worst.auc.value == metrics.auc(
        labels[30::][:30].tolist() + [0] * 100,
        np.concatenate([scores[30:60], scores[160:]]),
    )


def test_counts_outrank_luck():
    """One escape of one device is less sure than ten of forty."""
    labels = np.ones(41, dtype=int)
    scores = np.array([0.1] + [0.1] * 10 + [0.9] * 30)
    lots = ["single"] + ["many"] * 40
    found = slices.table(labels, scores, {"lot": lots}, threshold=0.5)
    assert [part.value for part in found] == ["many", "single"]
    assert [part.small for part in found] == [False, True]


def test_a_column_that_tells_nothing_apart_is_left_out():
    labels, scores, _ = devices()
    columns = {"machine": ["A"] * 260, "lot": [""] * 260}
    assert slices.table(labels, scores, columns, threshold=0.5) == []


def test_quarters_hold_equal_counts_and_leave_the_unknown_out():
    values = [None, *np.arange(100.0)]
    found = slices.quarters(values)
    assert found[0] == ""
    names, counts = np.unique(found[1:], return_counts=True)
    assert counts.tolist() == [25] * 4
    assert any(name.startswith("smallest (0 to ") for name in names)
    assert slices.quarters([1.0, 1.0, None]) == ["", "", ""]


def test_lots_that_training_saw_are_judged_apart():
    labels, scores, columns = devices()
    found = slices.familiarity(labels, scores, columns["machine"], {"A"})
    assert (found.n_seen, found.n_unseen) == (130, 130)
    assert found.seen.value == 1
    assert found.unseen.value < 0.6
    nothing = slices.familiarity(labels, scores, columns["machine"], {"A", "B"})
    assert nothing.unseen is None and nothing.n_unseen == 0


def test_pairs_of_one_group_are_those_counted_by_hand():
    labels = [1, 0, 1, 0, 0, 1]
    scores = [0.9, 0.1, 0.4, 0.4, 0.6, 0.2]
    groups = ["a", "a", "b", "b", "b", "c"]
    # a: .9 beats .1; b: .4 ties .4 and loses to .6; c has no good device.
    assert slices.within_groups(labels, scores, groups) == (1.5 / 3, 3)
    assert slices.within_groups([1, 0], [0.9, 0.1], ["a", "b"]) is None
