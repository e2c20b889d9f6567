"""The tables of the sample's difficulty."""

import numpy as np
import pytest

from nexperia_tf.sample import command as sample
from nexperia_tf.sample import plan, visibility

by_look = pytest.mark.parametrize("look", visibility.LOOKS)


@by_look
def test_shares_of_levels_and_of_shapes_add_up_to_one(look):
    for levels in visibility.LOOKS[look].levels.values():
        assert sum(level.share for level in levels.values()) == pytest.approx(1)
        assert set(levels) <= set(visibility.LEVELS)
    for shapes in visibility.LOOKS[look].shapes.values():
        assert sum(shapes.values()) == pytest.approx(1)


@by_look
def test_every_defect_that_is_planned_has_its_levels_the_strongest_first(look):
    table = visibility.LOOKS[look].levels
    assert set(table) == set(plan.PROPORTIONS)
    for levels in table.values():
        strengths = [level.strength for level in levels.values()]
        assert strengths == sorted(strengths, reverse=True)
        assert strengths[0] == 1 and strengths[-1] > 0


@by_look
@pytest.mark.parametrize("defect_type", ["chipping", "scratch", "lead_glue"])
def test_fainter_levels_leave_fainter_traces(look, defect_type):
    traces = [trace(11, defect_type, level, look) for level in visibility.LEVELS]
    assert traces == sorted(traces, reverse=True)


def trace(index, defect_type, level, look):
    """Sum of what a defect changes, in grey levels."""
    clean, _ = sample.device(6, index)
    shown, _ = sample.device(6, index, defect_type, level=level, look=look)
    return np.abs(shown.astype(int) - clean).sum()


BODY_DEFECTS = ("chipping", "foreign_material", "scratch", "lead_glue", "lead_defect")


@pytest.mark.parametrize("defect_type", BODY_DEFECTS)
def test_plain_defects_of_the_standard_look_are_plainer_than_the_hard_ones(defect_type):
    standard, hard = (
        sum(trace(index, defect_type, "plain", look) for index in range(8))
        for look in (visibility.STANDARD, visibility.HARD)
    )
    assert standard > 1.1 * hard


def test_a_few_standard_defects_in_a_thousand_are_barely_visible():
    """Fewer, and no model would ever miss one; more, and none could catch 99 %."""
    planned = plan.plan(40_000, 0)
    shown = [file.device for file in planned.files if file.device.visibility]
    barely = [device for device in shown if device.visibility == "barely"]
    assert 0.003 < len(barely) / len(shown) < 0.01
