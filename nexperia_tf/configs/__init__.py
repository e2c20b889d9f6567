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
    resnext101_32x8d, resnext101_64x4d, wide_resnet101_2; for CPUs resnext26_32x4d,
    wide_resnet26_2 and resnet26_quarter, a thin one."""

    data: str = "sample"
    """sample, a raw folder, LAYOUT:FOLDER with second_stage, first_stage, hand_over or
    folder as LAYOUT, or a folder that nexperia prepare wrote."""

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

    calibration_share: float = 0.0
    """Share of the labelled devices, whole groups out of train, that chooses thresholds
    and nothing else: split calibration. A split column can name it, too."""

    keep_splits: str = "auto"
    """Run, prepared or data folder whose pictures keep their splits, known by content;
    auto takes those of the same raw folder in --data-dir (of --init, else the newest
    with the same --calibration-share, else the newest), none deals anew."""

    image_size: int = 224
    """Side of the square the pictures are letterboxed to, in pixels."""

    standardise: Literal["imagenet", "picture"] = "imagenet"
    """By whose mean and spread pixels are scaled: ImageNet's, or each picture's own, so
    that how bright it is tells nothing."""

    weights: str = "none"
    """none, imagenet, or a torch-style .safetensors file for the backbone."""

    init: str = ""
    """Run folder whose weights to start from, the head's too; its backbone and colour
    must be these."""

    refuse_seen: bool = False
    """End before training where a picture of another split, or its twin, is among those
    that this run or one it starts from learns; else that is said, with the AUC of the
    others."""

    freeze: Literal["none", "stem", "stage1", "stage2", "stage3", "stage4"] = "none"
    """Last part that stays as it is, with all before it; stage4 trains the head
    alone."""

    freeze_batch_norm: bool = False
    """Keep every batch norm as it is: its statistics are those it started with."""

    layer_decay: float = 1.0
    """Share of the learning rate that each part below the head gets of the next, in
    (0, 1]; 1 is the same rate for all."""

    loss: Literal["focal", "bce"] = "focal"
    """Focal loss or binary cross-entropy."""

    alpha: float | None = None
    """Focal weight of defects in (0, 1); none weighs both classes 1."""

    gamma: float = 2.0
    """Focal discount of easy devices; 0 is cross-entropy."""

    balance: Literal["none", "loss", "sampling"] = "none"
    """Have both classes count the same, an alternative to --alpha: loss weighs devices,
    sampling fills each batch from both alike and repeats the rarer; with --drawn half
    of it shows a defect, given or drawn. The offset in calibration.json brings scores
    back to the share on validation."""

    epochs: int = 20
    """Passes over the training split."""

    batch_size: int = 32
    """Devices per step."""

    optimizer: Literal["adamw", "sgd", "momentum"] = "adamw"
    """AdamW, SGD with Nesterov momentum .9, or with the older, plain momentum .9."""

    learning_rate: float = 1e-3
    """Its peak, after the warm-up."""

    schedule: Literal["cosine", "step"] = "cosine"
    """How the learning rate falls: along half a cosine to 0, or to a tenth every
    --step-epochs."""

    step_epochs: float = 30.0
    """Epochs between the falls of --schedule step."""

    warmup_epochs: float = 1.0
    """Epochs of linear warm-up before the fall."""

    weight_decay: float = 0.05
    """Decoupled decay of kernels; batch norm and biases are left alone."""

    clip_norm: float = 0.0
    """Largest norm of all gradients together; 0 leaves them."""

    accumulate: int = 1
    """Steps whose gradients make one update: a batch of that many times --batch-size
    (batch norm still sees --batch-size)."""

    ema: float = 0.0
    """Momentum of a running average of weights and batch-norm statistics, which is then
    judged and kept in place of the last weights; 0 is none, .999 is usual."""

    augment: str = "default"
    """default, none, crop (ImageNet's random resized crop and flips; it can cut a
    defect off, and is here to compare with studies that used it), or keras-cv's strong
    policies: randaugment, gridmask, mixup, cutmix."""

    drawn: float = 0.0
    """Share of good training pictures on which a dark defect is drawn (crack, dead
    region, streaks, spots), another one in each epoch; they count as defects then."""

    drawn_look: Literal["dark", "cracks"] = "dark"
    """What --drawn draws: dark takes all kinds; cracks takes cracks and parts they cut
    off, and puts streaks, spots, uneven light and more texture, which then tell
    nothing, on good and defective pictures alike."""

    drawn_map: float = 0.0
    """Weight of a second loss: the network is shown where the drawn defect is, and says
    for each place of its last stage whether one is there; 0 is none. Needs
    --drawn-only, as nothing shows it where given defects are."""

    drawn_only: bool = False
    """Leave the given defects out of training and learn from drawn ones alone; the
    other splits keep theirs."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "horizontal"
    """Mirror images that the product allows."""

    rotation: float = 10.0
    """Largest turn of a training picture in degrees, either way; 0 where every picture
    is straight."""

    zoom: float = 0.1
    """Largest shrinking of a training picture, in [0, 1); its shifts use that room."""

    brightness: float = 0.06
    """Largest change of a training picture's brightness, as a part of full range."""

    contrast: float = 0.2
    """Largest change of a training picture's contrast, in [0, 1)."""

    tone: float = 0.0
    """Largest change of a training picture's tone curve, as the logarithm of its gamma:
    .5 is a gamma of .61 to 1.65."""

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    """auto is mixed_float16 on a GPU and float32 on a CPU."""

    monitor: Literal["auto", "auc", "partial_auc", "accuracy", "last"] = "auto"
    """What the best epoch is best in, on validation. partial_auc is the area where TPR
    >= .99; auto takes it from 1,000 validation defects on, which tell it apart.
    accuracy is the share right at threshold .5. last keeps the last epoch, where
    validation has too few lots to choose by."""

    strategy: Literal["auto", "none", "mirrored", "multiworker"] = "auto"
    """Devices that share each batch: mirrored takes all GPUs of this machine, auto does
    where there are several, none takes one; multiworker takes those of all machines in
    the environment variable TF_CONFIG, on each of which the same command runs with an
    --out that all of them see."""

    sync_batch_norm: bool = False
    """Take batch-norm statistics over the whole batch and not each device's share; on
    one device the same, but slower."""

    patience: int = 10
    """Epochs without a better validation figure before the run stops early."""

    time_budget: float = 0.0
    """Minutes for training: no epoch is begun that would not fit; 0 is no limit."""

    checkpoint_steps: int = 0
    """Steps between two checkpoints within an epoch, beside those at its end; 0 is
    none."""

    keep_checkpoints: int = 2
    """How many of the last checkpoints stay, beside that of the best epoch."""

    cache: Literal["auto", "memory", "none"] = "auto"
    """Keep decoded pictures in memory; auto does where they fit."""

    seed: int = 0
    """Of weights, shuffling and augmentation."""

    deterministic: bool = False
    """Same seed, same weights to the bit; slower, refuses the strong policies."""


def check(config: Config) -> None:
    """Raises errors.BadInput when a number is out of range or flags do not go together.

    >>> check(Config(ema=1.0))
    Traceback (most recent call last):
    nexperia_tf.errors.BadInput: --ema 1.0: a number in [0, 1) is expected.
    """
    ranges = {
        "calibration_share": (0 <= config.calibration_share < 0.7, "in [0, .7)"),
        "layer_decay": (0 < config.layer_decay <= 1, "in (0, 1]"),
        "ema": (0 <= config.ema < 1, "in [0, 1)"),
        "clip_norm": (config.clip_norm >= 0, "from 0 on"),
        "accumulate": (config.accumulate >= 1, "from 1 on"),
        "epochs": (config.epochs >= 1, "from 1 on"),
        "step_epochs": (config.step_epochs > 0, "above 0"),
        "batch_size": (config.batch_size >= 1, "from 1 on"),
        "rotation": (0 <= config.rotation <= 45, "in [0, 45]"),
        "zoom": (0 <= config.zoom < 1, "in [0, 1)"),
        "brightness": (0 <= config.brightness <= 1, "in [0, 1]"),
        "contrast": (0 <= config.contrast < 1, "in [0, 1)"),
        "tone": (0 <= config.tone <= 2, "in [0, 2]"),
        "drawn": (0 <= config.drawn < 1, "in [0, 1)"),
        "drawn_map": (config.drawn_map >= 0, "from 0 on"),
        "checkpoint_steps": (config.checkpoint_steps >= 0, "from 0 on"),
        "keep_checkpoints": (config.keep_checkpoints >= 1, "from 1 on"),
        "patience": (config.patience >= 1, "from 1 on"),
        "time_budget": (config.time_budget >= 0, "from 0 on"),
    }
    for name, (right, where) in ranges.items():
        if not right:
            raise errors.BadInput(
                f"--{name.replace('_', '-')} {getattr(config, name)}: a number {where} "
                "is expected."
            )
    if config.drawn_only and not config.drawn:
        raise errors.BadInput(
            "--drawn-only leaves nothing but good pictures; pass --drawn .5, too."
        )
    if config.drawn_map:
        _check_map(config)
    if config.deterministic and config.time_budget:
        raise errors.BadInput(
            "--time-budget ends a run by the clock, which --deterministic cannot "
            "repeat; leave one of them out."
        )


def _check_map(config: Config) -> None:
    if not config.drawn_only:
        raise errors.BadInput(
            "--drawn-map knows where drawn defects are, not where given ones are; "
            "pass --drawn-only, too."
        )
    if config.balance == "loss":
        raise errors.BadInput(
            "--balance loss weighs devices, not the places of --drawn-map; leave one "
            "of them out."
        )
    if config.augment not in ("default", "none", "crop"):
        raise errors.BadInput(
            f"--augment {config.augment} would move a defect away from its place in "
            "--drawn-map; leave one of them out."
        )


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
