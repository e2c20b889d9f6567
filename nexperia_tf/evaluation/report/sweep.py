"""What any threshold would do to the judged devices: the page's slider."""

import dataclasses

import numpy as np

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import formats, judging, results

MOST = 200  # thresholds that are tried, beside those that are named


@dataclasses.dataclass(frozen=True)
class Stop:
    """A threshold, and what it does, in words.

    Attributes:
        threshold: score from which devices are rejected.
        shown: that, as people read it.
        escape: defects that it lets pass, with limits.
        overkill: good devices that it rejects, with limits.
    """

    threshold: float
    shown: str
    escape: str
    overkill: str


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Thresholds from the lowest to the highest score.

    Attributes:
        stops: one for each.
        start: place of the threshold in force.
    """

    stops: tuple[Stop, ...]
    start: int


def of(table: predictions.Predictions, *, in_force: float, confidence: float) -> Sweep:
    """Tries thresholds that are scores of devices, and the one in force.

    Args:
        table: labelled devices of both classes.
        in_force: the threshold at which the slider starts.
        confidence: of the limits, which hold for a threshold that other devices chose.
    """
    tried = np.union1d(_scores(table), [in_force])
    stops = tuple(_stop(table, float(each), confidence) for each in tried)
    return Sweep(stops, int(np.searchsorted(tried, in_force)))


def _scores(table: predictions.Predictions) -> np.ndarray:
    """Scores of devices, as many of each class where there are too many for all."""
    each = [np.unique(table.score[table.label == label]) for label in (0, 1)]
    if sum(map(len, each)) <= MOST:
        return np.concatenate(each)
    return np.concatenate([_spread(scores, MOST // 2) for scores in each])


def _spread(scores: np.ndarray, count: int) -> np.ndarray:
    places = np.linspace(0, len(scores) - 1, min(count, len(scores)))
    return scores[np.unique(np.rint(places).astype(int))]


def _stop(table: predictions.Predictions, threshold: float, confidence: float) -> Stop:
    rates = judging.rates(table, threshold, confidence)
    return Stop(
        threshold,
        f"{threshold:.4g}",
        _said(rates["escape_rate"], "defects escape"),
        _said(rates["overkill_rate"], "good devices are rejected"),
    )


def _said(rate: results.Rate, what: str) -> str:
    """A count and its rate.

    >>> _said(results.Rate(0.02, 0.0123, 0.05, "", count=2, of=100), "defects escape")
    '2 of 100 defects escape: 2.0 % (1.2 % to 5.0 %)'
    """
    share, limits = formats.share(rate.value), formats.limits(rate)
    return f"{rate.count} of {rate.of} {what}: {share} ({limits})"
