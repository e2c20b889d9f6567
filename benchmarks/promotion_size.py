"""How often a model that is worse by the very margin would pass as no worse.

    python benchmarks/promotion_size.py

Prints, for independent devices and for devices in lots, the share of draws in which
`statistics/non_inferiority` shows that a model is not worse by the margin, when it is
worse by exactly that: at most 5 % by the limits' confidence.
"""

import functools

import numpy as np
from scipy import stats

from nexperia_tf.statistics import non_inferiority

MARGINS = (0.01, 0.02, 0.05)
GAINED = (0.0, 0.002, 0.01, 0.03, 0.1)  # caught by the new model alone


def main(draws: int = 20_000, draws_in_lots: int = 1000, seed: int = 0) -> None:
    """Prints both tables."""
    random = np.random.default_rng(seed)
    print("independent defects; columns: share caught by the new model alone", *GAINED)
    for n in (50, 150, 300, 1000):
        for margin in MARGINS:
            sizes = [independent(n, margin, g, draws, random) for g in GAINED]
            print(f"{n:5} margin {margin:.2f}:", *(f"{size:.3f}" for size in sizes))
    print("defects in lots; columns: correlation of scores in a lot 0, 0.2, 0.5")
    for lots, each in ((10, 30), (30, 10), (100, 10)):
        for margin in MARGINS:
            sizes = [
                in_lots(lots, each, margin, rho, draws_in_lots, random)
                for rho in (0.0, 0.2, 0.5)
            ]
            print(
                f"{lots:4} lots of {each} margin {margin:.2f}:",
                *(f"{size:.3f}" for size in sizes),
            )


def independent(
    n: int, margin: float, gained: float, draws: int, random: np.random.Generator
) -> float:
    """Share of draws that pass, of `n` defects of which each is its own."""
    shares = [gained, gained + margin, 1 - 2 * gained - margin]

    @functools.cache
    def passes(won: int, lost: int) -> bool:
        place = np.arange(n)
        new, old = place < won, (place >= won) & (place < won + lost)
        return non_inferiority.paired(new, old).low > -margin

    drawn = random.multinomial(n, shares, draws)
    return float(np.mean([passes(int(won), int(lost)) for won, lost, _ in drawn]))


def in_lots(
    lots: int,
    each: int,
    margin: float,
    rho: float,
    draws: int,
    random: np.random.Generator,
    *,
    gained: float = 0.005,
) -> float:
    """The same of defects whose lots share a part `rho` of the scores' variance."""
    groups = np.repeat(np.arange(lots), each).astype(str)

    def scored() -> np.ndarray:
        lot, own = random.normal(size=(lots, 1)), random.normal(size=(lots, each))
        return (np.sqrt(rho) * lot + np.sqrt(1 - rho) * own).ravel()

    passed = 0
    for _ in range(draws):
        scores = scored(), scored()
        # Independent networks: each misses so many that the differences are as wanted.
        missed_by_new = stats.norm.ppf(gained + margin)
        missed_by_old = stats.norm.ppf(gained)
        found = non_inferiority.paired(
            scores[0] >= missed_by_new,
            scores[1] >= missed_by_old,
            scores=(*scores, scores[0] - scores[1]),
            groups=groups,
        )
        passed += found.low > -margin
    return passed / draws


if __name__ == "__main__":
    main()
