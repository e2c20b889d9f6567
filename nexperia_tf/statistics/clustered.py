"""Limits for devices that come in groups: lots, bursts, modules.

Devices of one group resemble each other, so many devices of few groups say little about
the next group. Everything here takes groups, not devices, as the sampled units.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import special, stats

from nexperia_tf import predictions
from nexperia_tf.statistics import intervals, metrics

FEWEST = 3  # groups: two do not show how groups differ


def groups_of(table: predictions.Predictions) -> np.ndarray | None:
    """The groups of the devices; None where every device stands alone."""
    groups = table.column("group")
    if groups is None:
        groups = table.column("lot")
    if groups is None or count(groups) == len(table):
        return None
    return groups


def word_of(table: predictions.Predictions) -> str | None:
    """What devices share, lot or group; None where each stands alone."""
    if groups_of(table) is None:
        return None
    group = table.column("group")
    return "lot" if group is None or repeats(group, table.column("lot")) else "group"


def repeats(group: np.ndarray, lot: np.ndarray | None) -> bool:
    """Whether groups say no more than lots; a device without a lot is its own group."""
    return lot is not None and bool(np.all((group == lot) | (lot == "")))


def count(groups: Sequence[str]) -> int:
    """How many groups there are; a device without a group is its own."""
    return int(group_numbers(groups).max(initial=-1)) + 1


def group_numbers(groups: Sequence[str]) -> np.ndarray:
    """The number of its group for each device, shape `(devices,)`, from 0."""
    indices: dict = {}
    numbers = [
        indices.setdefault(group or place, len(indices))
        for place, group in enumerate(groups)
    ]
    return np.array(numbers, dtype=np.intp)


@dataclasses.dataclass(frozen=True)
class Headline(intervals.Interval):
    """An AUC, with limits where the groups allow any.

    Attributes:
        reason: why there are no limits; "" where there are.
        groups: how many groups it rests on; None where devices are independent.
        design_effect: how many devices in groups are worth one that stands alone.
    """

    reason: str = ""
    groups: int | None = None
    design_effect: float | None = None


def headline(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: Sequence[str] | None = None,
    *,
    word: str | None = "lot",
    confidence: float = intervals.CONFIDENCE,
    where: str = "scores",
) -> Headline:
    """AUC with the interval that is reported first.

    Without groups it is Newcombe's method 5. With groups his method takes as many
    devices as the groups are worth, and Student's t in place of the normal: the design
    effect is the delete-one-group jackknife's variance over DeLong's, at least 1, and
    the degrees of freedom are Satterthwaite's for groups of these sizes.
    benchmarks/group_coverage.py measures how often it holds.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        scores: array of shape `(devices,)`, higher means more likely a defect.
        groups: names of shape `(devices,)`; "" is a group of its own.
        word: for a group, in `reason`.
        confidence: level of the two-sided interval.
        where: names the file in errors.
    """
    labels, scores = metrics.check(labels, scores, where=where)
    if groups is None or count(groups) == len(labels):
        interval = intervals.newcombe(labels, scores, confidence=confidence)
        return Headline(**dataclasses.asdict(interval))
    parts = Parts.of(labels, [scores], groups)
    value, units = metrics.auc(labels, scores), parts.units
    if reason := _no_limits(value, parts, word):
        return Headline(value, None, None, "none", reason, units)
    (_, ((by_device,),)) = intervals.delong_covariance(labels, [scores])
    if not by_device:
        reason = "scores do not vary within a class, so they show no error to measure"
        return Headline(value, None, None, "none", reason, units)
    design_effect = max(1.0, float(parts.covariance()[0, 0] / by_device))
    low, high = intervals.newcombe_limits(
        value,
        int(labels.sum()) / design_effect,
        int((~labels).sum()) / design_effect,
        reach=parts.reach(confidence),
    )
    method = "newcombe-5-by-group"
    return Headline(value, low, high, method, "", units, design_effect)


def _no_limits(value: float, parts: "Parts", word: str | None) -> str:
    """Why groups like these give no interval; "" when they do."""
    if parts.units < FEWEST:
        few = f"{word} is" if parts.units == 1 else f"{word}s are"
        return f"{parts.units} {few} too few to show how {word}s differ"
    for name, sizes in (("defects", parts.defects), ("good devices", parts.good)):
        if sizes.sum() == 1:
            return f"one {name.removesuffix('s')} shows nothing of how {word}s differ"
        if sizes.max() == sizes.sum():
            return f"all {name} are of one {word}, so nothing shows how {word}s differ"
    if value in (0.0, 1.0):
        side = "above" if value else "below"
        return (
            f"every defect scores {side} every good device, so nothing shows how "
            f"{word}s differ"
        )
    return ""


@dataclasses.dataclass(frozen=True)
class Parts:
    """What each group adds to the AUC of several runs.

    Attributes:
        defects, good: devices of each class in each group, shape `(groups,)`.
        of_defects: pairs won by a group's defects, shape `(runs, groups)`.
        of_good: pairs in which a group's good devices score lower, the same shape.
        within: pairs won within a group, the same shape; a tie counts one half.
    """

    defects: np.ndarray
    good: np.ndarray
    of_defects: np.ndarray
    of_good: np.ndarray
    within: np.ndarray

    @classmethod
    def of(
        cls, labels: np.ndarray, runs: Sequence[np.ndarray], groups: Sequence[str]
    ) -> "Parts":
        """Counts pairs by midranks, in the time of a few sorts."""
        group_of = group_numbers(groups)
        units = int(group_of.max()) + 1
        defects = np.asarray(labels) == 1
        sizes = [np.bincount(group_of, c, units) for c in (defects, ~defects)]
        won = [_pairs(defects, np.asarray(scores), group_of, units) for scores in runs]
        return cls(*sizes, *(np.array(part) for part in zip(*won)))

    @property
    def units(self) -> int:
        return len(self.defects)

    @property
    def can_leave_out(self) -> bool:
        """Whether enough groups of both classes are left when one is taken out."""
        alone = [c.max() == c.sum() for c in (self.defects, self.good)]
        return self.units >= FEWEST and not any(alone)

    @property
    def aucs(self) -> np.ndarray:
        """AUC of each run, shape `(runs,)`."""
        pairs = self.defects.sum() * self.good.sum()
        return self.of_defects.sum(axis=1) / pairs

    def without_one(self) -> np.ndarray:
        """AUCs with each group left out in turn, shape `(runs, groups)`."""
        total = self.of_defects.sum(axis=1, keepdims=True)
        left = total - self.of_defects - self.of_good + self.within
        pairs = (self.defects.sum() - self.defects) * (self.good.sum() - self.good)
        return left / pairs

    def covariance(self) -> np.ndarray:
        """The delete-one-group jackknife's covariance of the AUCs."""
        apart = self.without_one() - self.aucs[:, None]
        return (self.units - 1) / self.units * apart @ apart.T

    def reach(self, confidence: float) -> float:
        """Standard errors on each side of a two-sided interval of this level."""
        return float(stats.t.isf((1 - confidence) / 2, self.freedom()))

    def freedom(self) -> float:
        """Degrees of freedom of the jackknife's variance, at least 1.

        Satterthwaite's for groups whose variance goes with the square of their share
        of the devices, less the one for the mean: groups - 1 when all are alike.
        """
        shares = (self.defects / self.defects.sum()) ** 2
        shares = shares + (self.good / self.good.sum()) ** 2
        return max(1.0, float(shares.sum() ** 2 / (shares**2).sum() - 1))

    def contributions(self) -> np.ndarray:
        """What each group adds to each AUC, in units of AUC, shape `(runs, groups)`.

        The rows sum to the AUCs; differences of two rows are independent between
        groups, as far as the AUC is linear in them (its first Hoeffding term).
        """
        n_defect, n_good = self.defects.sum(), self.good.sum()
        share = self.defects / n_defect, self.good / n_good
        aucs = self.aucs[:, None]
        of_defects = self.of_defects / n_good / n_defect - aucs * share[0]
        of_good = self.of_good / n_defect / n_good - aucs * share[1]
        return of_defects + of_good + aucs * (share[0] + share[1]) / 2


def _pairs(
    defects: np.ndarray, scores: np.ndarray, group_of: np.ndarray, units: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs won by defects, by good devices and within the group, by group."""
    everywhere = stats.rankdata(scores)
    good_below = everywhere[defects] - stats.rankdata(scores[defects])
    above = defects.sum() - everywhere[~defects] + stats.rankdata(scores[~defects])
    # Ranks of (group, score): what lies below within the group is what lies below at
    # all, less the devices of the groups before.
    place = group_of * (len(scores) + 1.0) + stats.rankdata(scores, method="dense")
    inside = stats.rankdata(place)[defects] - stats.rankdata(place[defects])
    before = np.cumsum(np.bincount(group_of, ~defects, units))
    before = before - np.bincount(group_of, ~defects, units)
    inside -= before[group_of[defects]]
    return (
        np.bincount(group_of[defects], good_below, units),
        np.bincount(group_of[~defects], above, units),
        np.bincount(group_of[defects], inside, units),
    )


def groups_needed(level: float) -> int:
    """Fewest groups at which an exact sign flip can fall below a level.

    >>> groups_needed(0.01), groups_needed(0.01 / 28)
    (8, 13)
    """
    return math.floor(-math.log2(level)) + 2


def rate(
    hits: np.ndarray,
    scores: np.ndarray,
    groups: Sequence[str] | None = None,
    *,
    confidence: float = intervals.CONFIDENCE,
) -> intervals.Interval:
    """A share of devices with exact limits, of what devices in groups are worth.

    Args:
        hits: mask of shape `(devices,)`: rejected, passed, whatever is counted.
        scores: what decided on them, of the same shape; how alike devices of a group
            score says what they are worth where too few are hit to show it.
        groups: names of shape `(devices,)`; None takes each device for its own.
        confidence: level of the two-sided limits.

    Reference:
        Korn & Graubard, Survey Methodology 24 (1998) 193, with
        `effective` as the effective sample size.
    """
    hits = np.asarray(hits, dtype=bool)
    if groups is None or not hits.size:
        return intervals.clopper_pearson(hits.sum(), hits.size, confidence=confidence)
    devices = effective(hits, scores, group_numbers(groups), confidence=confidence)
    share = devices / hits.size
    count_worth = min(float(hits.sum()) * share, devices)
    interval = intervals.clopper_pearson(count_worth, devices, confidence=confidence)
    if share == 1:
        return interval
    return intervals.Interval(
        float(np.mean(hits)), interval.low, interval.high, "clopper-pearson-by-group"
    )


def effective(
    hits: np.ndarray,
    scores: np.ndarray,
    group_of: np.ndarray,
    *,
    confidence: float = intervals.CONFIDENCE,
) -> float:
    """How many independent devices tell as much about a rate as these in groups.

    The design effect is the larger of two: the one the hits show themselves (variance
    of the ratio between groups over the binomial's), and, because few hits or none show
    nothing, 1 + (m - 1) rho, with m the mean size of a device's group and rho the
    correlation of hits in a group if normal scores of the devices have the correlation
    that analysis of variance finds. Few groups take Student's t.

    Args:
        hits: mask of shape `(devices,)`.
        scores: array of shape `(devices,)`.
        group_of: number of its group for each device, as `group_numbers` gives it.
        confidence: of the limits that the figure is for.
    """
    sizes = np.bincount(group_of)
    sizes = sizes[sizes > 0].astype(np.float64)
    n, units = float(len(group_of)), len(sizes)
    if units == n:
        return n
    if units == 1:
        return 1.0  # one draw of a group, however many devices it has
    groups = worth(sizes)
    alike = n / groups  # mean size of a device's group
    in_tail = tail_correlation(
        correlation(scores, group_of), (hits.sum() + 1) / (n + 2)
    )
    effect = max(1.0, _observed(hits, group_of), 1 + (alike - 1) * in_tail)
    freedom = max(1.0, groups - 1)
    tail = (1 - confidence) / 2
    few = stats.t.isf(tail, freedom) / stats.norm.isf(tail)
    return n / effect / few**2


def worth(sizes: np.ndarray) -> float:
    """How many groups of equal size these stand for: (sum m)^2 / sum m^2."""
    return float(np.sum(sizes) ** 2 / np.sum(np.square(sizes)))


def _observed(hits: np.ndarray, group_of: np.ndarray) -> float:
    """The design effect that the hits show; 1 where they show none."""
    n, share = len(hits), float(np.mean(hits))
    if share in (0.0, 1.0):
        return 1.0
    sums = np.bincount(group_of, hits - share)
    units = len(np.unique(group_of))
    variance = units / (units - 1) * float(np.sum(sums**2)) / n**2
    return variance / (share * (1 - share) / n)


def correlation(scores: np.ndarray, group_of: np.ndarray) -> float:
    """How alike devices of a group score: intraclass correlation of normal scores.

    Reference:
        Donner, International Statistical Review 54 (1986) 67: analysis of variance.
    """
    normal = special.ndtri((stats.rankdata(scores) - 0.5) / len(scores))
    sizes = np.bincount(group_of)
    kept = sizes > 0
    means = np.bincount(group_of, normal)[kept] / sizes[kept]
    within = float(np.sum(normal**2)) - float(np.sum(sizes[kept] * means**2))
    between = float(np.sum(sizes[kept] * (means - normal.mean()) ** 2))
    units, n = int(kept.sum()), len(normal)
    typical = (n - n / worth(sizes[kept])) / (units - 1)
    between, within = between / (units - 1), max(within, 1e-12) / (n - units)
    return max(0.0, (between - within) / (between + (typical - 1) * within))


def tail_correlation(rho: float, share: float) -> float:
    """Correlation of two exceedances, each of probability `share`, of normals.

    Plackett's identity: the integral of their joint density over the correlation.

    >>> round(tail_correlation(0.5, 0.5), 4), round(tail_correlation(0.5, 0.001), 4)
    (0.3333, 0.0533)
    """
    at = special.ndtri(share)
    angles = np.linspace(0, math.asin(min(rho, 1.0)), 201)
    density = np.exp(-(at**2) / (1 + np.sin(angles))) / (2 * math.pi)
    return float(np.trapezoid(density, angles)) / (share * (1 - share))
