"""Ensembles beyond the plain mean: selection, stacking, votes and boosting.

Each is fitted on devices that the members were not trained on, and must be judged on
devices that the fit has not seen.
"""

import dataclasses
import typing
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special

from nexperia_tf import errors, labels
from nexperia_tf.statistics import metrics

if typing.TYPE_CHECKING:
    from sklearn.ensemble import AdaBoostClassifier

    from nexperia_tf.study import features

ROUNDS = 30  # members drawn by greedy selection, with replacement
PENALTY = 1.0  # as scikit-learn's C = 1
STUMPS = 300


def select(
    scores: np.ndarray, truth: np.ndarray, *, rounds: int = ROUNDS
) -> np.ndarray:
    """Greedy selection with replacement: the member that helps the mean most, again.

    An ensemble is better by its AUC, or by log loss among equals. Of all the lengths
    the selection went through the best is kept, the shortest among equals.

    Args:
        scores: array of shape `(members, devices)`, probabilities of defect.
        truth: array of shape `(devices,)`, 1 for defect and 0 for good.
        rounds: how often a member is drawn.

    Returns:
        weights of shape `(members,)` for a mean of scores; they sum to 1.

    Reference:
        Caruana et al., 2004, Ensemble Selection from Libraries of Models.
    """
    scores = _checked(scores, truth)
    total = np.zeros(scores.shape[1])
    drawn: list[int] = []
    path: list[tuple[float, float]] = []
    for size in range(1, rounds + 1):
        ranks = [_rank(truth, (total + member) / size) for member in scores]
        best = max(range(len(ranks)), key=ranks.__getitem__)
        drawn.append(best)
        path.append(ranks[best])
        total = total + scores[best]
    kept = path.index(max(path)) + 1
    return np.bincount(drawn[:kept], minlength=len(scores)) / kept


def _rank(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    return metrics.auc(truth, scores), -metrics.log_loss(truth, scores)


@dataclasses.dataclass(frozen=True)
class Stack:
    """A weighted sum of calibrated logits.

    Attributes:
        weights: one a member, none below 0.
        bias: added to the sum.
    """

    weights: tuple[float, ...]
    bias: float


def stack(logits: np.ndarray, truth: np.ndarray, *, penalty: float = PENALTY) -> Stack:
    """Logistic regression on the members' logits, whose weights may not be negative.

    A member that is wrong where others are right gets 0 instead of a weight that only
    fits these devices.

    Args:
        logits: array of shape `(members, devices)`, calibrated.
        truth: array of shape `(devices,)`, 1 for defect and 0 for good.
        penalty: half of it times the squared weights is added to the sum of log losses.
    """
    logits = _checked(logits, truth)
    design = np.vstack([logits, np.ones(logits.shape[1])])  # (members + 1, devices)
    signs = np.where(truth == labels.POSITIVE, 1.0, -1.0)
    decay = penalty * np.append(np.ones(len(logits)), 0.0)  # the bias is free

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (values @ design)
        cost = np.sum(np.logaddexp(0, -margins)) + 0.5 * np.sum(decay * values**2)
        slope = -(signs * special.expit(-margins)) @ design.T + decay * values
        return float(cost), slope

    minimum = optimize.minimize(
        loss,
        np.append(np.full(len(logits), 1 / len(logits)), 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * len(logits) + [(None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 10_000},
    )
    *weights, bias = (float(value) for value in minimum.x)
    if not any(weights):
        raise errors.BadInput(
            "stacking: no member ranks these devices better than chance; train longer "
            "or leave stacking out."
        )
    return Stack(tuple(weights), bias)


def vote(scores: np.ndarray, thresholds: Sequence[float] | None = None) -> np.ndarray:
    """Share of the members that call a device a defect.

    Args:
        scores: array of shape `(members, devices)`.
        thresholds: one a member; .5 for all when not given.

    Returns:
        float64 array of shape `(devices,)`; it can hold `members + 1` values only.
    """
    if thresholds is None:
        thresholds = np.full(len(scores), 0.5)
    return np.mean(np.asarray(scores) >= np.reshape(thresholds, (-1, 1)), axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Boosted:
    """AdaBoost on a network's features, as long as validation got better.

    Attributes:
        model: all stumps.
        stumps: how many of them count.
        validation_auc: what these reach.
    """

    model: "AdaBoostClassifier"
    stumps: int
    validation_auc: float

    def logits(self, values: np.ndarray) -> np.ndarray:
        """Log-odds of defect, float64 of shape `(devices,)`, before any temperature."""
        staged = self.model.staged_decision_function(values)
        return next(
            logits for size, logits in enumerate(staged, 1) if size == self.stumps
        )


def boost(
    train: "features.Features",
    validation: "features.Features",
    *,
    stumps: int = STUMPS,
    seed: int = 0,
) -> Boosted:
    """AdaBoost of decision stumps; the validation devices say when to stop.

    Each stump chooses among the square root of the numbers, as a forest's splits do:
    among 2,048 it takes 24 ms instead of a second.

    Args:
        train: features and labels to boost on.
        validation: those that choose the number of stumps.
        stumps: the most there may be.
        seed: of what each stump chooses among.

    Reference:
        Freund & Schapire, 1997; scikit-learn's SAMME for two classes.
    """
    from sklearn import ensemble, tree

    model = ensemble.AdaBoostClassifier(
        tree.DecisionTreeClassifier(max_depth=1, max_features="sqrt"),
        n_estimators=stumps,
        learning_rate=0.5,
        random_state=seed,
    )
    model.fit(train.values, train.label)
    staged = model.staged_decision_function(validation.values)
    aucs = [metrics.auc(validation.label, scores) for scores in staged]
    best = int(np.argmax(aucs))
    return Boosted(model, best + 1, aucs[best])


def _checked(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not len(values):
        raise errors.BadInput(
            "ensemble: one row of scores a member is needed. Received an array of "
            f"shape {values.shape}."
        )
    for row in values:
        metrics.check(truth, row, metric="An ensemble")
    return values
