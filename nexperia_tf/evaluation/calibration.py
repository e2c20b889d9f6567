"""Whether a score of .2 means a defect in one of five devices.

Temperature scaling divides every logit by one number fitted on the validation split.
It never changes a rank, so AUC and every FPR at TPR stay as they are.
"""

import dataclasses

import numpy as np
from scipy import optimize, special

from nexperia_tf import metrics
from nexperia_tf.evaluation import intervals

COLDEST, HOTTEST = 0.05, 20.0
# Separated classes would cool the scores without end, until they all read 0 or 1 and
# their ranks are lost: a float64 probability holds log-odds up to 36.
LARGEST_LOGIT = 30.0
BINS = 12


def fit(logits: np.ndarray, labels: np.ndarray, *, where: str = "validation") -> float:
    """The temperature with the smallest log loss of `sigmoid(logits / temperature)`.

    Args:
        logits: array of shape `(devices,)`, of a split the model was not trained on.
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        where: names the file in errors.

    Returns:
        a number in `COLDEST..HOTTEST` that takes no logit beyond LARGEST_LOGIT; above
        1 the model was too sure of itself.

    Raises:
        errors.BadInput: NaN or a single class.

    Reference:
        Guo et al., 2017, On Calibration of Modern Neural Networks, section 4.2.
    """
    defects, logits = metrics.check(labels, logits, where=where, metric="Temperature")
    signed = np.where(defects, -logits, logits)

    def loss(log_temperature):
        return np.mean(np.logaddexp(0, signed * np.exp(-log_temperature)))

    coldest = min(max(COLDEST, np.abs(logits).max() / LARGEST_LOGIT), HOTTEST / 2)
    found = optimize.minimize_scalar(
        loss,
        bounds=(np.log(coldest), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-8},
    )
    return float(np.exp(found.x))


def logits(scores: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities; 0 and 1 count as the last float before them."""
    nearest = 2.0**-53
    return special.logit(np.clip(scores, nearest, 1 - nearest))


def rescaled(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities as they would be at another temperature."""
    return special.expit(logits(scores) / temperature)


@dataclasses.dataclass(frozen=True)
class Bin:
    """Devices of like score: what was promised and what was found.

    Attributes:
        low, high: lowest and highest score among them.
        mean_score: the promise.
        n, n_defect: how many, and how many were defects.
        rate: share of defects with its exact limits.
    """

    low: float
    high: float
    mean_score: float
    n: int
    n_defect: int
    rate: intervals.Interval


def reliability(
    labels: np.ndarray, scores: np.ndarray, *, confidence: float = 0.95
) -> list[Bin]:
    """Promise against truth, lowest scores first.

    Bins are equally wide in log-odds, the outermost open; empty ones are left out.
    Bins of equal count would spend all but one on devices nobody doubts.
    """
    defects, scores = metrics.check(labels, scores, metric="Reliability")
    odds = logits(scores)
    edges = np.linspace(*np.quantile(odds, [0.005, 0.995]), BINS + 1)[1:-1]
    member = np.searchsorted(edges, odds, side="right")
    bins = []
    for number in np.unique(member):
        inside = member == number
        n, n_defect = int(inside.sum()), int(defects[inside].sum())
        bins.append(
            Bin(
                low=float(scores[inside].min()),
                high=float(scores[inside].max()),
                mean_score=float(scores[inside].mean()),
                n=n,
                n_defect=n_defect,
                rate=intervals.clopper_pearson(n_defect, n, confidence=confidence),
            )
        )
    return bins
