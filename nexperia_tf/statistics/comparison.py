"""Whether runs differ on the same devices, and which of many differences count.

Without groups two runs differ when paired DeLong and a paired stratified bootstrap
agree. With groups the groups are what was drawn: a paired jackknife by group and a sign
flip of whole groups must agree, and where even the most extreme flip could not reach
the level no verdict is given. Several comparisons are corrected by Holm.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from nexperia_tf.statistics import clustered, intervals, metrics

SIGNIFICANCE = 0.01  # a difference counts below this, by both tests, after Holm
POWER = 0.8  # chance of seeing a real difference that `devices_needed` plans for
RESOLUTION = 10  # p resolves this part of the level that it is held against
EXACT_GROUPS = 20  # up to here every flip is tried: half a million
FLIPS = 20_000  # fewest that are drawn beyond
# Beyond this many resampled devices replicates are cut: normal theory is good there.
BOOTSTRAP_WORK = 400_000_000
BLOCK = 20_000_000  # signs held at once
ROUNDING = 1e-9  # flips as far from 0 as this are as extreme as what was observed

APART, ALIKE = "distinguishable", "not distinguishable"
TOO_FEW = "too few lots for a verdict"


@dataclasses.dataclass(frozen=True)
class Difference:
    """AUC of the first run minus AUC of the second, on the same devices.

    Attributes:
        value: the difference.
        low, high: its paired limits, by group where there are groups; None where too
            few groups give any.
        method: whose limits, "paired-delong" or "paired-jackknife-by-group".
        p_delong: two-sided, paired DeLong, which takes devices for independent.
        p_bootstrap: two-sided, paired stratified bootstrap of devices or groups.
        bootstrap_low, bootstrap_high: percentile limits of the bootstrap.
        p_jackknife, p_sign_flip: two-sided, by group; None without groups.
        p: the larger of the two that must agree.
        p_adjusted: that p after Holm's correction for the family.
        family: comparisons that were made together.
        words: the verdict as a person says it: APART, ALIKE or TOO_FEW.
        devices_needed: devices like these, in groups like these, at which a true
            difference of this size would be told apart with a chance of POWER; None
            for no difference at all.
        resampled: what was taken as drawn, "devices" or "groups".
        units: how many of them there are.
        groups_needed: fewest groups that could give a verdict in this family; None
            without groups.
    """

    value: float
    low: float | None
    high: float | None
    method: str
    p_delong: float
    p_bootstrap: float
    bootstrap_low: float
    bootstrap_high: float
    p_jackknife: float | None
    p_sign_flip: float | None
    p: float
    p_adjusted: float
    family: int
    words: str
    devices_needed: int | None
    resampled: str
    units: int
    groups_needed: int | None

    @property
    def distinguishable(self) -> bool:
        return self.words == APART


def compare(
    labels: np.ndarray,
    runs: Sequence[np.ndarray],
    *,
    groups: Sequence[str] | None = None,
    pairs: Iterable[tuple[int, int]] | None = None,
    confidence: float = intervals.CONFIDENCE,
    seed: int = 0,
    replicates: int = intervals.REPLICATES,
) -> dict[tuple[int, int], Difference]:
    """Whether runs differ on the same devices, and by how much, pair by pair.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        runs: arrays of shape `(devices,)`, the scores of each run.
        groups: names of shape `(devices,)`; devices of one group (a lot, a burst) are
            not independent. None takes every device for its own.
        pairs: places of the runs to compare, a family that is corrected together; None
            compares every run with every other.
        confidence: level of the intervals.
        seed: of what is drawn; the same seed gives the same figures.
        replicates: fewest of the bootstrap; more are drawn where a verdict hangs on it.

    Returns:
        the difference first minus second by the two runs' places.

    Reference:
        [Holm, 1979](https://www.jstor.org/stable/4615733), a sequentially rejective
        multiple test procedure.
    """
    if pairs is None:
        pairs = itertools.combinations(range(len(runs)), 2)
    pairs = list(dict.fromkeys(pairs))
    if not pairs:
        return {}
    tests = _by_device if groups is None else _by_group
    results = tests(
        labels,
        runs,
        pairs,
        groups=groups,
        confidence=confidence,
        seed=seed,
        replicates=replicates,
    )
    adjusted = holm([result["p"] for result in results])
    return {
        pair: Difference(
            **{name: result[name] for name in result if name != "same_ranks"},
            p_adjusted=p,
            words=_verdict(result, p),
        )
        for pair, result, p in zip(pairs, results, adjusted)
    }


def _verdict(result: dict, p_adjusted: float) -> str:
    needed = result["groups_needed"]
    if needed is not None and result["units"] < needed and not result["same_ranks"]:
        return TOO_FEW
    return APART if p_adjusted < SIGNIFICANCE else ALIKE


def holm(p: Sequence[float]) -> list[float]:
    """Each p as it counts in its family: reject those below the level.

    >>> holm([0.01, 0.04, 0.001])
    [0.02, 0.04, 0.003]
    """
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, dtype=np.float64)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


def _by_device(
    labels, runs, pairs, *, groups, confidence, seed, replicates
) -> list[dict]:
    aucs, covariance = intervals.delong_covariance(labels, runs)
    draws = intervals.bootstrap_aucs(labels, runs, seed=seed, replicates=replicates)
    p_delong = [_p_delong(aucs, covariance, pair) for pair in pairs]
    p_bootstrap = [_two_sided(draws[:, i] - draws[:, j]) for i, j in pairs]
    # Only where both may count after Holm do more replicates decide anything.
    open_pairs = [
        place
        for place in range(len(pairs))
        if max(p_delong[place], p_bootstrap[place]) < SIGNIFICANCE and len(pairs) > 1
    ]
    if open_pairs:
        unsettled = [pairs[place] for place in open_pairs]
        finer = _resolved(labels, runs, unsettled, family=len(pairs), seed=seed)
        for place, p in zip(open_pairs, finer):
            p_bootstrap[place] = p
    return [
        _difference(
            aucs[i] - aucs[j],
            _error(covariance, (i, j)),
            draws[:, i] - draws[:, j],
            reach=intervals.z_value(confidence),
            confidence=confidence,
            devices=len(labels),
            family=len(pairs),
        )
        | {
            "method": "paired-delong",
            "p_delong": p_delong[place],
            "p_bootstrap": p_bootstrap[place],
            "p_jackknife": None,
            "p_sign_flip": None,
            "p": max(p_delong[place], p_bootstrap[place]),
            "resampled": "devices",
            "units": len(labels),
            "groups_needed": None,
            "same_ranks": False,
        }
        for place, (i, j) in enumerate(pairs)
    ]


def _resolved(labels, runs, pairs, *, family: int, seed: int) -> list[float]:
    """Bootstrap p of some pairs, fine enough for the first step of Holm."""
    level = SIGNIFICANCE / family
    wanted = math.ceil(2 * RESOLUTION / level)  # the smallest p is 2 / (replicates + 1)
    replicates = max(200, min(wanted, BOOTSTRAP_WORK // len(labels)))
    asked = sorted({place for pair in pairs for place in pair})
    draws = intervals.bootstrap_aucs(
        labels, [runs[place] for place in asked], seed=seed, replicates=replicates
    )
    p_values = []
    for first, second in pairs:
        drawn = draws[:, asked.index(first)] - draws[:, asked.index(second)]
        counted = _two_sided(drawn)
        if replicates < wanted and counted <= 2 / (replicates + 1):
            counted = float(2 * stats.norm.sf(abs(drawn.mean()) / drawn.std()))
        p_values.append(counted)
    return p_values


def _by_group(
    labels, runs, pairs, *, groups, confidence, seed, replicates
) -> list[dict]:
    group_of = clustered.group_numbers(groups)
    defects, _ = metrics.check(labels, runs[0], metric="A comparison")
    parts = clustered.Parts.of(defects, runs, groups)
    aucs, covariance = intervals.delong_covariance(labels, runs)
    draws = intervals.bootstrap_aucs(
        labels, runs, group_of=group_of, seed=seed, replicates=replicates
    )
    added = parts.contributions()
    apart = np.array([added[i] - added[j] for i, j in pairs])
    flipped = sign_flip(apart, level=SIGNIFICANCE / len(pairs), seed=seed)
    by_group = parts.covariance() if parts.can_leave_out else None
    results = []
    for pair, p_flip, moved in zip(pairs, flipped, apart):
        value = aucs[pair[0]] - aucs[pair[1]]
        drawn = draws[:, pair[0]] - draws[:, pair[1]]
        error = None if by_group is None else _error(by_group, pair)
        p_jackknife = 1.0
        if error:
            reached = abs(value) / error
            p_jackknife = float(2 * stats.t.sf(reached, parts.freedom()))
        results.append(
            _difference(
                value,
                error,
                drawn,
                reach=parts.reach(confidence),
                confidence=confidence,
                devices=len(labels),
                family=len(pairs),
            )
            | {
                "method": "none" if error is None else "paired-jackknife-by-group",
                "p_delong": _p_delong(aucs, covariance, pair),
                "p_bootstrap": _two_sided(drawn),
                "p_jackknife": p_jackknife,
                "p_sign_flip": p_flip,
                "p": max(p_jackknife, p_flip),
                "resampled": "groups",
                "units": parts.units,
                "groups_needed": clustered.groups_needed(SIGNIFICANCE / len(pairs)),
                "same_ranks": bool(np.abs(moved).sum() < ROUNDING),
            }
        )
    return results


def sign_flip(
    contributions: np.ndarray, *, level: float = SIGNIFICANCE, seed: int = 0
) -> list[float]:
    """Two-sided p of sums whose parts might as well have had the other sign.

    Up to EXACT_GROUPS groups every flip is tried; beyond, so many are drawn that p
    resolves a tenth of the level. Parts that are all 0 give 1.

    Args:
        contributions: array of shape `(comparisons, groups)`.
        level: what p will be held against.
        seed: of the flips that are drawn.

    Reference:
        Fisher, The Design of Experiments (1935), section 21.
    """
    if contributions.shape[1] <= EXACT_GROUPS:
        return [_exact_flip(parts) for parts in contributions]
    observed = np.abs(contributions.sum(axis=1))
    close = observed - ROUNDING * np.abs(contributions).sum(axis=1)
    wanted = max(FLIPS, math.ceil(RESOLUTION / level))
    random = np.random.default_rng(seed)
    step = max(1, BLOCK // contributions.shape[1])
    extreme = np.zeros(len(contributions))
    for start in range(0, wanted, step):
        size = min(step, wanted - start), contributions.shape[1]
        signs = random.integers(0, 2, size=size, dtype=np.int8) * 2.0 - 1
        extreme += np.sum(np.abs(signs @ contributions.T) >= close, axis=0)
    return ((extreme + 1) / (wanted + 1)).tolist()


def _exact_flip(parts: np.ndarray) -> float:
    sums = parts[:1]  # the first keeps its sign: the other half mirrors this one
    for part in parts[1:]:
        sums = np.concatenate([sums + part, sums - part])
    close = abs(parts.sum()) - ROUNDING * np.abs(parts).sum()
    return float(np.mean(np.abs(sums) >= close))


def _difference(
    value: float,
    error: float | None,
    draws: np.ndarray,
    *,
    reach: float,
    confidence: float,
    devices: int,
    family: int,
) -> dict:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return {
        "value": float(value),
        "low": None if error is None else float(value - reach * error),
        "high": None if error is None else float(value + reach * error),
        "bootstrap_low": float(low),
        "bootstrap_high": float(high),
        "devices_needed": _devices_needed(devices, value, error, family),
        "family": family,
    }


def _error(covariance: np.ndarray, pair: tuple[int, int]) -> float:
    i, j = pair
    variance = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
    # Runs that rank alike differ by rounding, or not at all.
    return math.sqrt(variance) if variance > 1e-12 * covariance[i, i] else 0.0


def _p_delong(aucs: np.ndarray, covariance: np.ndarray, pair: tuple[int, int]) -> float:
    """Without variance nothing is shown: 1, whatever the difference."""
    error = _error(covariance, pair)
    if not error:
        return 1.0
    return float(2 * stats.norm.sf(abs(aucs[pair[0]] - aucs[pair[1]]) / error))


def _devices_needed(
    n: int, value: float, error: float | None, family: int
) -> int | None:
    """Devices at which a difference of `value` clears SIGNIFICANCE with POWER."""
    if not value or not error:
        return None
    reach = stats.norm.isf(SIGNIFICANCE / family / 2) + stats.norm.isf(1 - POWER)
    return math.ceil(n * (reach * error / value) ** 2)


def _two_sided(differences: np.ndarray) -> float:
    """Bootstrap p: how often the difference falls on the other side of 0."""
    n = len(differences)
    below, above = np.sum(differences <= 0), np.sum(differences >= 0)
    return float(min(1.0, 2 * (min(below, above) + 1) / (n + 1)))
