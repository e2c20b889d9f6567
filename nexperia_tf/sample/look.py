"""What one frame shows: the pocket, the device in it and the camera's condition."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from nexperia_tf.sample import canvas
from nexperia_tf.sample.marking import Marking
from nexperia_tf.sample.plan import Lot

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


@dataclasses.dataclass(frozen=True)
class Machine:
    """What all pictures of one machine have in common; see `Look`."""

    floor: int
    focus: float
    noise: float
    mesh: bool
    lines: bool
    foot: int
    contrast: int


@functools.cache
def machine(number: int) -> Machine:
    """The camera, light and tape of one machine."""
    random = np.random.default_rng([number, 1])
    return Machine(
        floor=int(random.integers(30, 56)),
        focus=float(random.uniform(0.45, 1.1)),
        noise=round(float(random.uniform(1.4, 2.4)), 1),
        mesh=random.random() < 0.35,
        lines=random.random() < 0.15,
        foot=int(random.integers(115, 170)),
        contrast=int(random.integers(38, 62)),
    )


def faultless(seed: int, index: int, lot: Lot) -> Look:
    """How a faultless device of a lot lies before the camera of its machine."""
    camera = machine(lot.machine)
    random = canvas.stream((seed, index), canvas.LOOK)
    dx, dy = _normal(random, 4.0, 10), _normal(random, 4.5, 10)
    pose = Pose(
        x=131 + dx + _normal(random, 7.0, 15),
        y=140 + dy + _normal(random, 4.5, 9),
        angle=min(7.0, _normal(random, 3.5, 10)),
    )
    focus = max(0.4, camera.focus + float(random.uniform(-0.1, 0.3)))
    feet = (camera.foot + random.integers(-25, 26, 3)).tolist()
    marking = Marking(
        code=lot.code,
        date=lot.date,
        contrast=int(camera.contrast + random.integers(-8, 9)),
        height=float(random.uniform(31, 34)),
        width=float(random.uniform(22, 26)),
        pitch=float(random.uniform(37, 39)),
        outlined=focus < 0.65,
    )
    return Look(
        key=(seed, index),
        floor=camera.floor + int(random.integers(-3, 4)),
        body=int(random.integers(9, 16)),
        focus=focus,
        noise=camera.noise,
        mesh=camera.mesh,
        lines=camera.lines,
        pepper=random.random() < 0.1,
        pocket=(dx, dy),
        pose=pose,
        marking=marking,
        leads=tuple(Lead(foot=max(95, foot)) for foot in feet),
        specks=int(random.poisson(3.0)),
    )


def _normal(random: np.random.Generator, sd: float, reach: float) -> float:
    """A normal variable, cut off at `reach` on both sides."""
    return max(-reach, min(reach, float(random.normal(0, sd))))
