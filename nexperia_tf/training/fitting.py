"""The training steps of one run, with all that happens between them."""

import contextlib
import functools
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from nexperia_tf import configs
from nexperia_tf.configs import recipes
from nexperia_tf.data.input import augment, batching
from nexperia_tf.data.input import changes as changing
from nexperia_tf.data.input import order as ordering
from nexperia_tf.data.records import reading
from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.training import (
    devices,
    display,
    history,
    model_setup,
    monitor,
    run_data,
    weight_average,
)

SHOWN = 16  # pictures of the first batch in TensorBoard


def stages(
    config: configs.Config,
    data: run_data.Data,
    folder: pathlib.Path,
    workers: devices.Workers,
    *,
    begin: Callable[[], None],
    quiet: bool = False,
) -> dict:
    """Trains what is left of one stage or two; the epochs of the last for metrics.json.

    Args:
        config: with nothing left open.
        data: what it learns from.
        folder: for checkpoints and models of both.
        workers: that train together.
        begin: makes the folder; called by the chief once a network could be built.
        quiet: print nothing, and nothing for TensorBoard.
    """
    first = data.first and (recipes.first_stage(config), data.of_first_stage)
    model = built(*(first or (config, data)), workers)
    with workers.chief_first():
        if workers.chief:
            begin()
    say = workers.chief and not quiet
    if first:
        if workers.chief:
            (folder / run_folders.FIRST).mkdir(exist_ok=True)
        if say:
            print("first stage: drawn defects, and given ones with a box")
        fit(model, *first, folder / run_folders.FIRST, workers, quiet=quiet)
        if say:
            print("second stage: all given defects")
        learned = run_folders.load_model(folder / run_folders.FIRST / run_folders.MODEL)
        model = built(config, data, workers, learned)
    return fit(model, config, data, folder, workers, quiet=quiet)


def built(
    config: configs.Config,
    data: run_data.Data,
    workers: devices.Workers,
    before: keras.Model | None = None,
) -> keras.Model:
    """The compiled network, which goes on from the model of the stage before."""
    # After the data: making records draws random numbers, reading them does not.
    keras.utils.set_random_seed(config.run.seed)
    with workers.strategy.scope():
        return model_setup.build(
            config,
            channels=data.pictures.channels,
            prior=data.order.balance.prior,
            steps=data.order.steps,
            before=before,
        )


def fit(
    model: keras.Model,
    config: configs.Config,
    data: run_data.Data,
    folder: pathlib.Path,
    workers: devices.Workers,
    *,
    quiet: bool = False,
) -> dict:
    """Trains what is left of one stage; returns the epochs for metrics.json."""
    ema = config.optimisation.ema
    average = weight_average.WeightAverage(model, ema) if ema else None
    watched = _monitor(config, data, folder, workers, average)
    watched.set_model(model)
    reached = ordering.Position(*watched.restore())
    if watched.stopped:
        return watched.summary
    # The average moves before it is validated.
    callbacks = [average, watched] if average else [watched]
    screen = display.Display(watched)
    shown = workers.chief and not quiet
    if shown:
        board = keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)
        callbacks += [screen, board]
    for start, last in _parts(reached, config.optimisation.epochs):
        if model.stop_training:
            break
        batches = batches_of(config, data, workers, start, last)
        if shown and start == ordering.Position():
            _show(batches, folder / "tensorboard" / "train")
        with workers.patched_fit(), contextlib.closing(screen):
            model.fit(
                workers.distribute(batches),
                epochs=last,
                initial_epoch=start.epoch,
                steps_per_epoch=data.order.steps - start.step,
                callbacks=callbacks,
                shuffle=False,  # the pipeline has done so
                verbose=0,
            )
    return watched.summary


def _monitor(
    config: configs.Config,
    data: run_data.Data,
    folder: pathlib.Path,
    workers: devices.Workers,
    average: weight_average.WeightAverage | None,
) -> monitor.Monitor:
    first = folder / run_folders.FIRST  # the stage before, where there was one
    return monitor.Monitor(
        folder,
        _validation(config, data),
        monitor=config.run.monitor,
        stopping=history.Stopping(
            epochs=config.optimisation.epochs,
            patience=config.run.patience,
            minutes=_minutes(config),
            before=history.seconds_in(first / run_folders.HISTORY),
        ),
        steps=monitor.Steps(
            data.order.steps,
            batch_size=config.optimisation.batch_size,
            image_ids=functools.partial(_image_ids, data),
            checkpoint_every=config.run.checkpoint_steps,
        ),
        average=average,
        keep=config.run.keep_checkpoints,
        workers=workers,
    )


def _minutes(config: configs.Config) -> float:
    """That training may take; a search has planned its steps, and no clock ends it."""
    searched = config.recipe.recipe == recipes.SEARCH
    return 0.0 if searched else config.run.time_budget


def _parts(
    start: ordering.Position, epochs: int
) -> list[tuple[ordering.Position, int]]:
    """Start and last epoch of each fit that is left.

    A checkpoint within an epoch leaves a part of one, which is a fit of its own.

    >>> parts = _parts(ordering.Position(2, 7), epochs=5)
    >>> [(start.epoch, start.step, last) for start, last in parts]
    [(2, 7, 3), (3, 0, 5)]
    >>> [last for start, last in _parts(ordering.Position(4, 7), epochs=5)]
    [5]
    >>> _parts(ordering.Position(5), epochs=5)
    []
    """
    parts = [(start, epochs)]
    if start.step:
        following = start.epoch + 1
        parts = [(start, following), (ordering.Position(following), epochs)]
    return [(first, last) for first, last in parts if first.epoch < last]


@tf.autograph.experimental.do_not_convert
def batches_of(
    config: configs.Config,
    data: run_data.Data,
    workers: devices.Workers,
    start: ordering.Position,
    epochs: int,
) -> tf.data.Dataset:
    """Batches as `fit` takes them: images, targets and, if asked for, weights."""
    batches = batching.training(
        data.dataset,
        data.pictures,
        data.order,
        epochs=epochs,
        changes=_changes(config),
        start=start,
        worker=workers.place,
    )
    weights = data.order.balance.weights if data.order.balance.by_loss else None

    def to_fit(batch: changing.Batch) -> tuple:
        targets = batch["label"]
        if "map" in batch:
            targets = {classifier.LOGIT: batch["label"], classifier.MAP: batch["map"]}
        learned = batch["image"], targets
        return (*learned, weights(batch["label"])) if weights else learned

    return batches.map(to_fit)


def _changes(config: configs.Config) -> changing.Changes:
    stride = backbones.shape(config.network.backbone).stride
    return changing.Changes(
        config.pictures.augment,
        _policy(config),
        drawn_look=config.drawn.drawn_look,
        map_stride=stride if config.drawn.drawn_map else 0,
        drawn_label=1.0 if recipes.drawn_are_defects(config) else changing.UNKNOWN,
    )


def _policy(config: configs.Config) -> augment.Policy:
    pictures = config.pictures
    if pictures.augment == "crop":
        return augment.Policy(pictures.flip, brightness=0.0, contrast=0.0, crop=True)
    return augment.Policy(
        flip=pictures.flip,
        rotation=pictures.rotation,
        zoom=pictures.zoom,
        brightness=pictures.brightness,
        contrast=pictures.contrast,
        tone=pictures.tone,
    )


def _show(batches: tf.data.Dataset, folder: pathlib.Path) -> None:
    """Puts pictures of the first batch, as the network sees them, into TensorBoard."""
    images, *_ = next(iter(batches))
    with tf.summary.create_file_writer(str(folder)).as_default():
        tf.summary.image("first batch", images, step=0, max_outputs=SHOWN)


def _image_ids(data: run_data.Data, epoch: int, step: int) -> list[str]:
    """The devices of a batch, both counted from 0."""
    names = reading.metadata(data.dataset, "train", ("image_id",))["image_id"]
    dealt = batching.dealt_labels(data.dataset, data.order)
    return list(names[data.order.epoch(dealt, epoch).indices[step]])


def _validation(
    config: configs.Config, data: run_data.Data
) -> tuple[tf.data.Dataset, np.ndarray]:
    batch_size = 2 * config.optimisation.batch_size  # no gradients are kept
    if data.order.left_out:
        return judged(data, batch_size=batch_size)
    batches = batching.evaluation(
        data.dataset, "validation", data.pictures, batch_size=batch_size
    )
    label = reading.metadata(data.dataset, "validation", ("label",))["label"]
    return batching.images(batches), label


def judged(
    data: run_data.Data, *, batch_size: int
) -> tuple[tf.data.Dataset, np.ndarray]:
    """Pictures and labels of the training devices that an order leaves to be judged."""
    columns = reading.metadata(data.dataset, "train", ("label", "image_id"))
    places = np.flatnonzero([n in data.order.left_out for n in columns["image_id"]])
    batches = batching.of_places(
        data.dataset, places, data.pictures, batch_size=batch_size
    )
    return batching.images(batches), columns["label"][places]
