"""Claim: the AUC's interval holds at 3, 7, 15, 30 and 100 lots, where one is given.

Lots move the scores of both classes, show their defects more or less plainly and hold
more or fewer of them; `alike` is the correlation of two good devices of a lot. The true
AUC is that of a defect and a good device of other lots. Beside it the older rule,
Newcombe's method 5 as if devices stood alone. Some ten minutes on one core for all:

    python benchmarks/group_coverage.py [SIMULATIONS [LOTS ...]]
"""

import dataclasses
import functools
import sys

import numpy as np
from scipy import special, stats

from nexperia_tf.statistics import clustered, intervals

LOTS, SIZES, AUCS = (3, 7, 15, 30, 100), (20, 100), (0.8, 0.9, 0.98, 0.998)
HOLDS = 0.92


@dataclasses.dataclass(frozen=True)
class Kind:
    """How lots differ.

    Attributes:
        alike: share of the variance that the lot has, in scores of good devices.
        prevalence: share of defects in the typical lot.
        differ: standard deviation of its log-odds between lots.
        tied: correlation of a lot's share of defects with its light.
        unequal: whether lots differ in size.
        apart: whether each lot holds one class only.
    """

    alike: float
    prevalence: float = 0.2
    differ: float = 1.0
    tied: float = 0.0
    unequal: bool = False
    apart: bool = False


KINDS = {
    "lots all alike": Kind(0.0, differ=0.0),
    "alike .05": Kind(0.05),
    "alike .2": Kind(0.2),
    "alike .5": Kind(0.5),
    "alike .2, uneven, defects in dark lots": Kind(0.2, tied=0.7, unequal=True),
    "alike .2, 5 % defects": Kind(0.2, prevalence=0.05),
    "alike .3, lots of one class": Kind(0.3, apart=True),
}


def draw(random, lots: int, size: int, auc: float, kind: Kind):
    """Labels, scores and lot numbers of one test set."""
    sizes = np.full(lots, size)
    if kind.unequal:
        weights = random.lognormal(0, 0.8, lots)
        sizes = np.maximum(4, np.round(weights / weights.mean() * size)).astype(int)
    lot = np.repeat(np.arange(lots), sizes)
    light, share = _lots(random, lots, kind)
    labels = random.random(len(lot)) < share[lot]
    if kind.apart:
        labels = lot < max(1, round(0.4 * lots))
    seen = np.sqrt(kind.alike) * random.normal(size=lots)
    scores = light[lot] + np.sqrt(1 - kind.alike) * random.normal(size=len(lot))
    return labels, scores + labels * (seen[lot] + _distance(auc, kind)), lot


def _lots(random, lots: int, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """The light of each lot, and its share of defects."""
    common, own = random.normal(size=(2, lots))
    light = np.sqrt(kind.alike) * (kind.tied * common + np.sqrt(1 - kind.tied**2) * own)
    return light, special.expit(special.logit(kind.prevalence) + kind.differ * common)


def _distance(auc: float, kind: Kind) -> float:
    return stats.norm.ppf(auc) * np.sqrt(2 + kind.alike)


@functools.cache
def truth(auc: float, kind: Kind, pairs: int = 2_000_000) -> float:
    """The AUC between lots; by simulation where prevalence goes with the light."""
    if not kind.tied:
        return auc
    random = np.random.default_rng(1)
    (light, share), (other, others) = (_lots(random, pairs, kind) for _ in range(2))
    spread = np.sqrt(2 * (1 - kind.alike) + kind.alike)
    wins = stats.norm.cdf((_distance(auc, kind) + light - other) / spread)
    return float(np.average(wins, weights=share * (1 - others)))


def coverage(lots: int, size: int, auc: float, kind: Kind, simulations: int, *, seed=0):
    """Coverage where given, share refused, median width; the older rule's coverage."""
    random = np.random.default_rng(seed)
    true, widths, held, older = truth(auc, kind), [], [], []
    done = 0
    while done < simulations:
        labels, scores, lot = draw(random, lots, size, auc, kind)
        if min(labels.sum(), (~labels).sum()) < 2:
            continue  # nothing to judge
        done += 1
        names = np.array([f"lot{i}" for i in lot])
        found = clustered.headline(labels, scores, names)
        if found.low is not None:
            held.append(found.low <= true <= found.high)
            widths.append(found.high - found.low)
        plain = intervals.newcombe(labels, scores)
        older.append(plain.low <= true <= plain.high)
    if not held:
        return None, 1.0, None, float(np.mean(older))
    refused = 1 - len(held) / simulations
    return np.mean(held), refused, np.median(widths), float(np.mean(older))


def main(simulations: int, *counts: int) -> None:
    for lots in counts or LOTS:
        every = []
        for size in SIZES:
            for auc in AUCS:
                for name, kind in KINDS.items():
                    found = coverage(lots, size, auc, kind, simulations)
                    every.append(found)
                    said = "refused" if found[0] is None else f"{found[0]:.3f}"
                    width = "" if found[2] is None else f", width {found[2]:.3f}"
                    print(
                        f"{lots:3} lots of {size:3}, AUC {auc:5}, {name:38}: {said}, "
                        f"{100 * found[1]:3.0f} % refused{width}; older {found[3]:.3f}",
                        flush=True,
                    )
        given = [found[0] for found in every if found[0] is not None and found[1] < 0.9]
        below = sum(share < HOLDS for share in given)
        print(
            f"{lots:3} lots: covers {min(given):.3f} at least, {np.mean(given):.3f} on "
            f"average, {below} of {len(given)} settings below {HOLDS}; refused "
            f"{np.mean([found[1] for found in every]):.2f}; the older rule "
            f"{min(f[3] for f in every):.3f} and {np.mean([f[3] for f in every]):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:] or ["250"]))
