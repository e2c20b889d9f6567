"""What a threshold costs: the review band, yield loss, defects shipped."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from nexperia_tf.statistics import clustered, guarantee, intervals, metrics
from nexperia_tf.statistics.certificate import CONFIDENCE

ROUNDING = 1e-5  # of a score in float32, by another device
MAX_OVERKILL = 0.005  # rate of good devices that may be rejected without a look


@dataclasses.dataclass(frozen=True)
class Band:
    """Three-way decision: pass below, reject from, review between.

    Attributes:
        pass_below: the guaranteed threshold.
        reject_from: devices at or above are rejected without a look; None when too
            few good devices certify `max_overkill`, or no device scores that high.
        max_overkill: certain bound on good devices rejected without a look.
        good_needed: fewest calibration good devices that could certify it.
        n_groups: groups that the good devices come from.
        method: as of `certificate.Guarantee`.
        good_limit: score of a good calibration device above which devices could be
            rejected without a look; None when too few certify `max_overkill`.
    """

    pass_below: float
    reject_from: float | None
    max_overkill: float
    good_needed: int
    n_groups: int
    method: str
    good_limit: float | None = None


def band(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    pass_below: float,
    groups: np.ndarray | None = None,
    choices: int | None = 1,
    max_overkill: float = MAX_OVERKILL,
    confidence: float = CONFIDENCE,
) -> Band:
    """The review band above `pass_below`, from calibration devices.

    The upper edge is the lowest device's score above the k-th largest of the groups'
    highest good scores, with k as in `certificate.choose`: the same guarantee with the
    classes' roles exchanged. Each edge fails with at most `1 - confidence`, so that
    both hold together with at least `2 * confidence - 1`.
    """
    defects, scores = metrics.check(labels, scores, metric="A review band")
    metrics.check_share("--max-overkill", max_overkill)
    metrics.check_share("--confidence", confidence)
    good = -scores[~defects]  # the highest are rejected first
    groups = None if groups is None else groups[~defects]
    delta = (1 - confidence) / (choices or 1)
    bound = guarantee.bound(good, groups, rate=max_overkill, delta=delta)
    allowed = bound.allowed(max_overkill)
    reject_from = good_limit = None
    if allowed >= 0 and choices is not None:
        good_limit = float(-guarantee.lowest(good, groups)[allowed])
        above = scores[scores > good_limit]
        reject_from = max(float(above.min()), pass_below) if above.size else None
    return Band(
        pass_below,
        reject_from,
        max_overkill,
        good_needed=bound.devices_needed(max_overkill),
        n_groups=len(bound.sizes),
        method=bound.method,
        good_limit=good_limit,
    )


def serving_reject_from(chosen: Band, *, rounding: float = ROUNDING) -> float | None:
    """Where a server rejects without a look; None where the band has no upper edge.

    The good device that set the limit must not be rejected because its served score
    differs from the evaluated one by `rounding`.
    """
    if chosen.reject_from is None:
        return None
    return min(1.0, max(chosen.reject_from, chosen.good_limit + 2 * rounding))


@dataclasses.dataclass(frozen=True)
class Shares:
    """Shares of one class that pass, are reviewed, are rejected, with limits."""

    passed: intervals.Interval
    reviewed: intervals.Interval
    rejected: intervals.Interval


def shares(
    scores: np.ndarray,
    chosen: Band,
    *,
    groups: Sequence[str] | None = None,
    confidence: float,
) -> Shares:
    """Shares of devices with these scores that pass, are reviewed, are rejected."""
    reject_from = math.inf if chosen.reject_from is None else chosen.reject_from
    passed, rejected = scores < chosen.pass_below, scores >= reject_from
    decided = (passed, ~passed & ~rejected, rejected)
    return Shares(
        *(clustered.rate(d, scores, groups, confidence=confidence) for d in decided)
    )


def yield_loss(overkill_rate: float, prevalence: float) -> float:
    """Good devices rejected, as a share of all devices made."""
    return overkill_rate * (1 - prevalence)


def dppm(escape_rate: float, prevalence: float) -> float:
    """Defective parts per million shipped.

    Rejected good devices are taken to be shipped after a second look; were they
    scrapped, the figure would rise by the overkill rate's share.

    >>> round(dppm(0.005, 0.01), 1)
    50.5
    """
    metrics.check_share("--prevalence", prevalence)
    escaped = prevalence * escape_rate
    return 1e6 * escaped / (1 - prevalence + escaped)


def serving_threshold(threshold: float, *, rounding: float = ROUNDING) -> float:
    """The threshold to bake into a SavedModel.

    A served score may differ from the evaluated one by `rounding`; the device that set
    the threshold must not slip through by that.
    """
    return threshold - min(rounding, threshold / 2)
