"""Which threshold is safe, and what it costs.

The guarantee is distribution-free: it rests on nothing but the count of calibration
defects, as long as the devices to come are drawn like those. Devices of one lot
resemble each other, so a guarantee from few lots is worth less than its number.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from nexperia_tf import errors, metrics
from nexperia_tf.evaluation import clustered, intervals

MAX_ESCAPE = 0.005  # escape rate that may not be exceeded, unless told otherwise
MAX_OVERKILL = 0.005  # rate of good devices that may be rejected without a look
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Guarantee:
    """A threshold and what is certain about it.

    Attributes:
        max_escape: the escape rate asked for.
        confidence: the certainty asked for.
        n_defect: calibration defects it rests on.
        threshold: score of a calibration defect; devices at or above it are rejected.
        misses_allowed: calibration defects below it.
        guaranteed: whether the escape rate stays below `max_escape` with `confidence`.
        defects_needed: fewest calibration defects that could certify `max_escape`.
        certified_escape: the escape rate that `threshold` is certain to keep.
    """

    max_escape: float
    confidence: float
    n_defect: int
    threshold: float
    misses_allowed: int
    guaranteed: bool
    defects_needed: int
    certified_escape: float

    @property
    def refusal(self) -> str:
        """Why the guarantee is not given, in one sentence."""
        return (
            f"an escape rate of at most {percent(self.max_escape)} (TPR "
            f"{percent(1 - self.max_escape)}) cannot be certified at "
            f"{percent(self.confidence)} confidence with {self.n_defect} calibration "
            f"defects; {self.defects_needed} are needed. {self.n_defect} can certify "
            f"{percent(self.certified_escape)}."
        )


def choose(
    defect_scores: np.ndarray,
    *,
    max_escape: float = MAX_ESCAPE,
    confidence: float = CONFIDENCE,
) -> Guarantee:
    """The highest threshold whose escape rate is certain to stay below `max_escape`.

    It is the k-th smallest defect score with the largest k for which
    `BinomCDF(k - 1; n, max_escape) <= 1 - confidence`: were the true escape rate above
    `max_escape`, fewer than k of n misses would be that unlikely. When no k will do,
    the smallest score is given and `guaranteed` is False.

    Args:
        defect_scores: array of shape `(defects,)`, a calibration split's; the model
            must not have been trained on it.
        max_escape: share of defects that may pass, in (0, 1).
        confidence: certainty, in (0, 1).

    Raises:
        errors.BadInput: no defect, NaN, or a share outside (0, 1).
    """
    scores = np.sort(np.asarray(defect_scores, dtype=np.float64))
    if not scores.size or not np.isfinite(scores).all():
        raise errors.BadInput(
            "calibration: a threshold needs finite scores of defects. Received "
            f"{int(np.isfinite(scores).sum())} of {scores.size}."
        )
    allowed = misses_allowed(scores.size, max_escape, confidence)
    # k was fixed before the scores were seen: ties below it may not sharpen the claim.
    misses = max(allowed, 0)
    return Guarantee(
        max_escape=max_escape,
        confidence=confidence,
        n_defect=scores.size,
        threshold=float(scores[misses]),
        misses_allowed=misses,
        guaranteed=allowed >= 0,
        defects_needed=defects_needed(max_escape, confidence),
        certified_escape=certified_escape(scores.size, misses, confidence),
    )


def misses_allowed(n_defect: int, max_escape: float, confidence: float) -> int:
    """Misses among `n_defect` that still certify `max_escape`; -1: not even none.

    >>> [misses_allowed(827, escape, 0.95) for escape in (0.009, 0.007, 0.005, 0.003)]
    [2, 1, 0, -1]
    """
    _check_share("--max-escape", max_escape)
    _check_share("--confidence", confidence)
    misses = np.arange(n_defect)
    certain = stats.binom.cdf(misses, n_defect, max_escape) <= 1 - confidence
    return int(np.sum(certain)) - 1  # the CDF only grows


def defects_needed(max_escape: float, confidence: float = CONFIDENCE) -> int:
    """Fewest calibration defects, all caught, that certify `max_escape`.

    >>> defects_needed(0.003), defects_needed(0.001)
    (998, 2995)
    """
    _check_share("--max-escape", max_escape)
    _check_share("--confidence", confidence)
    return math.ceil(round(math.log1p(-confidence) / math.log1p(-max_escape), 9))


def certified_escape(n_defect: int, misses: int, confidence: float) -> float:
    """The escape rate that `misses` of `n_defect` certify, a one-sided upper limit."""
    return intervals.clopper_pearson(
        misses, n_defect, confidence=2 * confidence - 1
    ).high


@dataclasses.dataclass(frozen=True)
class Band:
    """Three-way decision: pass below, reject from, review between.

    Attributes:
        pass_below: the guaranteed threshold.
        reject_from: devices at or above are rejected without a look; None when too
            few good devices certify `max_overkill`.
        max_overkill: certain bound on good devices rejected without a look.
        good_needed: fewest calibration good devices that could certify it.
    """

    pass_below: float
    reject_from: float | None
    max_overkill: float
    good_needed: int


def band(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    pass_below: float,
    max_overkill: float = MAX_OVERKILL,
    confidence: float = CONFIDENCE,
) -> Band:
    """The review band above `pass_below`, from calibration devices.

    The upper edge is the lowest device's score above the k-th largest good score, with
    k as in `choose`: the same guarantee with the classes' roles exchanged.
    """
    defects, scores = metrics.check(labels, scores, metric="A review band")
    good = np.sort(scores[~defects])[::-1]
    allowed = misses_allowed(good.size, max_overkill, confidence)
    reject_from = None
    if allowed >= 0:
        above = scores[scores > good[allowed]]
        reject_from = max(float(above.min()), pass_below) if above.size else None
    needed = defects_needed(max_overkill, confidence)
    return Band(pass_below, reject_from, max_overkill, needed)


@dataclasses.dataclass(frozen=True)
class Shares:
    """How the devices of one class are decided; each share carries its limits."""

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
    _check_share("--prevalence", prevalence)
    escaped = prevalence * escape_rate
    return 1e6 * escaped / (1 - prevalence + escaped)


def promise(
    max_escape: float, confidence: float, *, n_defect: int, chosen_on: str
) -> str:
    """What stands behind a guaranteed threshold, for calibration.json and its readers.

    >>> promise(0.005, 0.95, n_defect=620, chosen_on="a validation")
    'at most 0.5 % escapes with 95 % confidence, by 620 defects of a validation'
    """
    return (
        f"at most {percent(max_escape)} escapes with {percent(confidence)} confidence, "
        f"by {n_defect} defects of {chosen_on}"
    )


def serving_threshold(threshold: float) -> float:
    """The threshold to bake into a SavedModel.

    A served score may differ from the evaluated one in the fifth decimal; the device
    that set the threshold must not slip through by that.
    """
    return threshold - min(1e-5, threshold / 2)


def percent(share: float) -> str:
    """A share as a person writes it.

    >>> percent(0.005), percent(0.997), percent(0.03)
    ('0.5 %', '99.7 %', '3 %')
    """
    return f"{100 * share:.4g} %"


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise errors.BadInput(
            f"{name}: a share between 0 and 1, such as .005. Received {value}."
        )
