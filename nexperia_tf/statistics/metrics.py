"""Exact metrics of inspection: every figure comes from the scores themselves.

Positive is defect, a score is the probability of defect, and a device is rejected when
its score is at or above the threshold. A threshold is always a real device's score.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from nexperia_tf import errors

# The catch rates this data is judged at; 1 hangs on a single device.
TPR_TARGETS = (0.991, 0.993, 0.995, 0.997, 1.0)
# At the business end nearly every defect must be caught.
MIN_TPR = 0.99


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """What a threshold does on given devices.

    Attributes:
        tpr: the share of defects that had to be caught.
        threshold: score of a real defect; devices at or above it are rejected.
        fpr: overkill rate, the share of good devices rejected.
        misses: defects below the threshold, the escapes.
        false_calls: good devices at or above the threshold.
    """

    tpr: float
    threshold: float
    fpr: float
    misses: int
    false_calls: int


def check(
    labels: np.ndarray, scores: np.ndarray, *, where: str = "scores", metric="AUC"
) -> tuple[np.ndarray, np.ndarray]:
    """Labels as booleans and scores as float64, once they can be judged.

    Raises:
        errors.BadInput: shapes differ, a score is NaN or infinite, a label is neither 0
            nor 1, or one class is missing; `where` names the file.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise errors.BadInput(
            f"{where}: {metric} needs one label for each score. Received labels of "
            f"shape {labels.shape} and scores of shape {scores.shape}."
        )
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        raise errors.BadInput(
            f"{where}: score {scores[wrong[0]]} in row {wrong[0]} ({wrong.size} such "
            "rows) is no number to rank by; mend column score."
        )
    defects = labels == 1
    n_defect, n_good = int(defects.sum()), int((labels == 0).sum())
    if n_defect + n_good < len(labels):
        raise errors.BadInput(
            f"{where}: {len(labels) - n_defect - n_good} of {len(labels)} labels are "
            "neither 0 (good) nor 1 (defect); only labelled devices can be judged."
        )
    if not n_defect or not n_good:
        raise errors.BadInput(
            f"{where}: {metric} needs devices of both classes. Received {n_good} good "
            f"and {n_defect} defect; check column label."
        )
    return defects, scores


def auc(labels: np.ndarray, scores: np.ndarray, *, where: str = "scores") -> float:
    """Area under the ROC curve: P(defect scores above good), a tie counting one half.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        scores: array of shape `(devices,)`, higher means more likely a defect.
        where: names the file in errors.

    Raises:
        errors.BadInput: NaN or a single class.
    """
    defects, scores = check(labels, scores, where=where)
    false_calls, caught, _ = _counts(defects, scores)
    # Twice the trapezoid's area in whole pairs: exact in integers, ties and all.
    steps = np.diff(false_calls, prepend=0)
    twice = int(np.sum(steps * (2 * caught - np.diff(caught, prepend=0))))
    return twice / (2 * int(caught[-1]) * int(false_calls[-1]))


def roc(
    labels: np.ndarray, scores: np.ndarray, *, where: str = "scores"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False and true positive rate at every distinct score, highest score first.

    Returns:
        `(fpr, tpr, thresholds)`, each of shape `(distinct scores + 1,)`; the first
        point is (0, 0) at threshold infinity, where nothing is rejected.
    """
    defects, scores = check(labels, scores, where=where, metric="ROC")
    false_calls, caught, thresholds = _counts(defects, scores)
    fpr = np.concatenate([[0.0], false_calls / false_calls[-1]])
    tpr = np.concatenate([[0.0], caught / caught[-1]])
    return fpr, tpr, np.concatenate([[np.inf], thresholds])


def partial_auc(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    min_tpr: float = MIN_TPR,
    where: str = "scores",
) -> float:
    """Area under the ROC curve where TPR >= `min_tpr`, scaled to .5 (chance) .. 1.

    Reference:
        McClish, 1989: standardised partial area; here with the classes swapped, as
        `roc_auc_score(1 - labels, -scores, max_fpr=1 - min_tpr)`.
    """
    fpr, tpr, _ = roc(labels, scores, where=where)
    # With the classes swapped the axes are 1 - tpr and 1 - fpr, read backwards.
    x, y = (1 - tpr)[::-1], (1 - fpr)[::-1]
    limit = 1 - min_tpr
    inside = np.searchsorted(x, limit, side="right")
    last = np.interp(limit, x[inside - 1 : inside + 1], y[inside - 1 : inside + 1])
    area = np.trapezoid(np.append(y[:inside], last), np.append(x[:inside], limit))
    chance = limit**2 / 2
    return float(0.5 * (1 + (area - chance) / (limit - chance)))


def average_precision(
    labels: np.ndarray, scores: np.ndarray, *, where: str = "scores"
) -> float:
    """Mean precision over the defects, each at its own score."""
    defects, scores = check(labels, scores, where=where, metric="Average precision")
    false_calls, caught, _ = _counts(defects, scores)
    newly_caught = np.diff(caught, prepend=0)
    return float(np.sum(newly_caught * (caught / (caught + false_calls))) / caught[-1])


def brier(labels: np.ndarray, scores: np.ndarray, *, where: str = "scores") -> float:
    """Mean squared distance of score and label."""
    defects, scores = check(labels, scores, where=where, metric="Brier score")
    return float(np.mean((scores - defects) ** 2))


def log_loss(labels: np.ndarray, scores: np.ndarray, *, where: str = "scores") -> float:
    """Mean -log of the probability given to the truth; certain errors are clipped."""
    defects, scores = check(labels, scores, where=where, metric="Log loss")
    smallest = np.finfo(np.float64).eps  # log(0) would let one device decide
    scores = np.clip(scores, smallest, 1 - smallest)
    return float(-np.mean(np.where(defects, np.log(scores), np.log1p(-scores))))


def needed(n_defect: int, target: float) -> int:
    """How many of `n_defect` defects a TPR of `target` asks to be caught."""
    # .995 * 200 must not become 199.00000000000003 and ask for all of them.
    return max(1, math.ceil(round(n_defect * target, 9)))


def fpr_at_tpr(
    labels: np.ndarray,
    scores: np.ndarray,
    targets: Sequence[float] = TPR_TARGETS,
    *,
    where: str = "scores",
) -> list[OperatingPoint]:
    """The overkill that catching a share of the defects costs.

    For each target the threshold is the highest defect score at which at least that
    share of the defects is rejected. Targets that ask for the same number of defects
    give the same point: too few defects tell them apart.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        scores: array of shape `(devices,)`, probability of defect.
        targets: shares of defects to catch, each in (0, 1].
        where: names the file in errors.

    Raises:
        errors.BadInput: NaN, a single class, or a target outside (0, 1].
    """
    defects, scores = check(labels, scores, where=where, metric="FPR at TPR")
    for target in targets:
        if not 0 < target <= 1:
            raise errors.BadInput(
                f"{where}: a TPR target is a share in (0, 1]. Received {target}."
            )
    highest_first = np.sort(scores[defects])[::-1]
    thresholds = [highest_first[needed(highest_first.size, t) - 1] for t in targets]
    return [at(labels, scores, t, tpr=p) for t, p in zip(thresholds, targets)]


def at(
    labels: np.ndarray, scores: np.ndarray, threshold: float, *, tpr: float = math.nan
) -> OperatingPoint:
    """What rejecting every device at or above `threshold` does."""
    defects, scores = check(labels, scores, metric="An operating point")
    rejected = scores >= threshold
    false_calls = int(np.sum(rejected & ~defects))
    return OperatingPoint(
        tpr=float(tpr),
        threshold=float(threshold),
        fpr=false_calls / int(np.sum(~defects)),
        misses=int(np.sum(~rejected & defects)),
        false_calls=false_calls,
    )


def _counts(
    defects: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Good and defective devices at or above each distinct score, highest first."""
    order = np.argsort(scores, kind="stable")[::-1]
    scores, defects = scores[order], defects[order]
    ends = np.flatnonzero(np.append(np.diff(scores) != 0, True))
    caught = np.cumsum(defects, dtype=np.int64)[ends]
    return ends + 1 - caught, caught, scores[ends]


def check_share(name: str, value: float) -> None:
    """Refuses what is no share between 0 and 1; `name` is the flag it came by."""
    if not 0 < value < 1:
        raise errors.BadInput(
            f"{name}: a share between 0 and 1, such as .005. Received {value}."
        )
