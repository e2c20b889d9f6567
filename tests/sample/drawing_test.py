"""Frames as they are rendered, and as a sensor sees them."""

import dataclasses

import numpy as np
import pytest

from nexperia_tf.sample import drawing, look, plan


@pytest.fixture(scope="module")
def clean():
    return look.faultless(0, 4, plan.plan(40, 0).lots[0])


@pytest.fixture(scope="module")
def frame(clean):
    return drawing.render(clean)


def test_a_frame_is_the_same_again(clean, frame):
    assert frame.shape == (267, 275) and frame.dtype == np.uint8
    np.testing.assert_array_equal(drawing.render(clean), frame)


def test_a_device_moves_with_its_pose_and_leaves_the_pocket(clean, frame):
    pose = dataclasses.replace(clean.pose, x=clean.pose.x + 9, y=clean.pose.y + 5)
    moved = drawing.render(dataclasses.replace(clean, pose=pose))
    brightest = [np.unravel_index(f.argmax(), f.shape) for f in (frame, moved)]
    assert brightest[1] == (brightest[0][0] + 5, brightest[0][1] + 9)
    np.testing.assert_array_equal(moved[:, :8], frame[:, :8])


def test_a_missing_lead_leaves_the_floor(clean, frame):
    leads = (None, *clean.leads[1:])
    without = drawing.render(dataclasses.replace(clean, leads=leads))
    rows, columns = np.nonzero(without != frame)
    assert len(rows) > 300
    assert columns.max() < clean.pose.x and rows.max() < clean.pose.y
    place = rows, columns
    assert without[place].mean() < frame[place].mean() - 30


def test_two_photographs_differ_by_noise_alone(clean, frame):
    shots = [drawing.expose(frame, clean, shot=shot).astype(int) for shot in (0, 1)]
    difference = shots[1] - shots[0]
    assert difference.any() and abs(difference.mean()) < 0.1
    assert difference.std() < 3 * clean.noise
    np.testing.assert_array_equal(drawing.expose(frame, clean), shots[0])


def test_less_focus_leaves_less_of_every_edge(clean, frame):
    def sharpness(focus):
        blurred = dataclasses.replace(clean, focus=focus)
        return np.abs(np.diff(drawing.expose(frame, blurred).astype(int))).mean()

    assert sharpness(0.5) > sharpness(1.0) > sharpness(2.0)
