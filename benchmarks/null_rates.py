"""Claim: equal runs are called distinguishable in 1 % of cases at most, at any lots.

Nulls: runs that differ by device only, runs of which each lot favours one at random,
and runs of equal AUC whose scores are shaped differently. Power stands beside, so that
this is not reached by never deciding, and the family-wise error of 28 comparisons. The
older rule (paired DeLong and a bootstrap by group, both p < .01) beside it. Some ten
minutes on one core:

    python benchmarks/null_rates.py [SIMULATIONS]
"""

import sys

import numpy as np

from nexperia_tf.statistics import comparison

LOTS = (2, 3, 5, 8, 15, 30)
LEVEL = comparison.SIGNIFICANCE
RUNS = 8  # 28 comparisons


def runs_of(random, lots: int, size: int, *, favours=0.0, apart=0.0, wider=1.0, runs=2):
    """Labels, scores of each run and lots.

    Args:
        random: generator.
        lots, size: how many, and devices in each.
        favours: how far each lot moves the defects of each run on its own.
        apart: how far the last run sees defects better.
        wider: spread of the last run's defects; its AUC stays that of the others.
        runs: how many.
    """
    lot = np.repeat(np.arange(lots), size)
    shares = np.clip(0.25 + 0.1 * random.normal(size=lots), 0.05, 0.6)
    labels = random.random(len(lot)) < shares[lot]
    labels[:2] = True, False
    common = random.normal(size=len(lot)) + 0.5 * random.normal(size=lots)[lot]
    scores = []
    for place in range(runs):
        last = place == runs - 1
        # Variance of a defect minus a good device, common parts and own, by class.
        own = 0.7 * random.normal(size=len(lot))
        liked = favours * random.normal(size=lots)[lot]
        distance = 2.0 + (apart if last else 0.0)
        spread = np.where(labels, wider, 1.0) if last else 1.0
        if last and wider != 1:
            part = 1 + 0.25 + 0.49
            distance *= np.sqrt((part * (1 + wider**2)) / (2 * part))
        scores.append(spread * (common + own) + labels * (distance + liked))
    return labels, scores, np.array([f"lot{i}" for i in lot])


def rates(lots: int, size: int, simulations: int, *, seed=0, replicates=2, **how):
    """Share of simulations by verdict, and what the older rule would call apart."""
    random = np.random.default_rng(seed)
    counts, older = dict.fromkeys((comparison.APART, comparison.TOO_FEW), 0), 0
    for _ in range(simulations):
        labels, scores, names = runs_of(random, lots, size, **how)
        found = comparison.compare(labels, scores, groups=names, replicates=replicates)[
            0, 1
        ]
        if found.words in counts:
            counts[found.words] += 1
        older += max(found.p_delong, found.p_bootstrap) < LEVEL
    return *(count / simulations for count in counts.values()), older / simulations


def family_errors(lots: int | None, size: int, simulations: int, *, seed=0, **how):
    """Share of families of 28 in which any pair of equal runs is called apart."""
    random = np.random.default_rng(seed)
    wrong = 0
    for _ in range(simulations):
        labels, scores, names = runs_of(random, lots or 1, size, runs=RUNS, **how)
        groups = names if lots else None
        few = {} if groups is None else {"replicates": 2}
        found = comparison.compare(labels, scores, groups=groups, **few)
        assert len(found) == RUNS * (RUNS - 1) // 2
        wrong += any(one.distinguishable for one in found.values())
    return wrong / simulations


NULLS = {
    "plain": {},
    "each lot favours one": {"favours": 0.7},
    "other shape": {"wider": 1.6},
}


def main(simulations: int) -> None:
    allowed = LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / simulations)
    print(f"{simulations} simulations, nominal {LEVEL}, allowed {allowed:.4f}")
    for size in (20, 80):
        for name, how in NULLS.items():
            for lots in LOTS:
                apart, too_few, _ = rates(lots, size, simulations, **how)
                print(
                    f"{lots:3} lots of {size}, {name:21}: {apart:.4f} called apart, "
                    f"{too_few:.2f} too few lots",
                    flush=True,
                )
    few = max(1, simulations // 8)
    print(f"the older rule, {few} simulations")
    for lots in LOTS[:4]:
        how = NULLS["each lot favours one"]
        print(
            f"{lots:3} lots of 80: "
            f"{rates(lots, 80, few, replicates=200, **how)[2]:.4f} called apart",
            flush=True,
        )
    print(f"power, {few} simulations: share called apart")
    for favours in (0.0, 0.7):
        for apart in (0.3, 0.6, 1.0):
            found = [
                rates(lots, 80, few, favours=favours, apart=apart)[0]
                for lots in (8, 15, 30)
            ]
            shown = ", ".join(f"{share:.2f}" for share in found)
            print(
                f"lots favour {favours}, better by {apart}: {shown} at 8, 15, 30 lots",
                flush=True,
            )
    families = max(1, simulations // 4)
    allowed = LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / families)
    print(f"families of 28, {families} simulations, allowed {allowed:.4f}")
    for lots, size, how in (
        (15, 40, {}),
        (15, 40, NULLS["each lot favours one"]),
        (30, 40, NULLS["each lot favours one"]),
        (None, 400, {}),
    ):
        kind = "devices alone" if lots is None else f"{lots} lots of {size}"
        print(
            f"{kind}, {how or 'plain'}: "
            f"{family_errors(lots, size, families, **how):.4f} with any called apart",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
