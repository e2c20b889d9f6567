"""Claim: what `--recipe search` promises of what it takes holds on other devices.

Simulates searches among eight recipes whose true AUCs differ a little around .80, on
three parts of 300 devices in 20 groups each, with `statistics/halving`: screening on
one part, deciding on the others. Prints the AUC that the last round shows, the one that
is corrected for the choice, and the truth; then what `halving.LEAST_BETTER` gains and
costs.

    python benchmarks/recipe_search.py
"""

import argparse

import numpy as np
from scipy import special, stats

from nexperia_tf.statistics import halving

RUNGS, KEEPS = ((0,), (0,), (1, 2)), (4, 2)
NAMES = ("standard", *(f"recipe {n}" for n in range(1, 8)))
DEVICES, GROUPS, DEFECTS = 300, 20, 0.3  # of a part
ALIKE = 0.7  # of a score's variance is the device's, whatever the recipe
MEAN = np.sqrt(2) * stats.norm.ppf(0.80)  # of defects' scores: AUC .80
ASKED = (0, 0.5, 0.7, 0.8, 0.9, 0.95)  # shares of resamplings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=400)
    asked = parser.parse_args()
    random = np.random.default_rng(0)
    for spread in (0.05, 0.1):
        show(spread, [searched(random, spread, n) for n in range(asked.searches)])


def auc_of(gains):
    """True AUC of scores that are so much higher for defects."""
    return special.ndtr(gains / np.sqrt(2))


def searched(random: np.random.Generator, spread: float, seed: int) -> dict:
    """One search: what it shows, promises and takes, and the truth."""
    gains = dict(zip(NAMES, MEAN + random.normal(0, spread, len(NAMES))))
    last = tried(random, gains)
    found = halving.choose(last, standard="standard", seed=seed, replicates=300)
    return {
        "shown": max(halving.means(last, len(RUNGS) - 1).values()),
        "corrected": found.corrected.value,
        "standard": auc_of(gains["standard"]),
        "best": auc_of(gains[found.best]),
        "better_in": found.better_in,
        "held": found.corrected.low
        <= auc_of(gains[found.best])
        <= found.corrected.high,
    }


def tried(random: np.random.Generator, gains: dict) -> list[halving.Trial]:
    """The trials of the last round."""
    parts = [
        (
            (random.random(DEVICES) < DEFECTS).astype(int),
            [f"{part}-{group}" for group in random.integers(0, GROUPS, DEVICES)],
            random.normal(size=DEVICES),
        )
        for part in range(3)
    ]
    alive = NAMES
    for rung, places in enumerate(RUNGS):
        trials = []
        for name in alive:
            for part in places:
                labels, groups, own = parts[part]
                noise = np.sqrt(1 - ALIKE) * random.normal(size=DEVICES)
                scores = gains[name] * labels + np.sqrt(ALIKE) * own + noise
                trials.append(halving.Trial(name, rung, part, labels, scores, groups))
        if rung < len(KEEPS):
            aucs = halving.means(trials, rung)
            alive = halving.survivors(aucs, KEEPS[rung], standard="standard")
    return trials


def show(spread: float, found: list[dict]) -> None:
    """Prints means over searches."""
    column = {name: np.array([each[name] for each in found]) for name in found[0]}
    deviation = spread * stats.norm.pdf(MEAN / np.sqrt(2)) / np.sqrt(2)
    print(f"true AUCs differ by some {deviation:.3f}; {len(found)} searches")
    for name in ("shown", "corrected", "best", "standard"):
        print(f"  {name:9} {column[name].mean():.4f}")
    print(f"  95 % limits of the corrected one hold {column['held'].mean():.3f}")
    for share in ASKED:
        takes = column["better_in"] >= share
        gain = np.where(takes, column["best"], column["standard"]) - column["standard"]
        worse = (gain < -1e-9).mean()
        print(f"  asked for {share:4}: gain {gain.mean():.4f}, worse {worse:.3f}")


if __name__ == "__main__":
    main()
