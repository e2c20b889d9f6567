"""The cleaning rules: each is one function and gives a reason or None."""

import collections
import dataclasses
from collections.abc import Callable, Collection, Sequence

from nexperia_tf import labels
from nexperia_tf.data import manifest
from nexperia_tf.data.raw import layouts, raw_folder

DROP, KEEP = "drop", "keep"


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the rules need to know of the whole folder.

    Attributes:
        unboxed: `drop` or `keep` defects without a box.
        boxless_types: defect types that have no box by their nature.
        device_threshold: frames that score less show no device; None judges none.
    """

    unboxed: str = KEEP
    boxless_types: frozenset[str] = frozenset()
    device_threshold: float | None = None


def rules_for(
    folder: raw_folder.RawFolder,
    *,
    unboxed: str | None = None,
    device_threshold: float | None = None,
) -> Rules:
    """The rules of a raw folder: `unboxed` is drop where its layout has boxes."""
    return Rules(
        unboxed=unboxed or (DROP if folder.has_boxes else KEEP),
        boxless_types=frozenset(boxless_types(folder)),
        device_threshold=device_threshold,
    )


def boxless_types(folder: raw_folder.RawFolder) -> set[str]:
    """Named defect types without a box by nature: known ones, or with none at all."""
    boxed: dict[str, int] = collections.Counter()
    for row in folder.rows:
        if row.label == labels.DEFECT and row.defect_type:
            boxed[row.defect_type] += bool(row.boxes)
    if not folder.names_types:
        return set()
    return {kind for kind, n in boxed.items() if not n or kind in layouts.BOXLESS_TYPES}


def invalid_box(row: manifest.Row, rules: Rules) -> str | None:
    """The row has boxes, and none of them covers a pixel of the image."""
    covered = any(_covers(box, row) for box in row.boxes)
    if not row.label or not row.boxes or covered:
        return None
    return "invalid_box"


def no_annotation(row: manifest.Row, rules: Rules) -> str | None:
    """A defect without a box where defects of its type have one, as the study did."""
    if rules.unboxed == KEEP or row.label != labels.DEFECT or row.boxes:
        return None
    return None if row.defect_type in rules.boxless_types else "no_annotation"


def not_a_device(row: manifest.Row, rules: Rules) -> str | None:
    """The frame shows no device, and nobody said that this is its defect."""
    if rules.device_threshold is None or row.device_score is None:
        return None
    untyped = row.label == labels.DEFECT and not row.boxes and not row.defect_type
    if row.label != labels.GOOD and not untyped:
        return None
    return "not_a_device" if row.device_score < rules.device_threshold else None


RULES: tuple[Callable[[manifest.Row, Rules], str | None], ...] = (
    invalid_box,
    no_annotation,
    not_a_device,
)


def apply(
    rows: Sequence[manifest.Row], rules: Rules, *, spared: Collection[str] = ()
) -> None:
    """Writes the first reason found into rows that have none yet.

    Args:
        rows: all rows.
        rules: what the rules need to know.
        spared: paths that a person has judged.
    """
    for row in rows:
        if row.used and row.path not in spared:
            reasons = (rule(row, rules) for rule in RULES)
            row.dropped_because = next(filter(None, reasons), "")


def _covers(box: Sequence[float], row: manifest.Row) -> bool:
    x1, y1, x2, y2 = box
    inside = x1 < (row.width or 0) and y1 < (row.height or 0) and x2 > 0 and y2 > 0
    return x1 < x2 and y1 < y2 and inside
