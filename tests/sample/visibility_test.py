"""The table of the sample's difficulty."""

import numpy as np
import pytest

from nexperia_tf.sample import command as sample
from nexperia_tf.sample import plan, visibility


def test_shares_of_every_type_add_up_to_one():
    for levels in visibility.TABLE.values():
        assert sum(share for share, _ in levels.values()) == pytest.approx(1)
        assert set(levels) <= set(visibility.LEVELS)


def test_every_defect_that_is_planned_has_its_levels_the_strongest_first():
    assert set(visibility.TABLE) == set(plan.PROPORTIONS)
    for levels in visibility.TABLE.values():
        strengths = [strength for _, strength in levels.values()]
        assert strengths == sorted(strengths, reverse=True)
        assert strengths[0] == 1 and strengths[-1] > 0


@pytest.mark.parametrize("defect_type", ["chipping", "scratch", "lead_glue"])
def test_fainter_levels_leave_fainter_traces(defect_type):
    clean, _ = sample.device(6, 11)
    traces = [
        np.abs(
            sample.device(6, 11, defect_type, level=level)[0].astype(int) - clean
        ).sum()
        for level in visibility.LEVELS
    ]
    assert traces == sorted(traces, reverse=True)
