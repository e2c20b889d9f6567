"""How the answers of several models become one: means and weighted sums."""

import dataclasses
import pathlib
import typing
from collections.abc import Sequence

import numpy as np

from nexperia_tf import errors, files

if typing.TYPE_CHECKING:
    import tensorflow as tf

OF = ("scores", "logits")


@dataclasses.dataclass(frozen=True)
class Combination:
    """How the answers of the models are combined.

    Attributes:
        of: "scores" takes the weighted mean of the probabilities, "logits" the weighted
            sum of the calibrated logits.
        weights: one number a member, none below 0; those of scores sum to 1.
        bias: added to the sum of logits.
    """

    of: str
    weights: tuple[float, ...]
    bias: float = 0.0

    def logit(self, logits: "tf.Tensor") -> "tf.Tensor":
        """Calibrated logits of shape `(members, N)` to the ensemble's, `(N,)`.

        A mean of scores is taken in log space, where confident members keep their
        digits; its logit is log p - log(1 - p).
        """
        import tensorflow as tf

        weights = tf.constant(self.weights, tf.float32)[:, tf.newaxis]
        if self.of == "logits":
            return tf.reduce_sum(weights * logits, axis=0) + self.bias
        log_weights = tf.math.log(weights)

        def log_mean(log_p: tf.Tensor) -> tf.Tensor:
            return tf.reduce_logsumexp(log_weights + log_p, axis=0)

        defect, good = tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
        return log_mean(defect) - log_mean(good)


def asked(method: Sequence[str], names: Sequence[str]) -> Combination:
    """The combination that `--method` names.

    Args:
        method: ("mean",), ("logit-mean",) or ("weights", FILE).
        names: those of the models, which a file of weights must give.

    Raises:
        errors.BadInput: no such method, or a file that does not fit.
    """
    equal = (1 / len(names),) * len(names)
    match tuple(method):
        case ("mean",):
            return Combination("scores", equal)
        case ("logit-mean",):
            return Combination("logits", equal)
        case ("weights", path):
            return read_weights(path, names)
    raise errors.BadInput(
        "--method: mean, logit-mean, or weights FILE, behind the models. Received "
        f"{' '.join(method)}."
    )


def read_weights(path: str | pathlib.Path, names: Sequence[str]) -> Combination:
    """Reads `{"of": "logits", "weights": {"NAME": .6, ...}, "bias": 0}`.

    Weights of scores are shares: they are divided by their sum.

    Raises:
        errors.BadInput: a member without weight, a name of no member, two members of
            one name, a number below 0, or nothing above 0.
    """
    payload = files.read_json(path)
    of, given, bias = payload.get("of"), payload.get("weights"), payload.get("bias", 0)
    if of not in OF or not isinstance(given, dict) or not _is_number(bias):
        raise errors.BadInput(
            f'{path}: needs "of" ({" or ".join(OF)}), "weights" (name to number) and '
            'at will "bias" (a number).'
        )
    if sorted(given) != sorted(names):
        raise errors.BadInput(
            f"{path}: weighs {', '.join(sorted(given))}, but the models are "
            f"{', '.join(sorted(names))}; give each one weight, by its folder's name."
        )
    weights = [given[name] for name in names]
    if not all(_is_number(w) and w >= 0 for w in weights) or not any(weights):
        raise errors.BadInput(
            f"{path}: weights are numbers of 0 or more, one of them above 0. Received "
            f"{weights}."
        )
    if of == "scores":
        if bias:
            raise errors.BadInput(f"{path}: scores take no bias. Received {bias}.")
        weights = [weight / sum(weights) for weight in weights]
    return Combination(of, tuple(map(float, weights)), float(bias))


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
    )
