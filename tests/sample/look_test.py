"""How devices lie before the cameras."""

import dataclasses

import numpy as np
import pytest

from nexperia_tf.sample import look, plan


@pytest.fixture(scope="module")
def lots():
    return plan.plan(200, seed=1).lots


def test_a_pose_moves_points_without_bending_them():
    points = np.array([(0.0, 0.0), (30.0, 0.0), (0.0, 40.0)])
    moved = look.Pose(x=100, y=90, angle=30).to_frame(points)
    np.testing.assert_allclose(moved[0], (100, 90))
    sides = np.linalg.norm(np.diff(moved, axis=0), axis=1)
    np.testing.assert_allclose(sides, (30, 50))
    expected = (100 + 30 * np.cos(np.pi / 6), 90 + 15)
    np.testing.assert_allclose(moved[1], expected)


def test_a_device_looks_the_same_again_and_another_one_does_not(lots):
    assert look.faultless(0, 5, lots[0]) == look.faultless(0, 5, lots[0])
    others = [look.faultless(0, 6, lots[0]), look.faultless(1, 5, lots[0])]
    assert look.faultless(0, 5, lots[0]) not in others


def test_devices_of_one_lot_share_its_camera_and_what_the_laser_wrote(lots):
    seen = [look.faultless(0, index, lots[2]) for index in range(40)]
    camera = look.machine(lots[2].machine)
    for device in seen:
        assert (device.noise, device.mesh) == (camera.noise, camera.mesh)
        assert abs(device.floor - camera.floor) <= 3
        assert (device.marking.code, device.marking.date) == (
            lots[2].code,
            lots[2].date,
        )


def test_every_device_lies_within_its_pocket(lots):
    for index in range(200):
        device = look.faultless(0, index, lots[index % len(lots)])
        (dx, dy), pose = device.pocket, device.pose
        assert abs(dx) <= 10 and abs(dy) <= 10 and abs(pose.angle) <= 10
        assert abs(pose.x - 131 - dx) < 15.1 and abs(pose.y - 140 - dy) < 9.1
        assert all(lead.foot >= 95 for lead in device.leads)


def test_a_machine_is_the_same_for_every_lot():
    fields = [dataclasses.astuple(look.machine(number)) for number in plan.MACHINES]
    assert len(set(fields)) == len(fields)
    assert dataclasses.astuple(look.machine(13)) == fields[0]
