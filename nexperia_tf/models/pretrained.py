"""Published ImageNet weights, and any torch-style safetensors file, into our models."""

import dataclasses
import hashlib
import pathlib
import re

import keras
import numpy as np

from nexperia_tf import errors

FILE_NAME = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class Published:
    """Names of free weights at the hub, under `timm/`.

    Attributes:
        fine_tuning: the best recipe to go on training from.
        fixed: the first torchvision weights, which serve better as fixed features
            ([Kornblith et al., 2021](https://arxiv.org/abs/2010.16402)).
    """

    fine_tuning: str
    fixed: str


# Apache-2.0 (a1, a1h, racm) or BSD-3 (tv, tv2). Weights named fb_* are CC-BY-NC.
IMAGENET = {
    "resnet50": Published("resnet50.a1_in1k", "resnet50.tv_in1k"),
    "resnext50_32x4d": Published("resnext50_32x4d.a1h_in1k", "resnext50_32x4d.tv_in1k"),
    "resnext101_32x8d": Published(
        "resnext101_32x8d.tv2_in1k", "resnext101_32x8d.tv_in1k"
    ),
    "resnext101_64x4d": Published(
        "resnext101_64x4d.tv_in1k", "resnext101_64x4d.tv_in1k"
    ),
    "wide_resnet50_2": Published(
        "wide_resnet50_2.racm_in1k", "wide_resnet50_2.tv_in1k"
    ),
    "wide_resnet101_2": Published(
        "wide_resnet101_2.tv2_in1k", "wide_resnet101_2.tv_in1k"
    ),
}


def load(model: keras.Model, weights: str, *, fixed: bool = False) -> None:
    """Loads what `--weights` names into a classifier.

    The head keeps its fresh weights where the file has none or another number of
    classes. Three input channels are folded into one where the model sees grey: the
    result is that of the three-channel network on the scaled grey picture, repeated.

    Args:
        model: a model of `classifier.build`.
        weights: `none`, `imagenet`, or the path of a torch-style safetensors file.
        fixed: with `imagenet`, take the weights that serve best without fine-tuning.

    Raises:
        errors.BadInput: nothing is published for this backbone, the hub cannot be
            reached, or the file is damaged or made for another network.
    """
    if weights == "none":
        return
    path = pathlib.Path(weights)
    if weights == "imagenet":
        path = download(model.name, fixed=fixed)
    state = read(path)
    try:
        _assign(model, state)
    except errors.BadInput as error:
        raise errors.BadInput(f"{path}: {error}") from None


def find_published(name: str) -> Published:
    """The names of a backbone's published weights, by its full name.

    Raises:
        errors.BadInput: nothing is published for it.
    """
    if name not in IMAGENET:
        raise errors.BadInput(
            f"--weights imagenet: nothing is published for {name}; "
            f"take one of {', '.join(IMAGENET)}, or --weights none"
        )
    return IMAGENET[name]


def download(backbone: str, *, fixed: bool = False) -> pathlib.Path:
    """The published weights' file, from the hub's local cache or fetched, and checked.

    Raises:
        errors.BadInput: nothing is published, the hub is out of reach, or the file's
            SHA-256 is not the one under which the hub keeps it.
    """
    import huggingface_hub

    published = find_published(backbone)
    repository = f"timm/{published.fixed if fixed else published.fine_tuning}"
    try:
        path = pathlib.Path(huggingface_hub.hf_hub_download(repository, FILE_NAME))
    except Exception as error:  # the client passes on its transport's errors as well
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise errors.BadInput(
            f"--weights imagenet: {repository} is not cached and cannot be fetched "
            f"({reason}); fetch its {FILE_NAME} on another machine, then pass "
            "--weights FILE"
        ) from None
    _check(path)
    return path


def _check(path: pathlib.Path) -> None:
    """Compares a cached file with the SHA-256 that the hub names its content by.

    The hub keeps large files by their SHA-256, and its client names the cached content
    so; that name came with the download, from the hub and not from the content. On file
    systems without links the cache has no such name, and there is nothing to compare.
    """
    expected = path.resolve().name
    if not re.fullmatch("[0-9a-f]{64}", expected):
        return
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        raise errors.BadInput(
            f"{path}: SHA-256 is {digest}, published is {expected}; "
            "delete the file and run again"
        )


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Arrays of a safetensors file by their names.

    Raises:
        errors.BadInput: the file is missing, damaged, or no safetensors file.
    """
    import safetensors.numpy

    if not path.is_file():
        raise errors.BadInput(
            f"{path}: no such file; --weights takes none, imagenet or a .safetensors "
            "file"
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
    wanted = dict(_wanted(model))
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


def _wanted(model):
    """Pairs of torch's name and our variable."""
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
