"""Published ImageNet weights, and any torch-style safetensors file, into our models."""

import pathlib
import re
from collections.abc import Iterator

import keras
import numpy as np

from nexperia_tf import errors
from nexperia_tf.models import weights as published


def load(model: keras.Model, weights: str, *, fixed: bool = False) -> None:
    """Loads what `--weights` names into a classifier.

    The head keeps its fresh weights where the file has none or another number of
    classes. Three input channels are folded into one where the model sees grey: the
    result is that of the three-channel network on the scaled grey picture, repeated.

    Args:
        model: a model of `classifier.build`.
        weights: `none`, `auto`, `imagenet`, or the path of a torch-style safetensors
            file; see `weights.file_of`.
        fixed: with `imagenet`, take the weights that serve best without fine-tuning.

    Raises:
        errors.BadInput: nothing is published for this backbone, the hub cannot be
            reached, or the file is damaged or made for another network.
    """
    path = published.file_of(weights, model.name, fixed=fixed)
    if path is None:
        return
    state = read(path)
    try:
        _assign(model, state)
    except errors.BadInput as error:
        raise errors.BadInput(f"{path}: {error}") from None


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file by their names.

    Raises:
        errors.BadInput: the file is missing, damaged, or no safetensors file.
    """
    import safetensors.numpy

    if not path.is_file():
        raise errors.BadInput(
            f"{path}: no such file; --weights takes auto, none, imagenet or a "
            ".safetensors file"
        )
    try:
        return safetensors.numpy.load_file(path)
    except Exception as error:  # of the library, and what NumPy makes of its answers
        raise errors.BadInput(
            f"{path}: not a readable safetensors file ({error}); "
            "save the state dict with safetensors, in float32"
        ) from None


def _assign(model: keras.Model, state: dict[str, np.ndarray]) -> None:
    """Sets every weight of `model`, after all of them were found to fit."""
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    wanted = dict(torch_named(model))
    if not _head_fits(model, state):
        for name in ("fc.weight", "fc.bias"):
            wanted.pop(name)
            state.pop(name, None)
    if missing := sorted(wanted.keys() - state.keys()):
        raise errors.BadInput(
            f"has no {_some(missing)}, which {model.name} needs; "
            "choose the backbone that the file was made for"
        )
    if extra := sorted(state.keys() - wanted.keys()):
        raise errors.BadInput(
            f"has {_some(extra)}, which {model.name} does not know; "
            "choose the backbone that the file was made for"
        )
    values = {
        name: _fitted(name, state[name], variable) for name, variable in wanted.items()
    }
    for name, variable in wanted.items():
        variable.assign(values[name])


def torch_named(model: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """Pairs of torch's name and our variable, of a model of `classifier.build`."""
    for layer in model.layers:
        for variable in layer.weights:
            yield f"{_torch_layer(layer.name)}.{TORCH_WEIGHTS[variable.name]}", variable


TORCH_WEIGHTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
TORCH_SHORTCUT = {"shortcut_conv": "downsample.0", "shortcut_bn": "downsample.1"}


def _torch_layer(name):
    """Torch's name of a layer.

    >>> _torch_layer("stage3_block1_shortcut_bn"), _torch_layer("stem_conv")
    ('layer3.0.downsample.1', 'conv1')
    """
    fixed = {"stem_conv": "conv1", "stem_bn": "bn1", "logit": "fc"}
    if name in fixed:
        return fixed[name]
    stage, block, part = re.fullmatch(r"stage(\d+)_block(\d+)_(\w+)", name).groups()
    return f"layer{stage}.{int(block) - 1}.{TORCH_SHORTCUT.get(part, part)}"


def _head_fits(model, state):
    head = state.get("fc.weight")
    return head is not None and len(head) == model.get_layer("logit").units


def _fitted(name, array, variable):
    """The array in our layout, of the variable's shape and in float32."""
    given = array.shape
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
        if name == "conv1.weight" and variable.shape[2] == 1 and array.shape[2] == 3:
            array = array.astype("float64").sum(axis=2, keepdims=True)
    elif array.ndim == 2:
        array = array.T
    if array.shape != tuple(variable.shape):
        raise errors.BadInput(
            f"{name} has shape {given}, which does not fit {variable.path} of shape "
            f"{tuple(variable.shape)}; choose the backbone that the file was made for"
        )
    return array.astype("float32")


def _some(names):
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
