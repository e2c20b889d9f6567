"""Which labels are probably wrong: confident learning, with an allowance for lots.

Scores must be held out: a model that has learned a wrong label repeats it.

Reference:
    Northcutt, Jiang & Chuang, Confident Learning, JAIR 70 (2021) 1373.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import special

from nexperia_tf import errors, labels
from nexperia_tf.statistics import clustered

FURTHEST = 1e-4  # from 0 and 1: a score of certainty would have no logit


@dataclasses.dataclass(frozen=True, eq=False)
class Ranking:
    """Labels in doubt.

    Attributes:
        probability: of defect, less what a lot's scores sit higher as a whole; float64
            of shape `(pictures,)`.
        allowance: what was taken off the logits of each picture's lot; zeros where lots
            do not differ, or none was asked for.
        thresholds: mean probability of a class among the pictures labelled so, good
            first: how sure the model is of it, on average.
        joint: share of pictures by given class and by class that they are; rows and
            columns good first.
        margin: how much more the other class lies above its threshold than the given
            one above its own; the more, the more doubtful. Shape `(pictures,)`.
        is_confident: whether the other class alone reaches its threshold.
    """

    probability: np.ndarray
    allowance: np.ndarray
    thresholds: np.ndarray
    joint: np.ndarray
    margin: np.ndarray
    is_confident: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """Places of the pictures, the most doubtful first; ties stay in their order."""
        return np.argsort(-self.margin, kind="stable")

    def wrong(self, label: int) -> int:
        """How many pictures labelled so are estimated to be of the other class."""
        return round(float(self.joint[label, 1 - label]) * len(self.margin))


def rank(
    label: np.ndarray, score: np.ndarray, groups: Sequence[str] | None = None
) -> Ranking:
    """Ranks labels by held-out scores.

    Args:
        label: given labels of shape `(pictures,)`, 1 for defect, 0 for good.
        score: held-out probability of defect, shape `(pictures,)`.
        groups: lots of the pictures; None makes no allowance for them.

    Raises:
        errors.BadInput: one class only, or a score that is no probability.
    """
    label, score = np.asarray(label), np.asarray(score, np.float64)
    _check(label, score)
    own, taken = logits(score), np.zeros(len(label))
    if groups is not None:
        taken = allowances(label, own, clustered.group_numbers(groups))
    probability = special.expit(own - taken)
    of_class = np.stack([1 - probability, probability], axis=1)  # (pictures, classes)
    thresholds = np.array([of_class[label == c, c].mean() for c in (0, 1)])
    above = of_class - thresholds
    rows = np.arange(len(label))
    confident, guess = _confident(of_class, thresholds)
    return Ranking(
        probability=probability,
        allowance=taken,
        thresholds=thresholds,
        joint=_joint(label, confident, guess),
        margin=above[rows, 1 - label] - above[rows, label],
        is_confident=confident & (guess != label),
    )


def logits(score) -> np.ndarray:
    """Log odds of scores, finite for those of 0 and 1, too."""
    return special.logit(np.clip(score, FURTHEST, 1 - FURTHEST))


def allowances(label: np.ndarray, logits: np.ndarray, group: np.ndarray) -> np.ndarray:
    """How much higher each picture's lot sits than its labels explain, in logits.

    A lot's mean is taken about the mean of the class that each of its pictures is
    labelled as, and shrunk towards 0 by as much as its size leaves open: the best
    linear prediction of a random effect. Lots that vary no more than their sizes
    explain get 0, and so does everything where there are fewer lots than
    `clustered.FEWEST`.

    Args:
        label: of shape `(pictures,)`, 1 for defect, 0 for good.
        logits: of held-out scores, shape `(pictures,)`.
        group: number of its lot for each picture, from 0.

    Returns:
        float64 of shape `(pictures,)`.
    """
    means = np.array([logits[label == c].mean() for c in (0, 1)])
    apart = logits - means[label]
    sizes = np.bincount(group)
    lots = len(sizes)
    if not clustered.FEWEST <= lots < len(label):
        return np.zeros(len(label))
    of_lot = np.bincount(group, apart) / sizes
    within = np.sum((apart - of_lot[group]) ** 2) / (len(label) - lots)
    spread = np.sum(sizes * of_lot**2) - within * (lots - 1)
    between = spread / (sizes.sum() - np.sum(sizes**2) / sizes.sum())
    if between <= 0:
        return np.zeros(len(label))
    return (of_lot * sizes / (sizes + within / between))[group]


def _check(label: np.ndarray, score: np.ndarray) -> None:
    defects = int(np.sum(label == labels.POSITIVE))
    if not 0 < defects < len(label):
        raise errors.BadInput(
            "labels can be doubted where there are good and defective pictures. "
            f"Received {len(label) - defects} good and {defects} defect."
        )
    if not np.all((score >= 0) & (score <= 1)):  # NaN among them
        raise errors.BadInput("scores must be probabilities from 0 to 1.")


def _confident(
    of_class: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether any class reaches its threshold, and which is the likeliest that does."""
    reached = of_class >= thresholds
    guess = np.where(reached, of_class, -1.0).argmax(axis=1)
    return reached.any(axis=1), guess


def _joint(label: np.ndarray, confident: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Shares by given and by likely class, each row of the weight of its label."""
    counts = np.zeros((2, 2))
    np.add.at(counts, (label[confident], guess[confident]), 1)
    of_label = np.bincount(label, minlength=2)
    rows = counts.sum(axis=1, keepdims=True)
    # A class that nothing is confident of has no share to go by: all stay as given.
    shares = np.divide(counts, rows, out=np.eye(2), where=rows > 0)
    return shares * of_label[:, None] / len(label)
