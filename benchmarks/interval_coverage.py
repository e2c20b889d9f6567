"""Claim: the headline interval covers the truth where DeLong does not.

Simulates 827 defects and 3,003 good devices at a true AUC of .998, as in the study, in
three shapes of score, and counts how often each nominal 95 % interval holds the truth.
A fourth shape shows where the headline fails, too: when all errors come from one defect
in a hundred. Then it counts how often a guaranteed threshold breaks its promise. About
a minute on one core:

    python benchmarks/interval_coverage.py [SIMULATIONS]
"""

import sys
from collections.abc import Callable

import numpy as np
from scipy import stats

from nexperia_tf.statistics import certificate, intervals

N_DEFECT, N_GOOD, AUC = 827, 3003, 0.998
LABELS = np.repeat([1, 0], [N_DEFECT, N_GOOD])
METHODS = {
    "Newcombe 5 (headline)": intervals.newcombe,
    "logit-DeLong": intervals.logit_delong,
    "DeLong": intervals.delong,
}
Draw = Callable[[np.random.Generator], np.ndarray]


def bell(random: np.random.Generator) -> np.ndarray:
    """Both classes normal, defects wider: AUC = Phi(d / sqrt(1 + 1.5 ** 2))."""
    scores = random.normal(size=len(LABELS))
    distance = stats.norm.ppf(AUC) * np.sqrt(1 + 1.5**2)
    scores[:N_DEFECT] = 1.5 * scores[:N_DEFECT] + distance
    return scores


def crowded(random: np.random.Generator) -> np.ndarray:
    """Scores crowd at 1: defects U**(1/k) against good U, AUC = k / (k + 1)."""
    scores = random.random(len(LABELS))
    scores[:N_DEFECT] **= (1 - AUC) / AUC
    return scores


def hard(share: float) -> Draw:
    """A `share` of the defects is hardly visible, the others are plain.

    AUC = 1 - share + share * Phi(d / sqrt(2)) for a distance d of the hard ones.
    """

    def draw(random: np.random.Generator) -> np.ndarray:
        scores = random.normal(size=len(LABELS))
        distance = stats.norm.ppf(1 - (1 - AUC) / share) * np.sqrt(2)
        is_hard = random.random(N_DEFECT) < share
        scores[:N_DEFECT] += np.where(is_hard, distance, 12)  # 12 sigma never overlap
        return scores

    return draw


SHAPES: dict[str, Draw] = {"bell": bell, "crowded": crowded, "5 % hard": hard(0.05)}
BEYOND: dict[str, Draw] = {"1 % hard": hard(0.01)}  # no interval here holds its level


def coverage(draw: Draw, simulations: int, *, seed: int = 0) -> dict[str, float]:
    """Share of simulations whose interval holds the true AUC, by method."""
    random = np.random.default_rng(seed)
    held = dict.fromkeys(METHODS, 0)
    for _ in range(simulations):
        scores = draw(random)
        for name, method in METHODS.items():
            found = method(LABELS, scores)
            held[name] += found is not None and found.low <= AUC <= found.high
    return {name: count / simulations for name, count in held.items()}


def violations(max_escape: float, simulations: int, *, seed: int = 0) -> float:
    """Share of simulations whose threshold lets more than `max_escape` pass.

    Scores of defects are uniform: the escape rate of a threshold is the threshold.
    """
    random = np.random.default_rng(seed)
    chosen = (
        certificate.choose(random.random(N_DEFECT), max_escape=max_escape)
        for _ in range(simulations)
    )
    return float(np.mean([found.threshold > max_escape for found in chosen]))


def main(simulations: int) -> None:
    print(f"{simulations} simulations, {N_DEFECT} defects, {N_GOOD} good, AUC {AUC}")
    for shape, draw in (SHAPES | BEYOND).items():
        for name, share in coverage(draw, simulations).items():
            print(f"{shape:9} {name:22} covers {100 * share:5.1f} % of the time")
    delta = 1 - certificate.CONFIDENCE
    allowed = delta + 3 * np.sqrt(delta * (1 - delta) / simulations)
    for max_escape in (0.005, 0.007, 0.009):
        broken = violations(max_escape, simulations)
        print(
            f"escape rate <= {100 * max_escape:.1f} %: promise broken in "
            f"{100 * broken:.2f} % of runs, {100 * allowed:.2f} % allowed"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
