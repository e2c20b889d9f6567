"""Claim: limits of overkill hold, at a true catch rate and at a given threshold.

Two quantities. The overkill at the true catch rate: the judged defects set the
threshold themselves, `catch_rate.overkill`; beside it the older rule (Clopper and
Pearson at these defects' threshold) and the trivial union (order statistics and Clopper
and Pearson with half of the error each). The overkill of a threshold that was chosen
elsewhere: `clustered.rate`, for devices alone and in lots. Where an upper limit is not
given, 1 is one. Some three minutes on one core:

    python benchmarks/overkill_coverage.py [SIMULATIONS]
"""

import dataclasses
import sys
from collections.abc import Callable

import numpy as np
from scipy import optimize, special, stats

from nexperia_tf.statistics import catch_rate, clustered, intervals, metrics

SIZES = ((827, 3003), (131, 287), (108, 424))  # defects and good devices
TARGETS = (0.991, 0.993, 0.995, 0.997)
AUC = 0.998
ERROR = 0.05


@dataclasses.dataclass(frozen=True)
class Shape:
    """Scores of both classes: `draw(random, n, defects)`, and the true ROC."""

    draw: Callable[[np.random.Generator, int, bool], np.ndarray]
    threshold: Callable[[float], float]  # by escape rate
    overkill: Callable[[float], float]  # by threshold


def bell(step: float = 0.0) -> Shape:
    """Both classes normal, defects wider; rounded down to steps there are ties."""
    distance = stats.norm.ppf(AUC) * np.sqrt(1 + 1.5**2)
    tied = (lambda s: np.floor(s / step) * step) if step else (lambda s: s)

    def draw(random, n, defects):
        scores = random.normal(size=n)
        return tied(1.5 * scores + distance if defects else scores)

    def threshold(escape):
        return tied(distance + 1.5 * stats.norm.ppf(escape))

    return Shape(draw, threshold, stats.norm.sf)


def crowded() -> Shape:
    """Scores crowd at 1: defects U**(1/k) against good U, AUC = k / (k + 1)."""
    power = (1 - AUC) / AUC

    def draw(random, n, defects):
        scores = random.random(n)
        return scores**power if defects else scores

    return Shape(draw, lambda escape: escape**power, lambda at: 1 - at)


def hard(share: float) -> Shape:
    """A `share` of the defects is hardly visible, the others are plain."""
    distance = stats.norm.ppf(1 - (1 - AUC) / share) * np.sqrt(2)

    def draw(random, n, defects):
        scores = random.normal(size=n)
        if not defects:
            return scores
        return scores + np.where(random.random(n) < share, distance, 12)

    def threshold(escape):
        below = lambda at: share * stats.norm.cdf(at - distance) - escape  # noqa: E731
        return optimize.brentq(below, -20, 20)

    return Shape(draw, threshold, stats.norm.sf)


SHAPES = {
    "bell": bell(),
    "bell, tied": bell(0.25),
    "crowded": crowded(),
    "5 % hard": hard(0.05),
}


def older(labels, scores, target) -> tuple[float, float]:
    """Clopper and Pearson at the threshold that these defects set."""
    (point,) = metrics.fpr_at_tpr(labels, scores, [target])
    found = intervals.clopper_pearson(point.false_calls, int(np.sum(labels == 0)))
    return found.low, found.high


def union(labels, scores, target) -> tuple[float, float]:
    """Order statistics and Clopper-Pearson, each with half of the error."""
    defects, good = np.sort(scores[labels == 1]), scores[labels == 0]
    each, n = ERROR / 4, good.size
    rank = int(stats.binom.ppf(each, defects.size, 1 - target))
    high = 1.0
    if rank:
        count = int(np.sum(good >= defects[rank - 1]))
        high = special.betaincinv(count + 1, n - count, 1 - each) if count < n else 1.0
    rank = int(stats.binom.isf(each, defects.size, 1 - target)) + 1
    count = int(np.sum(good >= defects[rank - 1]))
    low = special.betaincinv(count, n - count + 1, each) if count else 0.0
    return float(low), float(high)


def at_catch_rate(shape: Shape, sizes: tuple[int, int], simulations: int, *, seed=0):
    """Per target: coverage of ours, of the older rule and of the union; both widths."""
    random = np.random.default_rng(seed)
    labels = np.repeat([1, 0], sizes)
    held, widths = np.zeros((len(TARGETS), 3)), np.zeros((len(TARGETS), 2))
    given = np.zeros(len(TARGETS), dtype=bool)
    for _ in range(simulations):
        drawn = [shape.draw(random, n, d) for n, d in zip(sizes, (True, False))]
        scores = np.concatenate(drawn)
        for place, one in enumerate(catch_rate.overkill(labels, scores, TARGETS)):
            target = TARGETS[place]
            true = shape.overkill(shape.threshold(1 - target))
            given[place] = one.high is not None
            ours = one.low, 1.0 if one.high is None else one.high
            both = union(labels, scores, target)
            every = ours, older(labels, scores, target), both
            held[place] += [low <= true <= high for low, high in every]
            widths[place] += ours[1] - ours[0], both[1] - both[0]
    return held / simulations, widths / simulations, given


def at_threshold(
    lots: int, size: int, alike: float, rate: float, simulations: int, *, seed=0
) -> tuple[float, float]:
    """Coverage at a fixed threshold: by lot, and as if devices stood alone."""
    random = np.random.default_rng(seed)
    lot_of = np.repeat(np.arange(lots), size)
    names = np.array([f"lot{i}" for i in lot_of])
    held = np.zeros(2)
    for _ in range(simulations):
        scores = np.sqrt(alike) * random.normal(size=lots)[lot_of]
        scores += np.sqrt(1 - alike) * random.normal(size=len(lot_of))
        hits = scores >= stats.norm.isf(rate)
        for place, groups in enumerate((names, None)):
            found = clustered.rate(hits, scores, groups)
            held[place] += found.low <= rate <= found.high
    return tuple(held / simulations)


def at_catch_rate_by_lot(
    lots: int, size: int, alike: float, target: float, simulations: int, *, seed=0
) -> tuple[float, float, float]:
    """Coverage by lot and as if devices stood alone; share with an upper limit."""
    random = np.random.default_rng(seed)
    lot_of = np.repeat(np.arange(lots), size)
    names = np.array([f"lot{i}" for i in lot_of])
    distance, spread = 4.0, np.sqrt(1.5**2 + alike)
    true = stats.norm.sf(distance + spread * stats.norm.ppf(1 - target))
    found = np.zeros(3)
    for _ in range(simulations):
        shares = special.expit(special.logit(0.25) + random.normal(size=lots))
        labels = random.random(len(lot_of)) < shares[lot_of]
        moved, seen = np.sqrt(alike) * random.normal(size=(2, lots))
        noise = random.normal(size=len(lot_of))
        wide = np.sqrt(1.5**2 - alike)
        scores = moved[lot_of] + np.where(
            labels, distance + seen[lot_of] + wide * noise, np.sqrt(1 - alike) * noise
        )
        for place, groups in enumerate((names, None)):
            (one,) = catch_rate.overkill(labels, scores, [target], groups=groups)
            high = 1.0 if one.high is None else one.high
            found[place] += one.low <= true <= high
            found[2] += place == 0 and one.high is not None
    return tuple(found / simulations)


def main(simulations: int) -> None:
    print(f"{simulations} simulations, AUC {AUC}, nominal {1 - ERROR:.2f}")
    print("at the true catch rate: coverage (width); the older rule; the trivial union")
    for sizes in SIZES:
        for name, shape in SHAPES.items():
            held, widths, given = at_catch_rate(shape, sizes, simulations)
            for place, target in enumerate(TARGETS):
                ours, old, both = held[place]
                upper = "" if given[place] else "  no upper limit"
                print(
                    f"{sizes[0]:4} + {sizes[1]:4} {name:11} TPR {target:.3f}: "
                    f"{ours:.3f} ({widths[place, 0]:.3f})  older {old:.3f}  union "
                    f"{both:.3f} ({widths[place, 1]:.3f}){upper}"
                )
    print("at a threshold chosen elsewhere: coverage by lot; as if devices stood alone")
    for sizes in SIZES:
        for rate in (0.003, 0.02, 0.2):
            held = at_threshold(sizes[1], 1, 0.0, rate, simulations)
            print(f"{sizes[1]:4} good devices alone, rate {rate:.3f}: {held[1]:.3f}")
    few = max(1, simulations // 4)
    for lots, size in ((7, 100), (15, 20), (15, 100), (30, 100)):
        for alike in (0.0, 0.05, 0.2, 0.5):
            for rate in (0.003, 0.02, 0.2):
                held = at_threshold(lots, size, alike, rate, few)
                print(
                    f"{lots:3} lots of {size:3}, alike {alike:.2f}, rate {rate:.3f}: "
                    f"{held[0]:.3f}; {held[1]:.3f}"
                )
    print("at the true catch rate, in lots: coverage; as if alone; with upper limit")
    for lots, size in ((7, 100), (15, 100), (30, 100), (100, 100)):
        for alike in (0.0, 0.05, 0.2, 0.5):
            for target in (0.9, 0.97, 0.99):
                held = at_catch_rate_by_lot(lots, size, alike, target, few)
                print(
                    f"{lots:3} lots of {size:3}, alike {alike:.2f}, TPR {target:.2f}: "
                    f"{held[0]:.3f}; {held[1]:.3f}; {held[2]:.2f}"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
