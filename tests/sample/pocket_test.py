"""The carrier tape."""

import dataclasses

import numpy as np
import pytest

from nexperia_tf.sample import look, plan, pocket


@pytest.fixture(scope="module")
def clean():
    return look.faultless(0, 3, plan.plan(40, 0).lots[1])


def test_the_floor_has_the_level_of_the_look(clean):
    for floor in (32, 52):
        frame = pocket.pocket(dataclasses.replace(clean, floor=floor, mesh=False))
        middle = frame[100:180, 90:180]
        assert np.median(middle) == pytest.approx(floor, abs=6)


def test_a_dent_changes_the_wall_and_not_the_middle(clean):
    dented = pocket.pocket(dataclasses.replace(clean, dent=25.0))
    changed = pocket.pocket(clean) != dented
    assert changed.any() and not changed[100:180, 110:160].any()


def test_an_empty_pocket_shows_what_a_device_hides(clean):
    frame = pocket.pocket(clean)
    empty = frame.copy()
    pocket.empty(empty, clean)
    assert (empty != frame).sum() > 500


def test_the_guide_is_brighter_than_any_pocket(clean):
    assert pocket.guide(clean).mean() > pocket.pocket(clean).mean() + 10
