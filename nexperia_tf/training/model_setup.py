"""The compiled classifier of a run: where it starts, what of it learns, and how."""

import pathlib

import keras
import tensorflow as tf

from nexperia_tf import configs, errors, files
from nexperia_tf.configs import checks, fine_tuning
from nexperia_tf.library_internals import keras_internals
from nexperia_tf.models import backbones, classifier, finetuning, pretrained
from nexperia_tf.models import weights as published
from nexperia_tf.runs import run_folders
from nexperia_tf.training import devices, losses, optimizers


def build(
    config: configs.Config,
    *,
    channels: int,
    prior: float,
    steps: int,
    before: keras.Model | None = None,
) -> keras.Model:
    """A compiled classifier whose optimizer is built, with a map for `drawn_map`.

    Args:
        config: network, starting weights, what stays fixed, loss and optimizer.
        channels: 1 for grey pictures, 3 for colour.
        prior: share of defects among the training devices, .5 where they are balanced.
        steps: training steps in an epoch.
        before: model of the stage before, in place of what the config starts from.

    Raises:
        errors.BadInput: a name is unknown, or the starting weights do not fit.
    """
    _check_shared(config)
    model = classifier.build(
        config.network.backbone,
        image_size=config.pictures.image_size,
        channels=channels,
        prior=prior,
        standardise=config.pictures.standardise,
    )
    if before is None:
        before = _start(model, config, channels)
    if before is not None:
        model.set_weights(classifier.without_map(before).get_weights())
    if config.network.sync_batch_norm:
        devices.synchronise(model)
    finetuning.freeze(
        model, up_to=config.network.freeze, batch_norm=config.network.freeze_batch_norm
    )
    loss = losses.named(
        config.loss.loss, alpha=config.loss.alpha, gamma=config.loss.gamma
    )
    loss_weights = None
    if config.drawn.drawn_map:
        model = classifier.with_map(model)
        if before is not None:
            classifier.take_map(model, before)
        loss = {classifier.LOGIT: loss, classifier.MAP: losses.KnownPlaces()}
        loss_weights = {classifier.LOGIT: 1.0, classifier.MAP: config.drawn.drawn_map}
    model.compile(
        optimizer=_optimizer(config, _rate(config, steps)),
        loss=loss,
        loss_weights=loss_weights,
        jit_compile=False,  # XLA on a CPU spoils the grouped convolution
    )
    # Variables that are made while the first step is traced have it traced twice.
    model.optimizer.build(model.trainable_variables)
    keras_internals.build_loss(model)
    return model


def check_start(config: configs.Config) -> None:
    """Finds starting weights that cannot fit, before the data is made.

    Raises:
        errors.BadInput: nothing is published for the backbone, or the run of `--init`
            has another one.
    """
    if config.network.weights == "imagenet":
        published.find_published(backbones.full_name(config.network.backbone))
    if not config.network.init:
        return
    name = run_folders.load(config.network.init).config.network.backbone
    if backbones.full_name(name) != backbones.full_name(config.network.backbone):
        raise errors.BadInput(
            f"--init {config.network.init}: its backbone is {name}, not "
            f"{config.network.backbone}; pass --backbone {name}."
        )


def started(
    config: configs.Config, *, machines: int = 1
) -> tuple[configs.Config, list[str]]:
    """The config with `--weights auto` decided and fine-tuning's recipe in it.

    Args:
        config: what is asked for; a run that goes on from another looks for no weights.
        machines: how many train together. Where several do, auto finds nothing: what
            lies in their caches may differ.

    Returns:
        the config, whose `weights` are none, imagenet or a file, and what to say of it.

    Raises:
        errors.BadInput: what the cache holds is damaged, or the file that a run began
            with is gone.
    """
    network = config.network
    name = backbones.full_name(network.backbone)
    lines = []
    if network.weights == "auto":
        found = None
        if not network.init and machines == 1:
            found = published.cached(name)
        config = config.changed(weights=str(found or "none"))
        if not network.init and not found:
            lines = _said_of_none(name, machines)
    weights = config.network.weights
    if weights not in checks.STARTS and not pathlib.Path(weights).is_file():
        raise errors.BadInput(f"--weights {weights}: {checks.missing(config)}.")
    if weights != "none":
        lines = [f"weights: {in_words(weights, name)}"]
    tuned = fine_tuning.applied(config)
    if tuned != config:
        lines.append(
            f"fine-tuning: {fine_tuning.described(tuned)} (other values win; "
            "--fine-tuning False keeps the defaults)"
        )
    return tuned, lines


def _said_of_none(backbone: str, machines: int) -> list[str]:
    fetch = published.how_to_fetch(backbone)
    if not fetch:
        return []
    if machines > 1:
        return [
            "weights: random; where several machines train, pass --weights imagenet or "
            "a file that each has"
        ]
    return [
        f"weights: random; {fetch}, which often help where pictures are few (not "
        "measured for this package)"
    ]


def in_words(weights: str, backbone: str) -> str:
    """What a run starts from, in words: hub name and licence, or the file."""
    timm = published.IMAGENET.get(backbone)
    repository = f"models--timm--{timm.fine_tuning}" if timm else ""
    if timm and (weights == "imagenet" or repository in pathlib.Path(weights).parts):
        return f"timm/{timm.fine_tuning} ({published.licence(timm.fine_tuning)})"
    return weights


def weights_used(config: configs.Config) -> dict[str, str | None]:
    """File and SHA-256 of the weights that a run starts from, for config.json.

    Args:
        config: as `started` gives it.

    Raises:
        errors.BadInput: the file is not there, or no longer.
    """
    name = backbones.full_name(config.network.backbone)
    path = published.file_of(config.network.weights, name)
    if path is None:
        return {"weights_file": None, "weights_sha256": None}
    return {"weights_file": str(path), "weights_sha256": files.sha256(path)}


def _check_shared(config: configs.Config) -> None:
    # Keras clips and accumulates what one device has, not the sum over all.
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return
    options = config.optimisation
    for flag, used in (
        (f"--clip-norm {options.clip_norm}", options.clip_norm > 0),
        (f"--accumulate {options.accumulate}", options.accumulate > 1),
    ):
        if used:
            raise errors.BadInput(
                f"{flag}: not where several devices share a batch; leave it out or "
                "pass --strategy none."
            )


def _start(
    model: keras.Model, config: configs.Config, channels: int
) -> keras.Model | None:
    """Loads what `--weights` names, or gives the model of `--init`."""
    if not config.network.init:
        pretrained.load(model, config.network.weights)
        return None
    before = run_folders.load(config.network.init)
    if before.channels != channels:
        kinds = {1: "grey", 3: "colour"}
        raise errors.BadInput(
            f"--init {config.network.init}: it was trained on {kinds[before.channels]} "
            f"pictures, these are {kinds[channels]}; start from another run."
        )
    return before.model(with_map=True)


def _rate(
    config: configs.Config, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    options = config.optimisation
    total = steps * options.epochs
    warmup = min(round(steps * options.warmup_epochs), total // 2)
    if options.schedule == "step":
        every = max(1, round(steps * options.step_epochs))
        return optimizers.WarmupStep(
            options.learning_rate, every=every, warmup_steps=warmup
        )
    return optimizers.warmup_cosine(
        options.learning_rate, steps=total, warmup_steps=warmup
    )


def _optimizer(
    config: configs.Config, rate: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    options = config.optimisation
    several = options.accumulate if options.accumulate > 1 else None
    knobs = {
        "weight_decay": options.weight_decay,
        "layer_decay": options.layer_decay,
        "global_clipnorm": options.clip_norm or None,
        "gradient_accumulation_steps": several,
    }
    if options.optimizer == "adamw":
        optimizer = optimizers.LayerwiseAdamW(rate, **knobs)
    else:
        nesterov = options.optimizer == "sgd"
        optimizer = optimizers.LayerwiseSGD(
            rate, momentum=0.9, nesterov=nesterov, **knobs
        )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer
