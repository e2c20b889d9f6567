"""Single devices worth a look: golden ones, the worst, those that changed."""

from collections.abc import Sequence

import numpy as np

from nexperia_tf import errors, predictions

WORST = 12  # devices in each gallery
CHANGED = 24  # devices shown in a comparison
CHANGES = ("newly_caught", "newly_missed", "newly_overkilled", "newly_passed")


def golden(
    table: predictions.Predictions, golden: Sequence[str], threshold: float
) -> dict | None:
    if not golden:
        return None
    score = dict(zip(table.image_id, table.score.tolist()))
    missing = [name for name in golden if name not in score]
    if missing:
        raise errors.BadInput(
            f"--golden: {len(missing)} of {len(golden)} golden devices are not in "
            f"{table.source}, the first is {missing[0]!r}; score them or take them off "
            "the list."
        )
    escaped = [
        {"image_id": name, "score": score[name]}
        for name in golden
        if score[name] < threshold
    ]
    return {"n": len(golden), "escaped": escaped}


def worst(table: predictions.Predictions, threshold: float) -> dict[str, list[dict]]:
    """The defects that score lowest and the good devices that score highest."""
    defects = np.flatnonzero(table.label == 1)
    good = np.flatnonzero(table.label == 0)
    lowest = defects[np.argsort(table.score[defects], kind="stable")][:WORST]
    highest = good[np.argsort(-table.score[good], kind="stable")][:WORST]
    return {
        "escapes": [_device(table, row, threshold) for row in lowest],
        "overkills": [_device(table, row, threshold) for row in highest],
    }


def _device(table: predictions.Predictions, row: int, threshold: float) -> dict:
    kind = table.columns.get("defect_type")
    return {
        "image_id": table.image_id[row],
        "score": float(table.score[row]),
        "rejected": bool(table.score[row] >= threshold),
        "label": int(table.label[row]),
        "defect_type": "" if kind is None else kind[row],
    }


def changed(
    table: predictions.Predictions,
    other: predictions.Predictions,
    thresholds: tuple[float, float],
) -> dict:
    """Devices that two runs decide differently, most surprising first.

    Args:
        table, other: scores of the two on the same devices in the same order.
        thresholds: of each.
    """
    rejected = table.score >= thresholds[0]
    then = other.score >= thresholds[1]
    defect = table.label == 1
    kinds = (
        defect & ~rejected & then,
        defect & rejected & ~then,
        ~defect & ~rejected & then,
        ~defect & rejected & ~then,
    )
    changed = {}
    for name, mask in zip(CHANGES, kinds):
        rows = np.flatnonzero(mask)
        rows = rows[np.argsort(-np.abs(other.score - table.score)[rows])][:CHANGED]
        devices = [
            _device(other, row, thresholds[1])
            | {"score_first": float(table.score[row])}
            for row in rows
        ]
        changed[name] = {"count": int(mask.sum()), "devices": devices}
    return changed
