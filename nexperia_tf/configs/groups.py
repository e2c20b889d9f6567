"""What a training run can be told, in groups; types and bounds stand beside each field.

The docstring of a field is its help on the command line.
"""

import dataclasses
from typing import Annotated, Literal

from nexperia_tf import bounds
from nexperia_tf.bounds import within
from nexperia_tf.data import source
from nexperia_tf.models import backbones


@dataclasses.dataclass(frozen=True)
class Data(source.DataSource):
    """Which pictures, and how they are split."""

    calibration_share: Annotated[float, *bounds.CALIBRATION_SHARE] = 0.0
    """Share of the labelled devices, whole groups out of train, that chooses thresholds
    and nothing else: split calibration. A split column can name it, too."""

    keep_splits: str = "auto"
    """Run, prepared or data folder whose pictures keep their splits, known by content;
    auto takes those of the same raw folder in --data-dir (of --init, else the newest
    with the same --calibration-share, else the newest), none splits anew."""

    refuse_seen: bool = False
    """End before training where a picture of another split, or its twin, is among those
    that this run or one it starts from learns; else that is said, with the AUC of the
    others."""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """How pictures reach the network, and how they are changed in training."""

    image_size: Annotated[int, *bounds.IMAGE_SIZE] = 224
    """Side of the square the pictures are letterboxed to, in pixels."""

    standardise: Literal["imagenet", "picture"] = "imagenet"
    """By whose mean and spread pixels are scaled: ImageNet's, or each picture's own, so
    that how bright it is tells nothing."""

    augment: Literal[
        "default", "none", "crop", "randaugment", "gridmask", "mixup", "cutmix"
    ] = "default"
    """default, none, crop (ImageNet's random resized crop and flips; it can cut a
    defect off, and is here to compare with studies that used it), or keras-cv's strong
    policies: randaugment, gridmask, mixup, cutmix."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "horizontal"
    """Mirror images that the product allows."""

    rotation: Annotated[float, *within(ge=0, le=45)] = 10.0
    """Largest turn of a training picture in degrees, either way; 0 where every picture
    is straight."""

    zoom: Annotated[float, *within(ge=0, lt=1)] = 0.1
    """Largest shrinking of a training picture; its shifts use that room."""

    brightness: Annotated[float, *within(ge=0, le=1)] = 0.06
    """Largest change of a training picture's brightness, as a part of full range."""

    contrast: Annotated[float, *within(ge=0, lt=1)] = 0.2
    """Largest change of a training picture's contrast."""

    tone: Annotated[float, *within(ge=0, le=2)] = 0.0
    """Largest change of a training picture's tone curve, as the logarithm of its gamma:
    .5 is a gamma of .61 to 1.65."""

    cache: Literal["auto", "memory", "none"] = "auto"
    """Keep decoded pictures in memory; auto does where they fit."""


@dataclasses.dataclass(frozen=True)
class Network:
    """The network, the weights it starts from, and what of it learns."""

    backbone: Annotated[str, *bounds.one_of(backbones.names)] = "resnext"
    """resnext (= resnext50_32x4d), wide_resnet (= wide_resnet50_2), resnet50,
    resnext101_32x8d, resnext101_64x4d, wide_resnet101_2; for CPUs resnext26_32x4d,
    wide_resnet26_2 and resnet26_quarter, a thin one."""

    weights: str = "none"
    """none, imagenet, or a torch-style .safetensors file for the backbone."""

    init: str = ""
    """Run folder whose weights to start from, the head's too; its backbone and colour
    must be these."""

    freeze: Literal["none", "stem", "stage1", "stage2", "stage3", "stage4"] = "none"
    """Last part that stays as it is, with all before it; stage4 trains the head
    alone."""

    freeze_batch_norm: bool = False
    """Keep every batch norm as it is: its statistics are those it started with."""

    sync_batch_norm: bool = False
    """Take batch-norm statistics over the whole batch and not each device's share; on
    one device the same, but slower."""

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    """auto is mixed_float16 on a GPU and float32 on a CPU."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """What a wrong score costs."""

    loss: Literal["focal", "bce"] = "focal"
    """Focal loss or binary cross-entropy."""

    alpha: Annotated[float | None, *within(gt=0, lt=1)] = None
    """Weight of defects in the focal loss; none weighs both classes 1."""

    gamma: Annotated[float, *within(ge=0, le=20)] = 2.0
    """How strongly the focal loss discounts easy devices; 0 is cross-entropy."""

    balance: Literal["none", "loss", "sampling"] = "none"
    """Have both classes count the same, an alternative to --alpha: loss weighs devices,
    sampling fills each batch from both alike and repeats the rarer; with --drawn half
    of it shows a defect, given or drawn. The offset in calibration.json brings scores
    back to the share on validation."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """Steps, learning rate and averages."""

    epochs: Annotated[int, *within(ge=1, le=1_000_000)] = 20
    """Passes over the training split."""

    batch_size: Annotated[int, *bounds.BATCH] = 32
    """Devices per step."""

    optimizer: Literal["adamw", "sgd", "momentum"] = "adamw"
    """AdamW, SGD with Nesterov momentum .9, or with the older, plain momentum .9."""

    learning_rate: Annotated[float, *within(gt=0, le=1000)] = 1e-3
    """Its peak, after the warm-up."""

    schedule: Literal["cosine", "step"] = "cosine"
    """How the learning rate falls: along half a cosine to 0, or to a tenth every
    --step-epochs."""

    step_epochs: Annotated[float, *within(gt=0, le=1_000_000)] = 30.0
    """Epochs between the falls of --schedule step."""

    warmup_epochs: Annotated[float, *within(ge=0, le=1_000_000)] = 1.0
    """Epochs of linear warm-up before the fall."""

    weight_decay: Annotated[float, *within(ge=0, le=100)] = 0.05
    """Decoupled decay of kernels; batch norm and biases are left alone."""

    layer_decay: Annotated[float, *within(gt=0, le=1)] = 1.0
    """Share of the learning rate that each part below the head gets of the next; 1 is
    the same rate for all."""

    clip_norm: Annotated[float, *within(ge=0, le=1e9)] = 0.0
    """Largest norm of all gradients together; 0 leaves them."""

    accumulate: Annotated[int, *within(ge=1, le=65536)] = 1
    """Steps whose gradients make one update: a batch of that many times --batch-size
    (batch norm still sees --batch-size)."""

    ema: Annotated[float, *within(ge=0, lt=1)] = 0.0
    """Momentum of a running average of weights and batch-norm statistics, which is then
    judged and kept in place of the last weights; 0 is none, .999 is usual."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Defects drawn on good training pictures."""

    drawn: Annotated[float, *within(ge=0, lt=1)] = 0.0
    """Share of good training pictures on which a dark defect is drawn (crack, dead
    region, streaks, spots), another one in each epoch; they count as defects then."""

    drawn_look: Literal["dark", "cracks"] = "dark"
    """What --drawn draws: dark takes all kinds; cracks takes cracks and parts they cut
    off, and puts streaks, spots, uneven light and more texture, which then tell
    nothing, on good and defective pictures alike."""

    drawn_map: Annotated[float, *within(ge=0, le=1000)] = 0.0
    """Weight of a second loss: the network is shown where the drawn defect is, and says
    for each place of its last stage whether one is there; 0 is none. Needs
    --drawn-only, as nothing shows it where given defects are."""

    drawn_only: bool = False
    """Leave the given defects out of training and learn from drawn ones alone; the
    other splits keep theirs."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The run folder, what is kept in it, when the run ends, and where it runs."""

    out: str = ""
    """Run folder to write; runs/BACKBONE-TIME when empty. Must not exist yet."""

    monitor: Literal["auto", "auc", "partial_auc", "accuracy", "last"] = "auto"
    """What the best epoch is best in, on validation. partial_auc is the area where TPR
    >= .99; auto takes it from 1,000 validation defects on, which tell it apart.
    accuracy is the share right at threshold .5. last keeps the last epoch, where
    validation has too few lots to choose by."""

    patience: Annotated[int, *within(ge=1, le=1_000_000)] = 10
    """Epochs without a better validation figure before the run stops early."""

    time_budget: Annotated[float, *within(ge=0, le=1e9)] = 0.0
    """Minutes for training: no epoch is begun that would not fit; 0 is no limit."""

    strategy: Literal["auto", "none", "mirrored", "multiworker"] = "auto"
    """Devices that share each batch: mirrored takes all GPUs of this machine, auto does
    where there are several, none takes one; multiworker takes those of all machines in
    the environment variable TF_CONFIG, on each of which the same command runs with an
    --out that all of them see."""

    checkpoint_steps: Annotated[int, *within(ge=0, le=1_000_000_000)] = 0
    """Steps between two checkpoints within an epoch, beside those at its end; 0 is
    none."""

    keep_checkpoints: Annotated[int, *within(ge=1, le=1_000_000)] = 2
    """How many of the last checkpoints stay, beside that of the best epoch."""

    seed: Annotated[int, *bounds.SEED] = 0
    """Of weights, shuffling and augmentation."""

    deterministic: bool = False
    """Same seed, same weights to the bit; slower, refuses the strong policies."""
