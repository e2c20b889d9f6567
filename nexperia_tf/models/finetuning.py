"""Starting from published weights: what stays fixed, and what learns slowly."""

import re

import keras
from keras import ops

from nexperia_tf import optimizers

PARTS = ("stem", "stage1", "stage2", "stage3", "stage4")  # from the image to the head


def freeze(
    model: keras.Model, *, up_to: str = "none", batch_norm: bool = False
) -> None:
    """Keeps the first parts of a classifier, or all its batch norms, as they are.

    A frozen batch norm uses its moving statistics in training too. Compile afterwards.

    Args:
        model: a model of `classifier.build`.
        up_to: the last of `PARTS` that stays fixed, with all before it; `stage4` leaves
            the head alone to learn, `none` lets everything learn.
        batch_norm: whether every batch norm stays fixed.
    """
    if up_to not in ("none", *PARTS):
        raise ValueError(f"up_to must be none or one of {PARTS}. Received {up_to!r}.")
    last = -1 if up_to == "none" else PARTS.index(up_to)
    for layer in model.layers:
        part = _part(layer.name)
        if part <= last or (
            batch_norm and isinstance(layer, keras.layers.BatchNormalization)
        ):
            layer.trainable = False


def _part(name):
    """Position in `PARTS` of a layer or variable by its name; the head comes last.

    >>> _part("stem_conv/kernel"), _part("stage4_block1_bn1"), _part("logit")
    (0, 4, 5)
    """
    found = re.match("(stem|stage[1-4])(?![a-z0-9])", name)
    return PARTS.index(found[1]) if found else len(PARTS)


def rate_share(name: str, layer_decay: float) -> float:
    """Share of the learning rate for a variable: the head's whole, less below it.

    >>> rate_share("logit/kernel", 0.5), rate_share("stage3_block1_conv1/kernel", 0.5)
    (1.0, 0.25)
    """
    return layer_decay ** float(len(PARTS) - _part(name))


class _Layerwise:
    """Scales learning rate and weight decay of a Keras optimizer by `rate_share`."""

    def __init__(self, *arguments, layer_decay: float = 1.0, **knobs):
        super().__init__(*arguments, **knobs)
        if not 0 < layer_decay <= 1:
            raise ValueError(
                f"layer_decay must lie in (0, 1]. Received layer_decay={layer_decay}."
            )
        self.layer_decay = layer_decay

    def update_step(self, gradient, variable, learning_rate):
        # TensorFlow's trainer passes its own variables, which have no path.
        name = getattr(variable, "path", variable.name)
        rate = learning_rate * rate_share(name, self.layer_decay)
        if self.weight_decay is not None and self._use_weight_decay(variable):
            loss = ops.cast(rate * self.weight_decay, variable.dtype)
            self.assign_sub(variable, variable * loss)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables):
        """Done in `update_step`, where the rate of the variable is known."""

    def get_config(self):
        return {**super().get_config(), "layer_decay": self.layer_decay}


@keras.saving.register_keras_serializable(package="nexperia_tf")
class LayerwiseAdamW(_Layerwise, optimizers.AdamW):
    """AdamW whose learning rate falls by `layer_decay` with each part below the head.

    With 1 it is `optimizers.AdamW`.

    Reference:
        [Clark et al., 2020](https://arxiv.org/abs/2003.10555), section 3.
    """


@keras.saving.register_keras_serializable(package="nexperia_tf")
class LayerwiseSGD(_Layerwise, optimizers.SGD):
    """SGD whose learning rate falls by `layer_decay` with each part below the head.

    With 1 it is `optimizers.SGD`.
    """
