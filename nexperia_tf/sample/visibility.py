"""How visible the drawn defects are: the difficulty of the sample, as one table.

Whoever changes this table, or anything that moves a pixel, draws another sample:
raise `VERSION` with it, so that figures of different samples are not compared.
"""

from __future__ import annotations

VERSION = 1

LEVELS = ("plain", "clear", "faint", "barely")

# For each defect type and level: (share of the devices, strength). Strength 1 is the
# defect as drawn, 0 would be no trace of it: contrast for what lies on the body,
# displacement for what is bent or turned.
TABLE: dict[str, dict[str, tuple[float, float]]] = {
    "chipping": {
        "plain": (0.76, 1.00),
        "clear": (0.16, 0.75),
        "faint": (0.05, 0.28),
        "barely": (0.03, 0.09),
    },
    "foreign_material": {
        "plain": (0.76, 1.00),
        "clear": (0.16, 0.75),
        "faint": (0.05, 0.28),
        "barely": (0.03, 0.09),
    },
    "scratch": {
        "plain": (0.76, 1.00),
        "clear": (0.16, 0.80),
        "faint": (0.05, 0.40),
        "barely": (0.03, 0.15),
    },
    "lead_defect": {
        "plain": (0.76, 1.00),
        "clear": (0.16, 0.75),
        "faint": (0.05, 0.35),
        "barely": (0.03, 0.18),
    },
    "lead_glue": {
        "plain": (0.76, 1.00),
        "clear": (0.16, 0.75),
        "faint": (0.05, 0.35),
        "barely": (0.03, 0.12),
    },
    "marking_defect": {
        "plain": (0.76, 1.00),
        "clear": (0.16, 0.75),
        "faint": (0.05, 0.45),
        "barely": (0.03, 0.22),
    },
    "device_flip": {"plain": (0.95, 1.00), "barely": (0.05, 0.10)},
    "empty_pocket": {"plain": (1.00, 1.00)},
    "pocket_damage": {"plain": (0.60, 1.00), "faint": (0.40, 0.40)},
}
