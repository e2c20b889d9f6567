"""Whether one model's verdicts are no worse than another's, on the same devices.

A difference of two rates on the same devices comes from those alone that the two decide
differently: d = gained - lost. Its limits join those of the two shares (MOVER), each
exact, and of what devices in groups are worth. benchmarks/promotion_size.py measures
how often a model that is worse by the margin would pass.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from nexperia_tf.statistics import clustered, intervals

CONFIDENCE = 0.95  # of a one-sided limit


@dataclasses.dataclass(frozen=True)
class Difference:
    """A rate of one model less that of another, on the same devices.

    Attributes:
        value: the difference.
        low, high: one-sided limits, each with the confidence asked for.
        gained: devices that are hit by the first alone.
        lost: devices that are hit by the second alone.
        of: all devices.
    """

    value: float
    low: float
    high: float
    gained: int
    lost: int
    of: int


def paired(
    new: np.ndarray,
    old: np.ndarray,
    *,
    scores: Sequence[np.ndarray] = (),
    groups: Sequence[str] | None = None,
    confidence: float = CONFIDENCE,
) -> Difference:
    """The rate of `new` less the rate of `old`.

    Args:
        new, old: masks of shape `(devices,)`: caught, rejected, flipped.
        scores: what decided on them, arrays of the same shape; how alike devices of a
            group score says what they are worth. Of several the worst counts.
        groups: names of shape `(devices,)`; None takes each device for its own.
        confidence: of each limit, one-sided.

    Reference:
        Donner & Zou, Statistical Methods in Medical Research 21 (2012) 347, equations
        for the difference of two correlated shares, after Newcombe, Statistics in
        Medicine 17 (1998) 2635.

    >>> hits = np.arange(149) >= 0
    >>> round(paired(hits, hits).low, 4)
    -0.0199
    """
    new, old = np.asarray(new, bool), np.asarray(old, bool)
    gained = _share(new & ~old, scores, groups, confidence)
    lost = _share(old & ~new, scores, groups, confidence)
    return Difference(
        value=float(gained.value - lost.value),
        low=_low(gained, lost),
        high=-_low(lost, gained),
        gained=int((new & ~old).sum()),
        lost=int((old & ~new).sum()),
        of=len(new),
    )


def _share(
    hits: np.ndarray,
    scores: Sequence[np.ndarray],
    groups: Sequence[str] | None,
    confidence: float,
) -> intervals.Interval:
    """A share with limits of this one-sided confidence, the widest by any score."""
    both = 2 * confidence - 1  # two-sided
    if groups is None or not scores:
        return clustered.rate(hits, hits, confidence=both)
    found = [clustered.rate(hits, each, groups, confidence=both) for each in scores]
    return max(found, key=lambda each: each.high - each.low)


def _low(more: intervals.Interval, less: intervals.Interval) -> float:
    """The lower limit of `more - less`, shares of which no device has both."""
    down, up = more.value - more.low, less.high - less.value
    apart = (1 - more.value) * (1 - less.value)
    together = math.sqrt(more.value * less.value / apart) if apart else 0.0
    reach = math.sqrt(down**2 + up**2 + 2 * together * down * up)
    return float(max(-1.0, more.value - less.value - reach))


def devices_needed(margin: float, *, confidence: float = CONFIDENCE) -> int:
    """Fewest independent devices that can show it, if none at all is lost.

    >>> devices_needed(0.02), devices_needed(0.01)
    (149, 299)
    """
    return math.floor(math.log(1 - confidence) / math.log(1 - margin)) + 1
