"""The overkill that catching a share of all defects costs, with valid limits.

The defects that are judged set the threshold themselves, so two things are uncertain:
where the threshold for the true catch rate lies, and how many good devices lie above
it. Limits of the second alone cover less than half of their nominal level
(benchmarks/overkill_coverage.py). The overkill of a threshold that was chosen on other
devices is another quantity: `clustered.rate` is for that one.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from nexperia_tf.statistics import clustered, intervals, metrics

TYPICAL = 0.05  # overkill that the split of the error is planned for; no limit needs it


@dataclasses.dataclass(frozen=True)
class Overkill:
    """Overkill at a catch rate, with its limits.

    Attributes:
        point: the threshold that these defects set, and its overkill here.
        low, high: limits of the overkill at the true catch rate; `high` is None where
            no defect's score lies below its threshold for certain.
        reason: why there is no upper limit; "" where there is one.
    """

    point: metrics.OperatingPoint
    low: float
    high: float | None
    reason: str


def overkill(
    labels: np.ndarray,
    scores: np.ndarray,
    targets: Sequence[float] = metrics.TPR_TARGETS,
    *,
    groups: Sequence[str] | None = None,
    confidence: float = intervals.CONFIDENCE,
    where: str = "scores",
) -> list[Overkill]:
    """The overkill at each catch rate, with limits for other devices like these.

    The threshold that catches a share `target` of all defects lies, for certain but for
    a stated error, between two of the defects' scores: order statistics, by the
    binomial. The overkill at the lower one, with Clopper and Pearson's upper limit,
    bounds it from above, that at the higher one from below. Defects and good devices
    are independent, so both hold together in a share `(1 - a) (1 - b)` of cases; `a` is
    what the nearest order statistic leaves, by the number of defects alone. Ties widen.

    With groups both binomials count what the devices are worth
    (`clustered.effective`), and errors add up, because a lot moves both classes.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        scores: array of shape `(devices,)`, probability of defect.
        targets: shares of defects to catch, each in (0, 1].
        groups: names of shape `(devices,)`; None takes each device for its own.
        confidence: level of the two-sided limits.
        where: names the file in errors.

    Raises:
        errors.BadInput: NaN, a single class, or a target outside (0, 1].
    """
    points = metrics.fpr_at_tpr(labels, scores, targets, where=where)
    defects, scores = metrics.check(labels, scores, where=where)
    group_of = None if groups is None else clustered.group_numbers(groups)
    rates = []
    for point in points:
        low, high = _limits(defects, scores, point, group_of, (1 - confidence) / 2)
        reason = ""
        if high is None:
            reason = _reason(point.tpr, confidence, alone=groups is None)
        rates.append(Overkill(point, low, high, reason))
    return rates


def _limits(
    defects, scores, point, group_of, tail: float
) -> tuple[float, float | None]:
    caught, passed = np.sort(scores[defects]), np.sort(scores[~defects])
    worth = float(caught.size), float(passed.size)
    if group_of is not None:
        rejected = scores >= point.threshold
        worth = tuple(
            clustered.effective(
                rejected[of], scores[of], group_of[of], confidence=1 - 2 * tail
            )
            for of in (defects, ~defects)
        )
    plan = _plan(caught.size, *worth, point.tpr, tail, group_of is None)
    above = lambda rank: passed.size - np.searchsorted(passed, caught[rank - 1])  # noqa: E731
    share = worth[1] / passed.size

    def one_sided(step, side):
        count = min(above(step.rank) * share, worth[1])
        limits = intervals.clopper_pearson(
            count, worth[1], confidence=1 - 2 * step.error
        )
        return getattr(limits, side)

    low = one_sided(plan.for_low, "low") if plan.for_low else 0.0
    high = one_sided(plan.for_high, "high") if plan.for_high else None
    return low, high


@dataclasses.dataclass(frozen=True)
class _Step:
    rank: int  # of the defect's score, 1 for the lowest
    error: float  # left for the good devices' rate


@dataclasses.dataclass(frozen=True)
class _Plan:
    for_low: _Step | None
    for_high: _Step | None


@functools.lru_cache(maxsize=256)
def _plan(
    n_defect: int,
    defects_worth: float,
    good_worth: float,
    tpr: float,
    tail: float,
    independent: bool,
) -> _Plan:
    """Which order statistics to take, and what error each leaves; uses no score.

    Of all splits of the error the one is taken whose limit would be nearest if overkill
    were TYPICAL at the target and went with the inverse of the escape rate.
    """
    escape = 1 - tpr
    share = defects_worth / n_defect

    def steps(errors):
        for rank, error in errors:
            if error < tail:
                left = (tail - error) / (1 - error) if independent else tail - error
                yield _Step(rank, left)

    def typical(rank):
        return min(0.999, TYPICAL * escape * n_defect / rank) if escape else TYPICAL

    def limit(side, step):
        hits = typical(step.rank) * good_worth
        interval = intervals.clopper_pearson(
            hits, good_worth, confidence=1 - 2 * step.error
        )
        return getattr(interval, side)

    # Too high when at most rank - 1 defects pass at the true threshold.
    few = math.floor(escape * n_defect) + 1
    too_high = (
        (rank, special.betainc(defects_worth - k, k + 1, tpr) if escape else 1.0)
        for rank in range(1, few + 1)
        for k in [(rank - 1) * share]
    )
    # Too low when rank or more of them do.
    many = min(n_defect, few + math.ceil(12 * math.sqrt(few / share)) + 12)
    too_low = (
        (rank, special.betainc(k, defects_worth - k + 1, escape) if escape else 0.0)
        for rank in range(1, many + 1)
        for k in [rank * share]
    )
    return _Plan(
        for_low=max(steps(too_low), key=lambda s: limit("low", s), default=None),
        for_high=min(steps(too_high), key=lambda s: limit("high", s), default=None),
    )


def _reason(tpr: float, confidence: float, *, alone: bool) -> str:
    if tpr == 1:
        return "no number of defects shows where the last one lies"
    needed = math.ceil(math.log((1 - confidence) / 2) / math.log(tpr))
    kind = "defects" if alone else "independent defects"
    return f"the threshold of TPR {100 * tpr:.4g} % needs {needed} {kind}"
