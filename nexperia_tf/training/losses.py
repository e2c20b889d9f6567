"""Losses on logits: focal loss in log space, and binary cross-entropy."""

import keras
from keras import ops

from nexperia_tf import errors


def focal_loss(labels, logits, *, alpha: float | None = None, gamma: float = 2.0):
    """Sigmoid focal loss, computed in log space.

    With p the sigmoid of the logit, a defect costs `-alpha (1 - p)^gamma log p` and a
    good device `-(1 - alpha) p^gamma log(1 - p)`; labels between 0 and 1, as mixed
    pictures have them, cost that share of both. Powers and logarithms are taken as
    softplus of the logit, so that neither value nor gradient is lost at |logit| = 100.

    Args:
        labels: float tensor of shape `(batch,)`, 1 for defect and 0 for good.
        logits: float tensor of shape `(batch,)`.
        alpha: weight of defects in (0, 1), good devices weigh `1 - alpha`; None weighs
            both 1.
        gamma: how strongly easy devices are discounted; 0 is cross-entropy.

    Returns:
        float32 tensor of shape `(batch,)`, one loss per device.

    Reference:
        [Lin et al., 2017](https://arxiv.org/abs/1708.02002), equation 5.
    """
    labels = ops.cast(labels, "float32")
    logits = ops.cast(logits, "float32")
    defect_weight, good_weight = (1.0, 1.0) if alpha is None else (alpha, 1.0 - alpha)
    log_miss = ops.softplus(logits)  # -log(1 - p)
    log_hit = ops.softplus(-logits)  # -log(p)
    defect = defect_weight * ops.exp(-gamma * log_miss) * log_hit
    good = good_weight * ops.exp(-gamma * log_hit) * log_miss
    return labels * defect + (1.0 - labels) * good


@keras.saving.register_keras_serializable(package="nexperia_tf")
class FocalLoss(keras.losses.Loss):
    """`focal_loss` for `model.compile`: labels `(batch,)`, logits `(batch, 1)`.

    A label below 0 is not known: its picture does not count.
    """

    def __init__(
        self,
        alpha: float | None = None,
        gamma: float = 2.0,
        reduction="sum_over_batch_size",
        name="focal_loss",
        **kwargs,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        if alpha is not None and not 0 < alpha < 1:
            raise ValueError(f"alpha must lie in (0, 1) or be None. Received {alpha}.")
        if gamma < 0:
            raise ValueError(f"gamma must not be negative. Received {gamma}.")
        self.alpha = alpha
        self.gamma = gamma

    def call(self, y_true, y_pred):
        labels = ops.reshape(y_true, (-1,))
        logits = ops.reshape(y_pred, (-1,))
        known = ops.cast(labels >= 0, logits.dtype)
        losses = focal_loss(labels, logits, alpha=self.alpha, gamma=self.gamma)
        return _of_known(losses, known)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "gamma": self.gamma}


@keras.saving.register_keras_serializable(package="nexperia_tf")
class KnownPlaces(keras.losses.Loss):
    """Cross-entropy of a map's places, the mean of those that are known.

    Targets are 1, 0 or below 0 (not known), `(batch, rows, columns, 1)` as the logits.
    Where several devices share a batch, each takes the mean of its own part.
    """

    def call(self, y_true, y_pred):
        known = ops.cast(y_true >= 0, y_pred.dtype)
        wrong = y_true * ops.softplus(-y_pred) + (1.0 - y_true) * ops.softplus(y_pred)
        return _of_known(wrong, known)


def _of_known(losses, known):
    """Losses whose mean over the batch is the mean of the known ones."""
    return known * losses / ops.maximum(ops.mean(known), 1e-6)


def named(
    name: str, *, alpha: float | None = None, gamma: float = 2.0
) -> keras.losses.Loss:
    """The loss that `--loss` names: `focal` or `bce`, both on logits.

    Raises:
        errors.BadInput: any other name.
    """
    if name == "focal":
        return FocalLoss(alpha=alpha, gamma=gamma)
    if name == "bce":
        return FocalLoss(alpha=None, gamma=0.0, name="bce")
    raise errors.BadInput(f"--loss {name}: unknown; choose focal or bce")
