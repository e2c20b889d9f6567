"""How visible the drawn defects are: the difficulty of the sample, as one table a look.

Whoever changes a table, or anything that moves a pixel, draws another sample: raise the
look's version with it, so that figures of different samples are not compared.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

LEVELS = ("plain", "clear", "faint", "barely")


class Level(NamedTuple):
    """How defects of one level are drawn.

    Attributes:
        share: of the devices with this defect.
        strength: 1 is the defect as drawn, 0 would be no trace of it: contrast for
            what lies on the body, displacement for what is bent or turned.
        size: how many times as large as drawn: extents, widths, what is missing; a
            doubled print is as many times as heavy.
    """

    share: float
    strength: float
    size: float = 1.0


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """What a look of the sample makes of its defects.

    Attributes:
        version: of the sample that is drawn so.
        levels: for each defect type its levels, the strongest first.
        shapes: for defect types that take shapes of unlike difficulty, the share of
            each.
        escapees: how many of each level are among the defects filed as good.
    """

    version: int
    levels: dict[str, dict[str, Level]]
    shapes: dict[str, dict[str, float]]
    escapees: dict[str, int]


def _levels(**levels: tuple[float, ...]) -> dict[str, Level]:
    return {name: Level(*values) for name, values in levels.items()}


STANDARD, HARD = "standard", "hard"

LOOKS: dict[str, Difficulty] = {
    # Meant to be as hard as the published task: a few defects in a thousand leave next
    # to no trace, about as many are at the limit, all others are plain.
    STANDARD: Difficulty(
        version=2,
        levels={
            "chipping": _levels(
                plain=(0.909, 1.00, 1.2),
                clear=(0.08, 0.90, 1.2),
                faint=(0.004, 0.28),
                barely=(0.007, 0.04),
            ),
            "foreign_material": _levels(
                plain=(0.909, 1.00, 1.4),
                clear=(0.08, 0.90, 1.4),
                faint=(0.004, 0.28),
                barely=(0.007, 0.04),
            ),
            "scratch": _levels(
                plain=(0.909, 1.00, 2.0),
                clear=(0.08, 0.80, 2.0),
                faint=(0.004, 0.30),
                barely=(0.007, 0.06),
            ),
            "lead_defect": _levels(
                plain=(0.909, 1.00, 1.5),
                clear=(0.08, 0.90, 1.5),
                faint=(0.004, 0.45),
                barely=(0.007, 0.18),
            ),
            "lead_glue": _levels(
                plain=(0.909, 1.00, 1.3),
                clear=(0.08, 0.90, 1.3),
                faint=(0.004, 0.50),
                barely=(0.007, 0.08),
            ),
            "marking_defect": _levels(
                plain=(0.909, 1.00, 2.5),
                clear=(0.08, 0.95, 2.5),
                faint=(0.004, 0.60),
                barely=(0.007, 0.10),
            ),
            "device_flip": _levels(plain=(0.99, 1.00), barely=(0.01, 0.10)),
            "empty_pocket": _levels(plain=(1.00, 1.00)),
            "pocket_damage": _levels(plain=(1.00, 1.00, 1.5)),
        },
        # A blank body, a bent lead or a spike takes more examples to be learned from
        # than a few thousand devices hold.
        shapes={
            "scratch": {"band": 0.42, "rubbed": 0.36, "scribble": 0.20, "spike": 0.02},
            "lead_defect": {
                "bent": 0.02,
                "short": 0.02,
                "tilted": 0.44,
                "folded": 0.48,
                "missing": 0.04,
            },
            "marking_defect": {"faded": 0.02, "doubled": 0.96, "partly": 0.02},
            "device_flip": {"edge": 0.58, "turned": 0.4, "face_down": 0.02},
        },
        escapees={"plain": 4, "clear": 5},
    ),
    # The first sample: small and rare defects that take a long training to be seen.
    HARD: Difficulty(
        version=1,
        levels={
            "chipping": _levels(
                plain=(0.76, 1.00),
                clear=(0.16, 0.75),
                faint=(0.05, 0.28),
                barely=(0.03, 0.09),
            ),
            "foreign_material": _levels(
                plain=(0.76, 1.00),
                clear=(0.16, 0.75),
                faint=(0.05, 0.28),
                barely=(0.03, 0.09),
            ),
            "scratch": _levels(
                plain=(0.76, 1.00),
                clear=(0.16, 0.80),
                faint=(0.05, 0.40),
                barely=(0.03, 0.15),
            ),
            "lead_defect": _levels(
                plain=(0.76, 1.00),
                clear=(0.16, 0.75),
                faint=(0.05, 0.35),
                barely=(0.03, 0.18),
            ),
            "lead_glue": _levels(
                plain=(0.76, 1.00),
                clear=(0.16, 0.75),
                faint=(0.05, 0.35),
                barely=(0.03, 0.12),
            ),
            "marking_defect": _levels(
                plain=(0.76, 1.00),
                clear=(0.16, 0.75),
                faint=(0.05, 0.45),
                barely=(0.03, 0.22),
            ),
            "device_flip": _levels(plain=(0.95, 1.00), barely=(0.05, 0.10)),
            "empty_pocket": _levels(plain=(1.00, 1.00)),
            "pocket_damage": _levels(plain=(0.60, 1.00), faint=(0.40, 0.40)),
        },
        shapes={
            "scratch": {"band": 0.38, "rubbed": 0.34, "scribble": 0.16, "spike": 0.12},
            "lead_defect": {"bent": 0.42, "short": 0.3, "tilted": 0.2, "missing": 0.08},
            "marking_defect": {"faded": 0.45, "doubled": 0.3, "partly": 0.25},
            "device_flip": {"edge": 0.45, "turned": 0.3, "face_down": 0.25},
        },
        escapees={"clear": 2, "faint": 5, "barely": 3},
    ),
}

VERSION = LOOKS[STANDARD].version
