"""What devices that come in groups can certify about a share of them.

Devices of a lot resemble each other: where one defect is missed, so is the next. What
is counted here are therefore groups that hold a miss, never the misses. If a share
`rate` of all defects is missed and two of a group agree with correlation `rho`, a group
of m holds a miss with at least the probability `hit_probability` gives, whatever the
lots are like (a sharp bound from two moments), and groups are independent: the tail of
their count is exact. For groups of one device this is the binomial of before; at rho 1
each group counts as one device.

`rho` is unknown and, with no defect missed, cannot be seen at the threshold itself. Its
upper limit comes from a threshold at which twice as many would be missed. Two things
are assumed for it, and reports say so: lots differ no more at the stricter threshold
(the variance of their miss rates does not grow as fewer are missed), and their miss
rates there are spread like a beta distribution. A kind of lot rarer than one in G / 3
may not be among G lots at all, so few groups, and rates below one in G, get rho 1.
benchmarks/guarantee.py measures how far this carries.
"""

import dataclasses
import functools
import math

import numpy as np
from scipy import optimize, special, stats

from nexperia_tf.statistics import clustered

FEWEST = 50  # groups, of equal size, that tell how alike the devices of one are
LEVEL = 2.0  # times the rate to certify: where likeness is looked for
EVENTS = 10  # fewest devices missed there
SHARE = 0.25  # of the failure chance is for the limit of rho
RHOS = np.concatenate([[1e-6], np.geomspace(5e-4, 0.98, 70)])
MEANS = np.geomspace(0.2, 5, 21)  # of the beta distribution, times the share found

DEVICES, LIMITED, UNITS = "devices", "groups", "groups as units"


@dataclasses.dataclass(frozen=True)
class Bound:
    """What the devices of one class can certify.

    Attributes:
        sizes: devices in each group.
        delta: chance that the guarantee may fail, for a rate.
        level: share of devices below the threshold that showed how alike groups are;
            None where it was not looked for.
        likeness: upper limit of rho there.
    """

    sizes: np.ndarray
    delta: float
    level: float | None = None
    likeness: float = 1.0

    @property
    def method(self) -> str:
        if (self.sizes == 1).all():
            return DEVICES
        return UNITS if self.level is None else LIMITED

    @property
    def left(self) -> float:
        """The failure chance that the count of groups may have."""
        return self.delta * (1 - SHARE) if self.method == LIMITED else self.delta

    def rho(self, rate: float) -> float:
        """Upper limit of the correlation of being missed, when `rate` are missed."""
        if self.level is None or rate >= self.level:
            return self.likeness
        spread = self.likeness * self.level * (1 - self.level)
        return min(1.0, spread / (rate * (1 - rate)))

    def allowed(self, rate: float) -> int:
        """Groups that may hold a miss and still certify `rate`; -1: not even none."""
        if self.method == LIMITED and rate * clustered.worth(self.sizes) < 1:
            return -1
        return allowed(self.sizes, rate, rho=self.rho(rate), delta=self.left)

    def certified(self, hit: int) -> float:
        """The smallest rate that `hit` groups with a miss certify."""
        if self.method != LIMITED:
            return _one_sided(hit, len(self.sizes), self.delta)

        def short(rate: float) -> float:
            return 0.5 - (self.allowed(rate) >= hit)

        lowest = 1 / clustered.worth(self.sizes)
        if short(lowest) < 0:
            return lowest
        # Groups as units certify this much, with less.
        highest = _one_sided(hit, len(self.sizes), self.left)
        if highest >= 1 or short(highest) > 0:
            return highest
        return optimize.bisect(short, lowest, highest, xtol=1e-6) + 1e-6

    def effective(self, rate: float) -> float:
        """Independent devices that would certify as much when none is missed."""
        missed = _hits(self.sizes, rate, self.rho(rate))
        return float(np.sum(np.log1p(-missed)) / math.log1p(-rate))

    def groups_needed(self, rate: float) -> int:
        """Fewest groups like these that could certify `rate`, none holding a miss."""
        needed = _runs_needed(rate, self.delta)
        if self.method != LIMITED:
            return needed
        hit = float(np.mean(_hits(self.sizes, rate, self.rho(rate))))
        unequal = len(self.sizes) / clustered.worth(self.sizes)
        enough = max(FEWEST, 1 / rate) * unequal
        return min(needed, max(math.ceil(enough), _runs_needed(hit, self.left)))

    def devices_needed(self, rate: float) -> int:
        """Fewest devices that could certify `rate`: in such groups, or one of each."""
        each = float(np.mean(self.sizes)) if self.method == LIMITED else 1
        return math.ceil(round(self.groups_needed(rate) * each, 6))


def bound(
    scores: np.ndarray, groups: np.ndarray | None, *, rate: float, delta: float
) -> Bound:
    """What devices with these scores can certify about a share `rate` of their kind.

    Args:
        scores: array of shape `(devices,)`; the lowest are missed first.
        groups: names of shape `(devices,)`; None: each device is its own.
        rate: the share to certify, in (0, 1).
        delta: chance that the guarantee may fail, in (0, 1).
    """
    if groups is None:
        return Bound(np.ones(len(scores), dtype=int), delta)
    index = clustered.group_numbers(np.asarray(groups, dtype=str))
    sizes = np.bincount(index)
    units = Bound(sizes, delta)
    if units.method == DEVICES or clustered.worth(sizes) < FEWEST:
        return units
    best = allowed(sizes, rate, rho=0.0, delta=delta * (1 - SHARE))
    if units.allowed(rate) >= max(best, 0):
        return units  # a limit of rho would cost more than it brings
    level = max(LEVEL * rate, LEVEL / clustered.worth(sizes), EVENTS / len(scores))
    count = math.ceil(level * len(scores))
    if count > len(scores) / 2:
        return units
    missed = scores <= np.partition(scores, count - 1)[count - 1]
    if missed.mean() > 0.5:  # ties
        return units
    hits = np.bincount(index, weights=missed).astype(int)
    likeness = rho_limit(sizes, hits, delta=delta * SHARE)
    return Bound(sizes, delta, level=float(missed.mean()), likeness=likeness)


def lowest(scores: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The lowest score of each group, sorted."""
    if groups is None:
        return np.sort(scores)
    index = clustered.group_numbers(np.asarray(groups, dtype=str))
    minima = np.full(index.max() + 1, np.inf)
    np.minimum.at(minima, index, scores)
    return np.sort(minima)


def hit_probability(size: np.ndarray, rate: float, rho: float) -> np.ndarray:
    """Least probability that a group of `size` holds one of a share `rate`.

    Args:
        size: devices in the group; any shape.
        rate: probability of each.
        rho: intraclass correlation of two of them.

    >>> hit_probability(np.array([1, 10]), 0.01, 0.0).round(4)  # 1 - .99^10 = .0956
    array([0.01  , 0.0955])
    >>> hit_probability(np.array([1, 10]), 0.01, 1.0).round(4)
    array([0.01, 0.01])

    Reference:
        Dawson & Sankoff, Proceedings of the AMS 18 (1967) 504.
    """
    size = np.asarray(size, dtype=np.float64)
    single = size * rate
    pairs = size * (size - 1) / 2 * (rate**2 + rho * rate * (1 - rate))
    k = 1 + np.floor(2 * pairs / single)
    return 2 * single / (k + 1) - 2 * pairs / (k * (k + 1))


def allowed(sizes: np.ndarray, rate: float, *, rho: float, delta: float) -> int:
    """Most groups with a miss, were `rate` exceeded, at a chance of at most `delta`.

    Returns:
        the count, or -1 when even none has a larger chance.
    """
    return int(np.sum(np.cumsum(_hit_counts(sizes, rate, rho))[:-1] <= delta)) - 1


def rho_limit(sizes: np.ndarray, hits: np.ndarray, *, delta: float) -> float:
    """Upper limit of rho from `hits` of `sizes` devices: a profile likelihood.

    The largest rho of a beta-binomial, its mean profiled out, that the likelihood
    ratio does not reject at `delta`; 1 where it rejects none.

    Args:
        sizes, hits: int arrays of shape `(groups,)`.
    """
    pairs, counts = np.unique(np.stack([sizes, hits]), axis=1, return_counts=True)
    likelihoods = _profile(pairs, counts, float(hits.sum() / sizes.sum()))
    plausible = 2 * (likelihoods.max() - likelihoods) <= stats.norm.ppf(1 - delta) ** 2
    last = int(np.flatnonzero(plausible).max())
    return 1.0 if last == len(RHOS) - 1 else float(RHOS[last + 1])


def _profile(pairs: np.ndarray, counts: np.ndarray, share: float) -> np.ndarray:
    """Log likelihood of each of RHOS at its best mean; pairs are size and hits."""
    mean = np.clip(share * MEANS, 1e-9, 0.95)
    rho = RHOS[:, np.newaxis]
    a, b = mean * (1 - rho) / rho, (1 - mean) * (1 - rho) / rho  # (rhos, means)
    total = -counts.sum() * special.betaln(a, b)
    for (size, hit), count in zip(pairs.T, counts):
        total += count * special.betaln(a + hit, b + size - hit)
    return total.max(axis=1)


def _hits(sizes: np.ndarray, rate: float, rho: float) -> np.ndarray:
    return np.clip(hit_probability(sizes, rate, rho), 0, 1 - 1e-12)


def _hit_counts(sizes: np.ndarray, rate: float, rho: float) -> np.ndarray:
    """Probability of each number of groups with a miss, from 0 to all."""
    kinds, numbers = np.unique(sizes, return_counts=True)
    parts = [
        np.diff(special.bdtr(np.arange(number + 1.0), number, hit), prepend=0.0)
        for number, hit in zip(numbers, _hits(kinds, rate, rho))
    ]
    return functools.reduce(np.convolve, parts)


def _one_sided(hit: int, trials: int, delta: float) -> float:
    """Upper Clopper-Pearson limit at `1 - delta`."""
    return float(special.betaincinv(hit + 1, trials - hit, 1 - delta))


def _runs_needed(chance: float, delta: float) -> int:
    """Fewest trials that, at this chance each, all fail with at most `delta`."""
    return math.ceil(round(math.log(delta) / math.log1p(-chance), 9))
