"""Numbers as the report writes them: rates, limits, AUCs, counts of devices."""

import math
from collections.abc import Callable

from nexperia_tf.evaluation.report import results
from nexperia_tf.statistics import clustered, intervals, wording


def share(
    value: float | None,
    rounded: Callable[[float], float] = round,
    *,
    most_digits: int = 4,
) -> str:
    """A rate in per cent with as many digits as it needs.

    Args:
        value: the rate; None when unknown.
        rounded: math.floor and math.ceil for limits, which may only grow wider.
        most_digits: behind the point.

    >>> share(0.00123), share(0.28172), share(0), share(1), share(0.9975)
    ('0.12 %', '28.2 %', '0 %', '100 %', '99.75 %')
    >>> share(0.28172, math.ceil), share(0.00123, math.floor)
    ('28.2 %', '0.12 %')
    """
    if value is None:
        return "unknown"
    distance = min(value, 1 - value)
    if distance <= 0:
        return f"{100 * value:.0f} %"
    digits = 1 if distance >= 0.01 else 2 if distance >= 0.0005 else 4
    scale = 10 ** min(digits, most_digits)
    # The digits that binary numbers add at the far end are no reason to round away.
    value = rounded(round(100 * value * scale, 6)) / scale
    return f"{value:.{min(digits, most_digits)}f} %".replace("100.0 %", "100 %")


def limits(rate: intervals.Interval) -> str:
    """The limits of a rate, for brackets.

    They are rounded outward, and no finer than a hundredth of what lies between.

    >>> limits(intervals.Interval(0.02, 0.0123, None, ""))
    '1.2 %, no upper limit'
    >>> limits(intervals.Interval(0.5, 0.0, 0.999993, ""))
    '0 % to 100 %'
    >>> limits(intervals.Interval(0.004, 0.00123, 0.0087, ""))
    '0.12 % to 0.87 %'
    """
    if rate.low is None:
        return "none"
    if rate.high is None:
        return f"{share(rate.low, math.floor)}, no upper limit"
    apart = 100 * (rate.high - rate.low)
    fine = 4 if apart <= 0 else min(4, max(1, 2 - math.floor(math.log10(apart))))
    low = share(rate.low, math.floor, most_digits=fine)
    return f"{low} to {share(rate.high, math.ceil, most_digits=fine)}"


def auc(estimate: clustered.Headline, confidence: float = intervals.CONFIDENCE) -> str:
    """AUC with its interval.

    >>> auc(clustered.Headline(0.99844, 0.99581, 0.99931, "newcombe-5"))
    '0.9984 (95 %: 0.9958 to 0.9993)'
    >>> few = "2 lots are too few"
    >>> auc(clustered.Headline(0.99844, None, None, "none", reason=few))
    '0.9984 (no interval: 2 lots are too few)'
    """
    if estimate.low is None:
        return f"{estimate.value:.4f} (no interval: {estimate.reason})"
    level = wording.percent(getattr(estimate, "confidence", confidence))
    return f"{estimate.value:.4f} ({level}: {ends(estimate, 4)})"


def ends(interval: intervals.Interval, digits: int = 5, *, signed: bool = False) -> str:
    """The limits of an AUC or of a difference of two, or that there are none.

    >>> ends(intervals.Interval(0.2, -0.00123, 0.5, ""), 4, signed=True)
    '-0.0012 to +0.5000'
    """
    if interval.low is None:
        return "none"
    digits_form = f"{'+' if signed else ''}.{digits}f"
    return f"{interval.low:{digits_form}} to {interval.high:{digits_form}}"


def warning(auc: intervals.Interval) -> str:
    """A warning where an AUC is no better than chance, "" where it is.

    >>> warning(intervals.Interval(0.53, 0.46, 0.59, ""))
    'Not shown to be better than a coin toss: the interval contains .5.'
    >>> warning(intervals.Interval(0.9, 0.8, 0.95, ""))
    ''
    """
    low, high = auc.low, auc.high
    if low is None or high is None:
        return ""
    if high < 0.5:
        return (
            "The scores are reversed: good devices score higher than defects. Check "
            "which class is called good (--good, column label) and that a score is the "
            "probability of defect."
        )
    if low <= 0.5:
        return "Not shown to be better than a coin toss: the interval contains .5."
    return ""


def devices(needed: int) -> str:
    """How many devices are needed to tell two runs apart.

    >>> devices(10294), devices(1_539_321_469)
    ('about 10,294', 'more than a million')
    """
    return f"about {needed:,}" if needed <= 1_000_000 else "more than a million"


def count(rate: results.Rate) -> str:
    """How many devices of how many."""
    return f"{rate.count} of {rate.of}"
