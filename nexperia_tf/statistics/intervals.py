"""What is uncertain about an AUC and about a rate, when devices stand alone.

The AUC of one model gets Newcombe's method 5, which holds its level at AUC .998 where
DeLong does not (benchmarks/interval_coverage.py measures both). `clustered` is for
devices that come in groups, `catch_rate` for the overkill at a catch rate.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special, stats

from nexperia_tf import errors
from nexperia_tf.statistics import metrics

CONFIDENCE = 0.95
REPLICATES = 2000  # fewest that resolve p < .01 ten times over
BLOCK = 400_000  # resampled counts held at once: they stay in the processor's cache


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure with the limits it may have; `method` says whose limits.

    A limit that nothing is known of is None: an AUC of too few groups, the overkill at
    a catch rate that the defects cannot place.
    """

    value: float
    low: float | None
    high: float | None
    method: str


def clopper_pearson(
    hits: float, trials: float, *, confidence: float = CONFIDENCE
) -> Interval:
    """Exact binomial limits of a rate; without trials nothing is known: 0 to 1.

    Counts may be fractions: what devices in groups are worth.

    Reference:
        Clopper & Pearson, Biometrika 26 (1934) 404.
    """
    if not trials:
        return Interval(math.nan, 0.0, 1.0, "clopper-pearson")
    tail = (1 - confidence) / 2
    low = special.betaincinv(hits, trials - hits + 1, tail) if hits else 0.0
    high = 1.0
    if hits < trials:
        high = special.betaincinv(hits + 1, trials - hits, 1 - tail)
    return Interval(hits / trials, float(low), float(high), "clopper-pearson")


def newcombe(
    labels: np.ndarray, scores: np.ndarray, *, confidence: float = CONFIDENCE
) -> Interval:
    """AUC with Newcombe's method 5, the headline interval.

    The limits are the AUCs whose own standard error puts the observed AUC at the edge;
    that error is Hanley and McNeil's with both class sizes replaced by their mean.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        scores: array of shape `(devices,)`, higher means more likely a defect.
        confidence: level of the two-sided interval.

    Reference:
        Newcombe, Statistics in Medicine 25 (2006) 559, method 5.
    """
    value = metrics.auc(labels, scores)
    n_defect = int(np.sum(np.asarray(labels) == 1))
    return newcombe_of(value, n_defect, len(labels) - n_defect, confidence=confidence)


def newcombe_of(
    value: float, n_defect: int, n_good: int, *, confidence: float = CONFIDENCE
) -> Interval:
    """As `newcombe`, from an AUC and the class sizes alone: also of published AUCs."""
    reach = z_value(confidence)
    low, high = newcombe_limits(value, n_defect, n_good, reach=reach)
    return Interval(value, low, high, "newcombe-5")


def newcombe_limits(
    value: float, n_defect: float, n_good: float, *, reach: float
) -> tuple[float, float]:
    """The limits of `newcombe` for a number of standard errors on each side.

    Class sizes may be fractions: what devices in groups are worth.
    """
    half = max(0.0, (n_defect + n_good) / 2 - 1)

    def squared_error(auc):
        spread = 1 + half * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        return auc * (1 - auc) * spread / (n_defect * n_good)

    def beyond(auc):
        return (value - auc) ** 2 - reach**2 * squared_error(auc)

    low = optimize.brentq(beyond, 0.0, value, xtol=1e-15) if value > 0 else 0.0
    high = optimize.brentq(beyond, value, 1.0, xtol=1e-15) if value < 1 else 1.0
    # At 0 and at 1 `beyond` has a second root on the value itself; step off it.
    if value == 1:
        low = optimize.brentq(beyond, 0.0, 1 - 1e-12, xtol=1e-15)
    if value == 0:
        high = optimize.brentq(beyond, 1e-12, 1.0, xtol=1e-15)
    return low, high


def delong(
    labels: np.ndarray, scores: np.ndarray, *, confidence: float = CONFIDENCE
) -> Interval:
    """AUC with DeLong's limits, cut to 0..1; too narrow near AUC 1.

    Reference:
        DeLong et al., Biometrics 44 (1988) 837, by the midranks of Sun & Xu,
        IEEE Signal Processing Letters 21 (2014) 1389.
    """
    (value,), ((variance,),) = delong_covariance(labels, [scores])
    reach = z_value(confidence) * math.sqrt(variance)
    return Interval(value, max(0.0, value - reach), min(1.0, value + reach), "delong")


def logit_delong(
    labels: np.ndarray, scores: np.ndarray, *, confidence: float = CONFIDENCE
) -> Interval | None:
    """AUC with DeLong's limits on the log-odds scale.

    None at AUC 0 or 1, where the log-odds have no error to speak of.
    """
    (value,), ((variance,),) = delong_covariance(labels, [scores])
    if not 0 < value < 1:
        return None
    centre = special.logit(value)
    reach = z_value(confidence) * math.sqrt(variance) / (value * (1 - value))
    low, high = special.expit([centre - reach, centre + reach])
    return Interval(value, float(low), float(high), "logit-delong")


def delong_covariance(
    labels: np.ndarray, runs: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of several runs on the same devices, and their DeLong covariance.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        runs: arrays of shape `(devices,)`, the scores of each run.

    Returns:
        `(aucs, covariance)` of shapes `(runs,)` and `(runs, runs)`.

    Raises:
        errors.BadInput: NaN or a single class; a class of one device has no variance.
    """
    of_defects, of_good = [], []
    for scores in runs:
        defects, scores = metrics.check(labels, scores, metric="DeLong")
        if min(np.sum(defects), np.sum(~defects)) < 2:
            raise errors.BadInput(
                "scores: DeLong needs two devices of each class. Received "
                f"{np.sum(~defects)} good and {np.sum(defects)} defect."
            )
        v10, v01 = _placements(defects, scores)
        of_defects.append(v10)
        of_good.append(v01)
    of_defects, of_good = np.array(of_defects), np.array(of_good)
    covariance = _covariance(of_defects) + _covariance(of_good)
    return of_defects.mean(axis=1), covariance


def _placements(
    defects: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of good devices below each defect, and of defects above each good one."""
    everywhere = stats.rankdata(scores)
    n_defect, n_good = int(np.sum(defects)), int(np.sum(~defects))
    # A midrank among all minus the midrank in its own class counts the other class.
    good_below = everywhere[defects] - stats.rankdata(scores[defects])
    defects_below = everywhere[~defects] - stats.rankdata(scores[~defects])
    return good_below / n_good, 1 - defects_below / n_defect


def _covariance(placements: np.ndarray) -> np.ndarray:
    """Covariance of the mean of the columns, shape `(runs, runs)`."""
    n = placements.shape[1]
    centred = placements - placements.mean(axis=1, keepdims=True)
    return centred @ centred.T / (n - 1) / n


def bootstrap_aucs(
    labels: np.ndarray,
    runs: Sequence[np.ndarray],
    *,
    group_of: np.ndarray | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> np.ndarray:
    """AUCs of every run on the same resampled devices.

    Draws are stratified: good devices, defects, and groups that hold both are each
    drawn as often as they are there.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        runs: arrays of shape `(devices,)`, the scores of each run.
        group_of: number of its group for each device; groups are drawn whole, devices
            where it is None.
        replicates: how often is drawn.
        seed: the same seed gives the same figures.

    Returns:
        float64 array of shape `(replicates, runs)`.
    """
    defects = metrics.check(labels, runs[0], metric="A bootstrap")[0]
    n = len(defects)
    group_of = np.arange(n) if group_of is None else group_of
    ranked = [Ranked.of(defects, np.asarray(scores, np.float64)) for scores in runs]
    random = np.random.default_rng(seed)
    blocks = []
    step = max(1, BLOCK // n)
    for start in range(0, replicates, step):
        count = min(step, replicates - start)
        weights = resampled(random, defects, group_of, count)
        blocks.append(np.stack([r.weighted_auc(weights) for r in ranked], axis=1))
    return np.concatenate(blocks)


def resampled(
    random: np.random.Generator,
    defects: np.ndarray,
    group_of: np.ndarray,
    replicates: int,
) -> np.ndarray:
    """How often each device is drawn, `(replicates, devices)`; groups stay whole.

    Good groups, defective ones, and those that hold both are each drawn as often as
    they are there.

    Args:
        random: what draws.
        defects: bool array of shape `(devices,)`.
        group_of: number of its group for each device, from 0.
        replicates: how often all are drawn.
    """
    units = int(group_of.max()) + 1
    drawn = np.empty((replicates, units), dtype=np.int32)
    for stratum in _strata(defects, group_of):
        drawn[:, stratum] = _drawn(random, replicates, len(stratum))
    return drawn if units == len(defects) else drawn[:, group_of]


def _drawn(random: np.random.Generator, replicates: int, units: int) -> np.ndarray:
    """How often each unit is drawn when as many are drawn as there are."""
    places = random.integers(0, units, size=(replicates, units))
    places += np.arange(replicates)[:, None] * units
    counts = np.bincount(places.ravel(), minlength=replicates * units)
    return counts.reshape(replicates, units)


def _strata(defects: np.ndarray, group_of: np.ndarray) -> list[np.ndarray]:
    """The units of each stratum."""
    units = int(group_of.max()) + 1
    has_defect = np.bincount(group_of, defects, units) > 0
    has_good = np.bincount(group_of, ~defects, units) > 0
    kinds = (has_defect & has_good, has_defect & ~has_good, ~has_defect)
    return [np.flatnonzero(kind) for kind in kinds if np.any(kind)]


@dataclasses.dataclass(frozen=True)
class Ranked:
    """One run's devices in order of score, ready for weighted AUCs."""

    order: np.ndarray  # devices, lowest score first
    starts: np.ndarray | None  # first place of each distinct score; None: all distinct
    defects: np.ndarray  # in that order

    @classmethod
    def of(cls, defects: np.ndarray, scores: np.ndarray) -> "Ranked":
        order = np.argsort(scores, kind="stable")
        starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
        return cls(order, None if len(starts) == len(order) else starts, defects[order])

    def weighted_auc(self, weights: np.ndarray) -> np.ndarray:
        """AUC for each row of `weights`, shape `(replicates, devices)`.

        NaN where a class weighs nothing.
        """
        weights = weights[:, self.order]
        defect, good = weights * self.defects, weights * ~self.defects
        if self.starts is not None:
            defect = np.add.reduceat(defect, self.starts, axis=1)
            good = np.add.reduceat(good, self.starts, axis=1)
        below = np.cumsum(good, axis=1, dtype=np.float64) - good / 2
        pairs = defect.sum(axis=1) * good.sum(axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return np.einsum("ij,ij->i", defect, below) / pairs


def z_value(confidence: float) -> float:
    """Standard errors on each side of a two-sided interval of this level."""
    if not 0 < confidence < 1:
        raise errors.BadInput(
            f"confidence: a level lies between 0 and 1, for example .95. "
            f"Received {confidence}."
        )
    return float(stats.norm.isf((1 - confidence) / 2))
