"""The settings of a training run, in groups; types and bounds stand beside each field.

The docstring of a field is its help on the command line.
"""

import dataclasses
from typing import Annotated, Literal

from nexperia_tf import bounds, sizes
from nexperia_tf.bounds import by_recipe, within
from nexperia_tf.data import source
from nexperia_tf.models import backbones


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is decided for you, as far as no flag says otherwise."""

    recipe: Literal["auto", "standard", "plain", "search"] = "auto"
    """standard suits folders of hundreds to thousands of pictures, and is what auto
    takes; plain was the default before there were recipes; search tries a few
    differences to standard on parts of the training split, and trains with what was
    best there."""

    search_plan: Annotated[str, *bounds.a_file()] = ""
    """With --recipe search, replay the plan of an earlier run, RUN/search/plan.json, in
    place of --time-budget: the same trials, whatever the clock says."""


@dataclasses.dataclass(frozen=True)
class Data(source.DataSource):
    """Which pictures, and how they are split."""

    calibration_share: Annotated[float, *bounds.CALIBRATION_SHARE] = 0.0
    """Share of the labelled devices, whole groups out of train, set aside for choosing
    thresholds only: split calibration. A split column can name it, too."""

    keep_splits: str = "auto"
    """Run, prepared or data folder whose pictures keep their splits, matched by pixels;
    auto takes those of the same raw folder in --data-dir (of --init, else the newest
    with the same --calibration-share, else the newest), none splits anew."""

    fold: Annotated[str, *bounds.FOLD] = ""
    """Such as 2/5: deal all labelled pictures to so many folds, in whole groups, hold
    this one out as the test split and learn from the others; for nexperia audit."""

    refuse_seen: bool = False
    """Refuse to train if a picture of another split, or its twin, is a training picture
    of this run or of one it starts from; by default that is reported, with the AUC of
    the other pictures."""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """How pictures reach the network, and how they are changed in training."""

    image_size: Annotated[int | str, *bounds.IMAGE_SIZE_OR_AUTO] = sizes.AUTO
    """Canvas the pictures are letterboxed to, in pixels: the side of a square, or
    320x128, height first. auto has the pixels of 224x224 in the shape of the
    pictures."""

    standardise: Annotated[Literal["imagenet", "picture"] | None, *by_recipe()] = None
    """Whose mean and standard deviation pixels are scaled by: ImageNet's, or each
    picture's own, so that its brightness carries no information."""

    augment: Literal[
        "default", "none", "crop", "randaugment", "gridmask", "mixup", "cutmix"
    ] = "default"
    """default, none, crop (ImageNet's random resized crop and flips; it can cut a
    defect off; for comparison with studies that used it), or keras-cv's strong
    policies: randaugment, gridmask, mixup, cutmix."""

    flip: Annotated[
        Literal["none", "horizontal", "vertical", "both"] | None, *by_recipe()
    ] = None
    """Mirroring of training pictures; choose what the product allows."""

    rotation: Annotated[float | None, *by_recipe(ge=0, le=45)] = None
    """Largest rotation of a training picture, in degrees either way; 0 where every
    picture is straight."""

    zoom: Annotated[float | None, *by_recipe(ge=0, lt=1)] = None
    """Largest reduction in size of a training picture; shifts use the space left."""

    brightness: Annotated[float | None, *by_recipe(ge=0, le=1)] = None
    """Largest change of a training picture's brightness, as a share of full range."""

    contrast: Annotated[float | None, *by_recipe(ge=0, lt=1)] = None
    """Largest change of a training picture's contrast."""

    tone: Annotated[float | None, *by_recipe(ge=0, le=2)] = None
    """Largest change of a training picture's tone curve, as the logarithm of its gamma:
    .5 is a gamma of .61 to 1.65."""

    cache: Literal["auto", "memory", "none"] = "auto"
    """Keep decoded pictures in memory; auto does where they fit."""


@dataclasses.dataclass(frozen=True)
class Network:
    """The network, the weights it starts from, and which parts of it learn."""

    backbone: Annotated[str, *bounds.one_of(backbones.names_and_auto)] = "auto"
    """resnext (= resnext50_32x4d), wide_resnet (= wide_resnet50_2), resnet50,
    resnext101_32x8d, resnext101_64x4d, wide_resnet101_2; for CPUs resnet26,
    resnext26_32x4d, wide_resnet26_2 and resnet26_quarter, a thin one. auto takes
    resnext where there is a GPU, else a thin one."""

    weights: str = "auto"
    """auto takes published ImageNet weights where the hub's local cache holds them and
    asks no network; imagenet fetches them where it does not; none starts anew; or a
    torch-style .safetensors file for the backbone."""

    fine_tuning: bool = True
    """From such weights, learn by the recipe for fine-tuning: --learning-rate,
    --layer-decay, --warmup-epochs and --freeze-batch-norm, where they are at their
    defaults, take its values."""

    init: str = ""
    """Run folder whose weights to start from, the head's too; it must have the same
    backbone and channels."""

    freeze: Annotated[
        Literal["none", "stem", "stage1", "stage2", "stage3", "stage4"] | None,
        *by_recipe(),
    ] = None
    """Last part to keep fixed, with all before it; stage4 trains the head alone."""

    freeze_batch_norm: bool = False
    """Keep every batch norm fixed, with the statistics it starts with."""

    sync_batch_norm: bool = False
    """Take batch-norm statistics over the whole batch instead of each device's share;
    on one device the same, but slower."""

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    """auto is mixed_float16 on a GPU; on a CPU mixed_bfloat16 where the processor has
    amx_bf16, else float32. mixed_float16 needs a GPU."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """What a wrong score costs."""

    loss: Literal["focal", "bce"] = "focal"
    """Focal loss or binary cross-entropy."""

    alpha: Annotated[float | None, *within(gt=0, lt=1)] = None
    """Weight of defects in the focal loss; None gives both classes weight 1."""

    gamma: Annotated[float, *within(ge=0, le=20)] = 2.0
    """How strongly the focal loss discounts easy devices; 0 is cross-entropy."""

    balance: Literal["none", "loss", "sampling"] = "none"
    """Make both classes count equally, as an alternative to --alpha: loss weights
    devices; sampling fills each batch from both equally and repeats the rarer; with
    --drawn half of it shows a defect, given or drawn. The offset in calibration.json
    corrects scores for the share of defects on validation."""


@dataclasses.dataclass(frozen=True)
class Optimisation:
    """Steps, learning rate and averages."""

    epochs: Annotated[int | None, *by_recipe(ge=1, le=1_000_000)] = None
    """Passes over the training split; epochs of --epoch-steps, where these are more."""

    epoch_steps: Annotated[int | None, *by_recipe(ge=0, le=1_000_000)] = None
    """Least steps of an epoch: where the training split has fewer, an epoch shows it
    several times. 0 is one pass, however few pictures there are."""

    batch_size: Annotated[int, *bounds.BATCH] = 32
    """Devices per step."""

    optimizer: Literal["adamw", "sgd", "momentum"] = "adamw"
    """AdamW, SGD with Nesterov momentum .9, or with the older, plain momentum .9."""

    learning_rate: Annotated[float | None, *by_recipe(gt=0, le=1000)] = None
    """Peak learning rate, after the warm-up."""

    schedule: Literal["cosine", "step"] = "cosine"
    """How the learning rate falls: along half a cosine to 0, or to a tenth every
    --step-epochs."""

    step_epochs: Annotated[float, *within(gt=0, le=1_000_000)] = 30.0
    """Epochs between the steps of --schedule step."""

    warmup_epochs: Annotated[float | None, *by_recipe(ge=0, le=1_000_000)] = None
    """Epochs of linear warm-up."""

    weight_decay: Annotated[float, *within(ge=0, le=100)] = 0.05
    """Decoupled weight decay of kernels; batch norm and biases have none."""

    layer_decay: Annotated[float, *within(gt=0, le=1)] = 1.0
    """Factor by which the learning rate falls with each part below the head; 1 is the
    same rate for all."""

    clip_norm: Annotated[float, *within(ge=0, le=1e9)] = 0.0
    """Largest global norm of the gradients; 0 does not clip."""

    accumulate: Annotated[int, *within(ge=1, le=65536)] = 1
    """Steps whose gradients make one update: a batch of that many times --batch-size
    (batch norm still sees --batch-size)."""

    ema: Annotated[float | None, *by_recipe(ge=0, lt=1)] = None
    """Momentum of a running average of weights and batch-norm statistics, which is then
    validated and kept instead of the weights; 0 is none, .999 is usual."""


@dataclasses.dataclass(frozen=True)
class First:
    """A first stage, which learns what defects look like; the second one goes on."""

    first_epochs: Annotated[int | None, *by_recipe(ge=0, le=1_000_000)] = None
    """Epochs of a first stage of training, from good pictures, drawn defects and given
    ones with a box: those whose places are known. The stage after it starts from its
    weights and learns from all given ones, from drawn ones the map alone. 0 is
    none."""

    first_drawn: Annotated[float | None, *by_recipe(ge=0, lt=1)] = None
    """What --drawn is in the first stage."""

    first_learning_rate: Annotated[float | None, *by_recipe(gt=0, le=1000)] = None
    """What --learning-rate is in the first stage, in which nothing is frozen."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Defects drawn on good training pictures."""

    drawn: Annotated[float | None, *by_recipe(ge=0, lt=1)] = None
    """Share of good training pictures on which a defect is drawn, another one in each
    epoch; they count as defects then."""

    drawn_look: Annotated[Literal["any", "dark", "cracks"] | None, *by_recipe()] = None
    """What --drawn draws: any is half cracks, half lines, spots, moved pieces, textures
    and chips, dark or bright; dark is all dark kinds of solar cells; cracks is cracks
    and parts they cut off, with streaks, spots, uneven light and more texture on good
    and defective pictures alike, so that these carry no information."""

    drawn_map: Annotated[float | None, *by_recipe(ge=0, le=1000)] = None
    """Weight of a second loss, by which the network learns to say for each place of its
    last stage whether a defect is there, from drawn defects and from boxes of given
    ones; 0 is none."""

    drawn_only: bool = False
    """Leave the given defects out of training and learn from drawn ones alone; other
    splits keep theirs."""

    boxed_only: bool = False
    """Leave given defects without a box out of training; other splits keep theirs."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The run folder, what is kept in it, when the run ends, and where it runs."""

    out: str = ""
    """Run folder to write; runs/BACKBONE-TIME when empty. Must not exist yet."""

    monitor: Literal["auto", "auc", "partial_auc", "accuracy", "last"] = "auto"
    """Validation figure that chooses the best epoch. partial_auc is the area where TPR
    >= .99; auto takes it from 1,000 validation defects on, else auc. accuracy is the
    share correct at threshold .5. last keeps the last epoch, for where validation has
    too few lots to choose by."""

    patience: Annotated[int | None, *by_recipe(ge=1, le=1_000_000)] = None
    """Epochs without a better validation figure before the run stops early."""

    time_budget: Annotated[float, *within(ge=0, le=1e9)] = 0.0
    """Minutes for training: an epoch that would not fit is not begun; 0 is no limit.
    With --recipe search, minutes that the whole command is planned for; no clock stops
    it."""

    strategy: Literal["auto", "none", "mirrored", "multiworker"] = "auto"
    """Devices that share each batch: mirrored uses all GPUs of this machine, as auto
    does where there are several; none uses one; multiworker uses those of all machines
    in the environment variable TF_CONFIG, each of which runs the same command with an
    --out that all of them see."""

    checkpoint_steps: Annotated[int, *within(ge=0, le=1_000_000_000)] = 0
    """Steps between checkpoints within an epoch, besides the one at its end; 0 is
    none."""

    keep_checkpoints: Annotated[int, *within(ge=1, le=1_000_000)] = 2
    """How many of the last checkpoints to keep, besides that of the best epoch."""

    seed: Annotated[int, *bounds.SEED] = 0
    """Of weights, shuffling and augmentation."""

    deterministic: bool = False
    """Same seed, bit-identical weights on the same machine; slower, and not with the
    strong policies."""
