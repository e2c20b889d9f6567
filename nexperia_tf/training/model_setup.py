"""The compiled classifier of a run: where it starts, what of it learns, and how."""

import keras
import tensorflow as tf

from nexperia_tf import configs, errors
from nexperia_tf.models import backbones, classifier, finetuning, pretrained
from nexperia_tf.runs import run_folders
from nexperia_tf.training import devices, losses, optimizers, schedules


def build(
    config: configs.Config, *, channels: int, prior: float, steps: int
) -> keras.Model:
    """A compiled classifier whose optimizer is built, with a map for `drawn_map`.

    Args:
        config: network, starting weights, what stays fixed, loss and optimizer.
        channels: 1 for grey pictures, 3 for colour.
        prior: share of defects among the training devices, .5 where they are balanced.
        steps: training steps in an epoch.

    Raises:
        errors.BadInput: a name is unknown, or the starting weights do not fit.
    """
    _check_shared(config)
    model = classifier.build(
        config.backbone,
        image_size=config.image_size,
        channels=channels,
        prior=prior,
        standardise=config.standardise,
    )
    _start(model, config, channels)
    if config.sync_batch_norm:
        devices.synchronise(model)
    finetuning.freeze(model, up_to=config.freeze, batch_norm=config.freeze_batch_norm)
    loss = losses.named(config.loss, alpha=config.alpha, gamma=config.gamma)
    weights = None
    if config.drawn_map:
        model = classifier.with_map(model)
        places = keras.losses.BinaryCrossentropy(from_logits=True)
        loss = {classifier.LOGIT: loss, classifier.MAP: places}
        weights = {classifier.LOGIT: 1.0, classifier.MAP: config.drawn_map}
    model.compile(
        optimizer=_optimizer(config, _rate(config, steps)),
        loss=loss,
        loss_weights=weights,
        jit_compile=False,  # XLA on a CPU spoils the grouped convolution
    )
    # Variables that are made while the first step is traced have it traced twice.
    model.optimizer.build(model.trainable_variables)
    return model


def _check_shared(config: configs.Config) -> None:
    # Keras clips and accumulates what one device has, not the sum over all.
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return
    for flag, used in (
        (f"--clip-norm {config.clip_norm}", config.clip_norm > 0),
        (f"--accumulate {config.accumulate}", config.accumulate > 1),
    ):
        if used:
            raise errors.BadInput(
                f"{flag}: not where several devices share a batch; leave it out or "
                "pass --strategy none."
            )


def _start(model: keras.Model, config: configs.Config, channels: int) -> None:
    """Loads the weights that `--weights` or `--init` names."""
    if not config.init:
        pretrained.load(model, config.weights)
        return
    if config.weights != "none":
        raise errors.BadInput(
            f"--init {config.init} and --weights {config.weights}: a run starts from "
            "one of them; leave the other out."
        )
    before = run_folders.load(config.init)
    name = before.config["backbone"]
    if backbones.full_name(name) != backbones.full_name(config.backbone):
        raise errors.BadInput(
            f"--init {config.init}: its backbone is {name}, not {config.backbone}; "
            f"pass --backbone {name}."
        )
    if before.channels != channels:
        kinds = {1: "grey", 3: "colour"}
        raise errors.BadInput(
            f"--init {config.init}: it was trained on {kinds[before.channels]} "
            f"pictures, these are {kinds[channels]}; start from another run."
        )
    model.set_weights(before.model().get_weights())


def _rate(
    config: configs.Config, steps: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    total = steps * config.epochs
    warmup = min(round(steps * config.warmup_epochs), total // 2)
    if config.schedule == "step":
        every = max(1, round(steps * config.step_epochs))
        return schedules.WarmupStep(
            config.learning_rate, every=every, warmup_steps=warmup
        )
    return schedules.warmup_cosine(
        config.learning_rate, steps=total, warmup_steps=warmup
    )


def _optimizer(
    config: configs.Config, rate: keras.optimizers.schedules.LearningRateSchedule
) -> keras.optimizers.Optimizer:
    several = config.accumulate if config.accumulate > 1 else None
    knobs = {
        "weight_decay": config.weight_decay,
        "layer_decay": config.layer_decay,
        "global_clipnorm": config.clip_norm or None,
        "gradient_accumulation_steps": several,
    }
    if config.optimizer == "adamw":
        optimizer = optimizers.LayerwiseAdamW(rate, **knobs)
    else:
        nesterov = config.optimizer == "sgd"
        optimizer = optimizers.LayerwiseSGD(
            rate, momentum=0.9, nesterov=nesterov, **knobs
        )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer
