"""What a training run can be told, and the named experiments.

One small file here per experiment holds only what differs from the defaults.
"""

import dataclasses
import importlib
import json
import pkgutil
from typing import Literal

from nexperia_tf import errors, files


@dataclasses.dataclass(frozen=True)
class Config:
    """Everything that decides the outcome of a training run."""

    backbone: str = "resnext"
    """Network: resnext (= resnext50_32x4d), wide_resnet (= wide_resnet50_2), resnet50,
    resnext101_32x8d, resnext101_64x4d, wide_resnet101_2; for CPUs resnext26_32x4d and
    wide_resnet26_2."""

    data: str = "sample"
    """sample, a raw folder, or LAYOUT:FOLDER with second_stage, first_stage, hand_over
    or folder as LAYOUT."""

    data_dir: str = "data"
    """Where prepared records are kept; made once for each content."""

    out: str = ""
    """Run folder to write; runs/BACKBONE-TIME when empty. Must not exist yet."""

    unboxed: Literal["auto", "drop", "keep"] = "auto"
    """Defects without a box: auto drops them where the raw form has boxes."""

    good: str = ""
    """Which class folder is the good one (default: good, ok or pass)."""

    group: str = ""
    """Column whose values stay whole when splitting (default: lot, or group)."""

    image_size: int = 224
    """Side of the square the pictures are letterboxed to, in pixels."""

    weights: str = "none"
    """none, imagenet, or a torch-style .safetensors file for the backbone."""

    loss: Literal["focal", "bce"] = "focal"
    """Focal loss or binary cross-entropy."""

    alpha: float | None = None
    """Focal weight of defects in (0, 1); none weighs both classes 1."""

    gamma: float = 2.0
    """Focal discount of easy devices; 0 is cross-entropy."""

    epochs: int = 20
    """Passes over the training split."""

    batch_size: int = 32
    """Devices per step."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum .9."""

    learning_rate: float = 1e-3
    """Peak of the cosine schedule."""

    warmup_epochs: float = 1.0
    """Epochs of linear warm-up before the cosine."""

    weight_decay: float = 0.05
    """Decoupled decay of kernels; batch norm and biases are left alone."""

    augment: str = "default"
    """default, none, or keras-cv's strong policies: randaugment, gridmask, mixup,
    cutmix."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "horizontal"
    """Mirror images that the product allows."""

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    """auto is mixed_float16 on a GPU and float32 on a CPU."""

    patience: int = 10
    """Epochs without a better validation AUC before the run stops early."""

    cache: Literal["auto", "memory", "none"] = "auto"
    """Keep decoded pictures in memory; auto does where they fit."""

    seed: int = 0
    """Of weights, shuffling and augmentation."""

    deterministic: bool = False
    """Same seed, same weights to the bit; slower, refuses the strong policies."""


def names() -> list[str]:
    """Names of the experiments in this folder."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name_or_file: str) -> Config:
    """The experiment of that name, or the one a config.json describes.

    `out` of a file is not replayed: a repeated run goes to a folder of its own.

    Raises:
        errors.BadInput: no such experiment or file, or a key that does not exist.
    """
    if name_or_file in names():
        return importlib.import_module(f"{__name__}.{name_or_file}").CONFIG
    if not name_or_file.endswith(".json"):
        raise errors.BadInput(
            f"--config {name_or_file}: no such experiment; take one of "
            f"{', '.join(names())}, or a config.json."
        )
    return from_json(files.read_json(name_or_file), where=name_or_file)


def from_json(payload: dict, *, where: str) -> Config:
    """A Config from the object in a config.json; older files lack keys, that is fine.

    Raises:
        errors.BadInput: a key or a type that this version does not know.
    """
    known = {field.name: field for field in dataclasses.fields(Config)}
    values = {k: v for k, v in payload.items() if k not in ("schema", "out", "run")}
    for key, value in values.items():
        if key not in known:
            raise errors.BadInput(f"{where}: unknown key {key!r}; remove it.")
        default = known[key].default
        if default is not None and not _same_kind(value, default):
            raise errors.BadInput(
                f"{where}: {key} is {json.dumps(value)}; "
                f"{type(default).__name__} is expected."
            )
    return Config(**values)


def _same_kind(value: object, default: object) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
