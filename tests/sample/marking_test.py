"""What the laser writes on a device."""

import dataclasses

import numpy as np
import pytest

from nexperia_tf.sample import marking, plan

PLAIN = marking.Marking(code=marking.CODES[0], date=marking.DATES[0])


def drawn(written: marking.Marking) -> np.ndarray:
    layer = np.full((120, 220), 54, np.uint8)
    marking.draw(layer, written, centre=(110.0, 60.0), body=54)
    return layer


@pytest.mark.parametrize("lot", plan.plan(120, 0).lots, ids=lambda lot: lot.name)
def test_every_lots_marking_can_be_written_and_fits_the_body(lot):
    written = marking.Marking(code=lot.code, date=lot.date)
    points = np.concatenate(marking.strokes(written))
    assert np.abs(points[:, 0]).max() < 105 and np.abs(points[:, 1]).max() < 60


def test_other_letters_are_other_strokes():
    assert (
        drawn(PLAIN) != drawn(dataclasses.replace(PLAIN, code=marking.CODES[1]))
    ).any()


def test_a_letter_that_is_missing_leaves_the_body():
    whole, lacking = drawn(PLAIN), drawn(dataclasses.replace(PLAIN, missing=(0,)))
    gone = whole != lacking
    assert gone.any() and (lacking[gone] == 54).all()


def test_more_contrast_is_brighter_ink():
    faint, strong = (
        drawn(dataclasses.replace(PLAIN, contrast=level)).max() for level in (20, 60)
    )
    assert faint < strong <= 54 + 60 + 18
