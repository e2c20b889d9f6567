"""What is uncertain: intervals and paired tests for AUC and rates.

The AUC of one model gets Newcombe's method 5, which holds its level at AUC .998 where
DeLong does not (benchmarks/interval_coverage.py measures both). Two models on the same
devices differ only when paired DeLong and a paired stratified bootstrap agree.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special, stats

from nexperia_tf import errors, metrics

CONFIDENCE = 0.95
SIGNIFICANCE = 0.01  # a difference counts below this, by both tests
POWER = 0.8  # chance of seeing a real difference that `devices_needed` plans for
REPLICATES = 2000  # fewest that resolve p < .01 with room to spare
# Beyond this many resampled devices replicates are cut: normal theory is good there.
BOOTSTRAP_WORK = 400_000_000
BLOCK = 8_000_000  # resampled counts held at once, 64 MB


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure with the limits it may have; `method` says whose limits."""

    value: float
    low: float
    high: float
    method: str


@dataclasses.dataclass(frozen=True)
class Difference:
    """AUC of the first run minus AUC of the second, on the same devices.

    Attributes:
        value: the difference.
        low, high: its paired DeLong limits.
        p_delong: two-sided, paired DeLong.
        p_bootstrap: two-sided, paired stratified bootstrap.
        bootstrap_low, bootstrap_high: percentile limits of the bootstrap.
        distinguishable: whether both p lie below SIGNIFICANCE.
        devices_needed: devices like these at which a true difference of this size
            would be told apart with a chance of POWER; None for no difference at all.
        resampled: what the bootstrap drew, "devices" or "groups".
    """

    value: float
    low: float
    high: float
    p_delong: float
    p_bootstrap: float
    bootstrap_low: float
    bootstrap_high: float
    distinguishable: bool
    devices_needed: int | None
    resampled: str

    @property
    def words(self) -> str:
        """The verdict as a person says it."""
        return "distinguishable" if self.distinguishable else "not distinguishable"


def clopper_pearson(
    hits: int, trials: int, *, confidence: float = CONFIDENCE
) -> Interval:
    """Exact binomial limits of a rate; without trials nothing is known: 0 to 1.

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
    z = z_value(confidence)
    half = (n_defect + n_good) / 2 - 1

    def squared_error(auc):
        spread = 1 + half * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        return auc * (1 - auc) * spread / (n_defect * n_good)

    def beyond(auc):
        return (value - auc) ** 2 - z**2 * squared_error(auc)

    low = optimize.brentq(beyond, 0.0, value, xtol=1e-15) if value > 0 else 0.0
    high = optimize.brentq(beyond, value, 1.0, xtol=1e-15) if value < 1 else 1.0
    # At 0 and at 1 `beyond` has a second root on the value itself; step off it.
    if value == 1:
        low = optimize.brentq(beyond, 0.0, 1 - 1e-12, xtol=1e-15)
    if value == 0:
        high = optimize.brentq(beyond, 1e-12, 1.0, xtol=1e-15)
    return Interval(value, low, high, "newcombe-5")


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


def compare(
    labels: np.ndarray,
    runs: Sequence[np.ndarray],
    *,
    groups: np.ndarray | None = None,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> dict[tuple[int, int], Difference]:
    """Whether runs differ on the same devices, and by how much, pair by pair.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        runs: arrays of shape `(devices,)`, the scores of each run.
        groups: array of shape `(devices,)`; devices of one group (a lot, a burst) are
            drawn together by the bootstrap. None draws devices.
        confidence: level of the intervals.
        seed: of the bootstrap; the same seed gives the same figures.

    Returns:
        the difference first minus second by the two runs' places.
    """
    aucs, covariance = delong_covariance(labels, runs)
    draws = bootstrap_aucs(labels, runs, groups=groups, seed=seed)
    differences = {}
    for i, j in itertools.combinations(range(len(runs)), 2):
        variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
        differences[i, j] = _difference(
            float(aucs[i] - aucs[j]),
            math.sqrt(max(0.0, variance)),
            draws[:, i] - draws[:, j],
            devices=len(labels),
            confidence=confidence,
            resampled="devices" if groups is None else "groups",
        )
    return differences


def _difference(
    value: float,
    error: float,
    draws: np.ndarray,
    *,
    devices: int,
    confidence: float,
    resampled: str,
) -> Difference:
    p_delong = 2 * stats.norm.sf(abs(value) / error) if error else float(value == 0)
    p_bootstrap = _two_sided(draws)
    reach = z_value(confidence) * error
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Difference(
        value=value,
        low=value - reach,
        high=value + reach,
        p_delong=float(p_delong),
        p_bootstrap=p_bootstrap,
        bootstrap_low=float(low),
        bootstrap_high=float(high),
        distinguishable=bool(max(p_delong, p_bootstrap) < SIGNIFICANCE),
        devices_needed=_devices_needed(devices, value, error),
        resampled=resampled,
    )


def _devices_needed(n: int, value: float, error: float) -> int | None:
    """Devices at which a difference of `value` clears SIGNIFICANCE with POWER."""
    if not value or not error:
        return None
    reach = stats.norm.isf(SIGNIFICANCE / 2) + stats.norm.isf(1 - POWER)
    return math.ceil(n * (reach * error / value) ** 2)


def _two_sided(differences: np.ndarray) -> float:
    """Bootstrap p: how often the difference falls on the other side of 0."""
    n = len(differences)
    below, above = np.sum(differences <= 0), np.sum(differences >= 0)
    return float(min(1.0, 2 * (min(below, above) + 1) / (n + 1)))


def grouped(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: np.ndarray,
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """AUC with percentile limits when whole groups, not devices, are drawn.

    Devices of one lot resemble each other: where these limits are much wider than the
    headline's, the devices are worth fewer than they count.
    """
    tail = (1 - confidence) / 2
    draws = bootstrap_aucs(labels, [scores], groups=groups, seed=seed)[:, 0]
    low, high = np.quantile(draws, [tail, 1 - tail])
    value = metrics.auc(labels, scores)
    return Interval(value, float(low), float(high), "group-bootstrap")


def bootstrap_aucs(
    labels: np.ndarray,
    runs: Sequence[np.ndarray],
    *,
    groups: np.ndarray | None = None,
    replicates: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """AUCs of every run on the same resampled devices.

    Draws are stratified: good devices, defects, and groups that hold both are each
    drawn as often as they are there. A device without a group is its own.

    Returns:
        float64 array of shape `(replicates, runs)`.
    """
    defects = metrics.check(labels, runs[0], metric="A bootstrap")[0]
    n = len(defects)
    if replicates is None:
        replicates = int(np.clip(BOOTSTRAP_WORK // n, 200, REPLICATES))
    member, strata = _strata(defects, groups)
    ranked = [_Ranked.of(defects, np.asarray(scores, np.float64)) for scores in runs]
    random = np.random.default_rng(seed)
    blocks = []
    step = max(1, BLOCK // n)
    for start in range(0, replicates, step):
        count = min(step, replicates - start)
        drawn = np.empty((count, int(member.max()) + 1), dtype=np.int32)
        for stratum in strata:
            share = np.full(len(stratum), 1 / len(stratum))
            drawn[:, stratum] = random.multinomial(len(stratum), share, size=count)
        weights = drawn[:, member]  # (replicates, devices)
        blocks.append(np.stack([r.weighted_auc(weights) for r in ranked], axis=1))
    return np.concatenate(blocks)


def _strata(
    defects: np.ndarray, groups: np.ndarray | None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Unit number of each device, and the units of each stratum."""
    n = len(defects)
    if groups is None:
        member = np.arange(n)
    else:
        names = [f"group {g}" if g else f"device {i}" for i, g in enumerate(groups)]
        member = np.unique(np.array(names), return_inverse=True)[1]
    units = int(member.max()) + 1
    has_defect = np.bincount(member, defects, units) > 0
    has_good = np.bincount(member, ~defects, units) > 0
    kinds = (has_defect & has_good, has_defect & ~has_good, ~has_defect)
    return member, [np.flatnonzero(kind) for kind in kinds if np.any(kind)]


@dataclasses.dataclass(frozen=True)
class _Ranked:
    """One run's devices in order of score, ready for weighted AUCs."""

    order: np.ndarray  # devices, lowest score first
    starts: np.ndarray  # first place of each distinct score
    defects: np.ndarray  # in that order

    @classmethod
    def of(cls, defects: np.ndarray, scores: np.ndarray) -> "_Ranked":
        order = np.argsort(scores, kind="stable")
        changes = np.diff(scores[order], prepend=np.nan) != 0
        return cls(order, np.flatnonzero(changes), defects[order])

    def weighted_auc(self, weights: np.ndarray) -> np.ndarray:
        """AUC for each row of `weights`, shape `(replicates, devices)`."""
        weights = weights[:, self.order]
        defect = np.add.reduceat(weights * self.defects, self.starts, axis=1)
        good = np.add.reduceat(weights * ~self.defects, self.starts, axis=1)
        below = np.cumsum(good, axis=1, dtype=np.float64) - good / 2
        pairs = defect.sum(axis=1) * good.sum(axis=1, dtype=np.float64)
        return np.sum(defect * below, axis=1) / pairs


def z_value(confidence: float) -> float:
    """Standard errors on each side of a two-sided interval of this level."""
    if not 0 < confidence < 1:
        raise errors.BadInput(
            f"confidence: a level lies between 0 and 1, for example .95. "
            f"Received {confidence}."
        )
    return float(stats.norm.isf((1 - confidence) / 2))
