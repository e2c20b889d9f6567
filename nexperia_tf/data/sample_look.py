"""What one frame shows: the pocket, the device in it and the camera's condition."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from nexperia_tf.data import sample_canvas as canvas
from nexperia_tf.data.sample_marking import Marking
from nexperia_tf.data.sample_plan import Lot

LEAD_NAMES = ("top_left", "top_right", "bottom")


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where the body's centre lies in the frame (pixels) and its angle (degrees)."""

    x: float = 131.0
    y: float = 140.0
    angle: float = 0.0

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Moves `(n, 2)` points, pixels from the body's centre, into the frame."""
        angle = math.radians(self.angle)
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        return np.asarray(points, float) @ turn.T + (self.x, self.y)


@dataclasses.dataclass(frozen=True)
class Lead:
    """One lead.

    Attributes:
        foot: grey level of the foot.
        length: visible rows, 50 when whole.
        shift: sideways offset of the foot against the knee, pixels.
        flat: a plain saturated block, as seen on a tilted device.
    """

    foot: int = 140
    length: int = 50
    shift: float = 0.0
    flat: bool = False


@dataclasses.dataclass(frozen=True)
class Look:
    """Everything that is seen on one frame, except what lies on top of the device.

    Attributes:
        key: names the random streams of this device.
        floor: grey level of the pocket's floor.
        body: levels by which the body is brighter than the floor.
        focus: sigma of the blur, pixels.
        noise: standard deviation of the sensor noise, levels.
        mesh: the net of fine dark cracks that some machines show.
        lines: weak horizontal scan lines.
        pepper: isolated black pixels.
        pocket: offset of the pocket in the frame, pixels.
        pose: of the device in the frame.
        marking: what the laser wrote, None for a blank body.
        leads: top left, top right and bottom; None where one is missing.
        specks: number of harmless specks on body and floor.
        device: False for an empty pocket.
        tilted: the device stands on edge and shows a bright bar.
        dent: deformation of the pocket's wall, pixels.
        guide: the camera looks at the metal guide instead of a pocket.
    """

    key: tuple[int, ...]
    floor: int = 42
    body: int = 12
    focus: float = 0.7
    noise: float = 2.0
    mesh: bool = False
    lines: bool = False
    pepper: bool = False
    pocket: tuple[float, float] = (0.0, 0.0)
    pose: Pose = Pose()
    marking: Marking | None = None
    leads: tuple[Lead | None, Lead | None, Lead | None] = (Lead(), Lead(), Lead())
    specks: int = 2
    device: bool = True
    tilted: bool = False
    dent: float = 0.0
    guide: bool = False


def faultless(seed: int, index: int, lot: Lot) -> Look:
    """How a faultless device of a lot lies before the camera of its machine."""
    machine = np.random.default_rng([lot.machine, 1])
    floor = int(machine.integers(30, 56))
    focus = float(machine.uniform(0.45, 1.1))
    noise = float(machine.uniform(1.4, 2.4))
    mesh, lines = machine.random() < 0.35, machine.random() < 0.15
    foot, print_level = int(machine.integers(115, 170)), int(machine.integers(38, 62))

    random = canvas.stream((seed, index), canvas.LOOK)
    dx, dy = np.clip(random.normal(0, (4.0, 4.5)), -10, 10)
    x = 131 + dx + float(np.clip(random.normal(0, 7.0), -15, 15))
    y = 140 + dy + float(np.clip(random.normal(0, 4.5), -9, 9))
    angle = float(np.clip(random.normal(-0.2, 3.4), -10, 7))
    focus = max(0.4, focus + float(random.uniform(-0.1, 0.3)))
    marking = Marking(
        code=lot.code,
        date=lot.date,
        contrast=int(print_level + random.integers(-8, 9)),
        height=float(random.uniform(31, 34)),
        width=float(random.uniform(22, 26)),
        pitch=float(random.uniform(37, 39)),
        outlined=focus < 0.65,
    )
    leads = tuple(
        Lead(foot=int(np.clip(foot + random.integers(-25, 26), 95, 200)))
        for _ in LEAD_NAMES
    )
    return Look(
        key=(seed, index),
        floor=floor + int(random.integers(-3, 4)),
        body=int(random.integers(9, 16)),
        focus=focus,
        noise=noise,
        mesh=mesh,
        lines=lines,
        pepper=random.random() < 0.1,
        pocket=(float(dx), float(dy)),
        pose=Pose(x, y, angle),
        marking=marking,
        leads=leads,
        specks=int(random.poisson(3.0)),
    )
