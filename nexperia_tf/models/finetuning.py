"""Starting from published weights: what stays fixed, and what learns slowly."""

import re

import keras

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
    match = re.match("(stem|stage[1-4])(?![a-z0-9])", name)
    return PARTS.index(match[1]) if match else len(PARTS)


def rate_share(name: str, layer_decay: float) -> float:
    """Share of the learning rate for a variable: the head's whole, less below it.

    >>> rate_share("logit/kernel", 0.5), rate_share("stage3_block1_conv1/kernel", 0.5)
    (1.0, 0.25)
    """
    return layer_decay ** float(len(PARTS) - _part(name))
