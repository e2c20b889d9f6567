"""Makes a score of .2 mean a defect in one of five devices.

Platt scaling: every logit is multiplied by one positive number and shifted by another,
both fitted on the validation split. The first corrects over- or underconfidence, the
second the share of defects: training that balances the classes learns a different one.
No rank changes, so AUC and every FPR at TPR stay as they are.
"""

import dataclasses

import numpy as np
from scipy import optimize, special

from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import clustered, intervals, metrics

COLDEST, HOTTEST = 0.05, 20.0  # temperatures
# Scores that all read 0 or 1 have lost their ranks: a float64 probability holds
# log-odds up to 36.
LARGEST_LOGIT = 30.0
BINS = 12


def fit(
    logits: np.ndarray, labels: np.ndarray, *, where: str = "validation"
) -> run_folders.Calibration:
    """The temperature and offset with the smallest log loss.

    As Platt does, n defects are taken for n + 1 of n + 2, and so are good devices: the
    few there may be do not promise that the next one is like them, and classes that a
    threshold separates do not drive the scores to 0 and 1.

    Args:
        logits: array of shape `(devices,)`, of a split the model was not trained on.
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        where: names the file in errors.

    Returns:
        `temperature` in `COLDEST..HOTTEST`, above 1 where the model was too sure of
        itself, and `offset`; no logit lies beyond `LARGEST_LOGIT` then.

    Raises:
        errors.BadInput: NaN or a single class.

    Reference:
        Platt, 1999, Probabilistic Outputs for Support Vector Machines, section 2.2.
    """
    defects, logits = metrics.check(labels, logits, where=where, metric="Calibration")
    n_defect, n_good = int(defects.sum()), int((~defects).sum())
    target = np.where(defects, (n_defect + 1) / (n_defect + 2), 1 / (n_good + 2))
    ends = np.array([logits.min(), logits.max()])

    def offset(slope: float) -> float:
        """The best one for this slope: the mean score is the share of defects."""
        low, high = -LARGEST_LOGIT - slope * ends[0], LARGEST_LOGIT - slope * ends[1]

        def excess(at: float) -> float:
            return float(np.mean(special.expit(slope * logits + at) - target))

        if excess(low) >= 0 or excess(high) <= 0:
            return low if excess(low) >= 0 else high
        return float(optimize.brentq(excess, low, high, xtol=1e-10))

    def loss(log_slope: float) -> float:
        slope = np.exp(log_slope)
        odds = slope * logits + offset(slope)
        return float(np.mean(np.logaddexp(0, odds) - target * odds))

    # Between two ends that far apart an offset is left for every slope.
    spread = max(np.ptp(ends), 1e-9)
    steepest = min(1 / COLDEST, 2 * LARGEST_LOGIT / spread)
    bounds = np.log([min(1 / HOTTEST, steepest / 2), steepest])
    optimum = optimize.minimize_scalar(
        loss, bounds=bounds, method="bounded", options={"xatol": 1e-8}
    )
    slope = float(np.exp(optimum.x))
    return run_folders.Calibration(temperature=1 / slope, offset=offset(slope))


def logits(scores: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities; 0 and 1 count as the last float before them."""
    nearest = 2.0**-53
    return special.logit(np.clip(scores, nearest, 1 - nearest))


def rescaled(scores: np.ndarray, in_force: run_folders.Calibration) -> np.ndarray:
    """Probabilities after one more calibration."""
    return in_force.scores(logits(scores))


@dataclasses.dataclass(frozen=True)
class Bin:
    """Devices of similar score: predicted and observed share of defects.

    Attributes:
        low, high: lowest and highest score among them.
        mean_score: the predicted share.
        n, n_defect: how many, and how many were defects.
        rate: the observed share with its exact limits.
    """

    low: float
    high: float
    mean_score: float
    n: int
    n_defect: int
    rate: intervals.Interval


def reliability(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    confidence: float = 0.95,
) -> list[Bin]:
    """Predicted against observed shares of defects, lowest scores first.

    Bins are equally wide in log-odds, the outermost open; empty ones are left out.
    Bins of equal count would put all but one on devices that are clearly good. Limits
    take devices in `groups`, names of shape `(devices,)`, as `clustered.rate` does.
    """
    defects, scores = metrics.check(labels, scores, metric="Reliability")
    odds = logits(scores)
    edges = np.linspace(*np.quantile(odds, [0.005, 0.995]), BINS + 1)[1:-1]
    bin_of = np.searchsorted(edges, odds, side="right")
    bins = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        in_bin = defects[inside]
        bins.append(
            Bin(
                low=float(scores[inside].min()),
                high=float(scores[inside].max()),
                mean_score=float(scores[inside].mean()),
                n=len(in_bin),
                n_defect=int(in_bin.sum()),
                rate=clustered.rate(
                    in_bin,
                    in_bin.astype(float),
                    None if groups is None else groups[inside],
                    confidence=confidence,
                ),
            )
        )
    return bins
