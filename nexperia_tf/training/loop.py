"""One training run: a config in, a run folder out."""

import contextlib
import dataclasses
import datetime
import functools
import pathlib
import shutil

import keras
import numpy as np
import rich.box
import rich.table
import tensorflow as tf

from nexperia_tf import configs, errors, files, labels, locks, sizes
from nexperia_tf.configs import checks
from nexperia_tf.data import manifest
from nexperia_tf.data.input import augment, balance, batching
from nexperia_tf.data.input import changes as changing
from nexperia_tf.data.input import order as ordering
from nexperia_tf.data.input import pictures as picturing
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import summary
from nexperia_tf.data.records import reading, store
from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import environment, run_folders, training_pictures
from nexperia_tf.training import (
    devices,
    display,
    finish,
    history,
    image_size,
    model_setup,
    monitor,
    weight_average,
)

MANIFEST = "manifest.csv"  # of the records
PLACES = ("out", "data_dir", "weights_file")  # which may differ when resumed
SHOWN = 16  # pictures of the first batch in TensorBoard


def train(config: configs.Config, *, resume: bool = False) -> pathlib.Path | None:
    """Trains, scores and exports one model.

    Args:
        config: what to train on what; see configs.Config.
        resume: continue the run in `config.run.out` from its newest checkpoint.

    Returns:
        the run folder, complete with predictions, metrics and SavedModel; None to the
        workers that only helped the chief.

    Raises:
        errors.BadInput: the data, the backbone or the folder cannot be used; nothing
            has been written then.
    """
    checks.check(config)
    model_setup.check_start(config)
    # Before anything else: several workers must meet before TensorFlow is first used.
    workers = devices.workers(
        config.run.strategy, batch_size=config.optimisation.batch_size
    )
    folder = _folder(config, workers, resume=resume)
    with workers.losses_reported(), _alone(folder, workers):
        if workers.chief and not resume:
            files.refuse_existing(folder)
        if resume and (folder / files.MANIFEST).is_file():
            rich.print(f"{folder}: complete already")
            return folder if workers.chief else None
        if config.run.deterministic:
            tf.config.experimental.enable_op_determinism()
        data = _data(config, folder, workers)
        config = _started(_resolved(config, data), folder, workers)
        # After the data: making records draws random numbers, reading them does not.
        keras.utils.set_random_seed(config.run.seed)
        with devices.dtype_policy(devices.precision(config.network.precision)):
            with workers.strategy.scope():
                model = model_setup.build(
                    config,
                    channels=data.pictures.channels,
                    prior=data.order.balance.prior,
                    steps=data.order.steps,
                )
            with workers.chief_first():
                if workers.chief:
                    _open(folder, config, data)
            epochs = _fit(model, config, data, folder, workers)
        with (
            workers.last_barrier((folder / files.MANIFEST).is_file),
            workers.chief_first(),
        ):
            if workers.chief:
                _finish(folder, config, data, epochs)
    return folder if workers.chief else None


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run needs to know of its records.

    Attributes:
        dataset: the records.
        pictures: how they are decoded; grey where every one is.
        order: how the training devices are dealt to batches.
        training_set: the pictures that training and the runs before it learn from.
    """

    dataset: store.Dataset
    pictures: picturing.Pictures
    order: ordering.Order
    training_set: training_pictures.TrainingSet


def _folder(
    config: configs.Config, workers: devices.Workers, *, resume: bool
) -> pathlib.Path:
    if workers.count > 1 and not config.run.out:
        raise errors.BadInput(
            "--strategy multiworker: name a folder that all workers see with --out."
        )
    if resume:
        if not config.run.out:
            raise errors.BadInput("--resume: name the run to continue with --out.")
        if not (pathlib.Path(config.run.out) / run_folders.CONFIG).is_file():
            raise errors.BadInput(
                f"{config.run.out}: there is no run to resume; leave --resume out."
            )
        return pathlib.Path(config.run.out)
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = pathlib.Path(config.run.out or f"runs/{config.network.backbone}-{now}")
    if workers.chief:
        files.refuse_existing(folder)
        files.check_writable(folder)  # before the hours, not after them
    return folder


def _alone(
    folder: pathlib.Path, workers: devices.Workers
) -> contextlib.AbstractContextManager:
    """Keeps a second training away from the folder; the chief writes for all."""
    return locks.held(folder) if workers.chief else contextlib.nullcontext()


def _data(
    config: configs.Config, folder: pathlib.Path, workers: devices.Workers
) -> Data:
    with workers.chief_first():  # where they share a disk, the others find it all made
        dataset = run_folders.dataset_of(config, folder / run_folders.PICTURES)
    rows = manifest.read(dataset.prepared / MANIFEST)
    splits = reading.split_sizes(dataset)
    _check_classes(dataset, rows, "train", drawn=config.drawn.drawn > 0)
    _check_classes(dataset, rows, "validation")
    if manifest.CALIBRATION in splits:
        _check_classes(dataset, rows, manifest.CALIBRATION)
    if workers.chief:
        _say_what_preparing_found(dataset)
    train_rows = [row for row in rows if row.split == "train"]
    order = _order(config, train_rows)
    size = image_size.chosen(_image_size(config, folder), train_rows)
    if workers.chief:
        print(image_size.described(size, train_rows))
    pictures = picturing.Pictures(
        size, reading.channels(dataset), config.pictures.cache
    )
    training_set = _training_set(config, folder, rows)
    _check_seen(config, rows, training_set, say=workers.chief)
    return Data(dataset, pictures, order, training_set)


def _image_size(config: configs.Config, folder: pathlib.Path) -> int | str:
    """What is asked for; a run that is resumed keeps what auto once chose."""
    given, begun = config.pictures.image_size, folder / run_folders.CONFIG
    if given == sizes.AUTO and begun.is_file():
        stored = configs.from_json(files.read_json(begun), where=str(begun))
        return stored.pictures.image_size
    return given


def _resolved(config: configs.Config, data: Data) -> configs.Config:
    """The config with what the run found for itself, and keeps."""
    depth_range = data.dataset.depth_range or run_folders.depth_range_of(config)
    size = data.pictures.size.plain
    return config.changed(depth_range=depth_range, image_size=size)


def _started(
    config: configs.Config, folder: pathlib.Path, workers: devices.Workers
) -> configs.Config:
    """The config with the weights to start from; a resumed run keeps what it found."""
    begun = folder / run_folders.CONFIG
    if config.network.weights == "auto" and begun.is_file():
        stored = configs.from_json(files.read_json(begun), where=str(begun))
        config = config.changed(weights=stored.network.weights)
    config, lines = model_setup.started(config, machines=workers.count)
    if workers.chief:
        print(*lines, sep="\n", end="\n" if lines else "")
    return config


def _order(config: configs.Config, rows: list) -> ordering.Order:
    counted = balance.Balance.of(
        np.array([row.label == labels.DEFECT for row in rows]),
        kind=config.loss.balance,
        drawn=config.drawn.drawn,
        drawn_only=config.drawn.drawn_only,
    )
    batch_size = config.optimisation.batch_size
    if counted.devices < batch_size:
        raise errors.BadInput(
            f"{config.data.data}: {counted.devices} training devices make no batch of "
            f"{batch_size}; pass a smaller --batch-size."
        )
    return ordering.Order(batch_size, config.run.seed, counted)


def _training_set(
    config: configs.Config, folder: pathlib.Path, rows: list
) -> training_pictures.TrainingSet:
    """What the run learns from, with what the run it starts from has learned from."""
    if (folder / training_pictures.TRAINED_ON).is_file():  # a run that is resumed
        return training_pictures.read(folder / training_pictures.TRAINED_ON)
    name = folder.resolve().name
    own = training_pictures.of_rows(rows, name, without_defects=config.drawn.drawn_only)
    init = config.network.init
    before = [training_pictures.of_run(init)] if init else []
    return training_pictures.merged([own, *before])


def _check_seen(
    config: configs.Config,
    rows: list,
    training_set: training_pictures.TrainingSet,
    *,
    say: bool,
) -> None:
    """Says which pictures of other splits are learned from, or refuses them."""
    hashes = training_pictures.hashes_of_rows(rows)
    for split in run_folders.SCORED_SPLITS:
        names = [row.image_id for row in rows if row.used and row.split == split]
        said = training_pictures.described(
            training_pictures.overlap(names, hashes, training_set).counts(), split
        )
        if said and names and config.data.refuse_seen:
            raise errors.BadInput(
                f"--refuse-seen: {said}; leave --init out, or keep the splits it had "
                "with --keep-splits."
            )
        if said and names and say:
            print(f"warning: {said}")


def _say_what_preparing_found(dataset: store.Dataset) -> None:
    for line in summary.facts(_summary_of(dataset)):
        print(line)
    for line in summary.warnings(_summary_of(dataset)):
        print(f"warning: {line}")


def _summary_of(dataset: store.Dataset) -> dict:
    return files.read_json(dataset.prepared / prepare.SUMMARY)


def _check_classes(
    dataset: store.Dataset, rows: list, split: str, *, drawn: bool = False
) -> None:
    given = [row.label for row in rows if row.split == split]
    n_defect = given.count(labels.DEFECT)
    if n_defect == len(given) or not (n_defect or drawn):
        lacking = _summary_of(dataset).get("lacking")
        raise errors.BadInput(
            f"{dataset.prepared / 'manifest.csv'}: training needs good and defect "
            f"devices in split {split}. Received {len(given) - n_defect} good and "
            f"{n_defect} defect; "
            + (lacking or "add pictures or move some by a split column")
            + "."
        )


def _open(folder: pathlib.Path, config: configs.Config, data: Data) -> None:
    """Makes the run folder, or checks that it was made for this config."""
    facts = _facts(config, data)
    if folder.exists():
        _check_same(folder / run_folders.CONFIG, config, facts)
        return
    with files.new_folder(folder) as partial:
        files.write_json(partial / run_folders.CONFIG, configs.to_json(config, facts))
        _list_pictures(partial, data)
        made_with = environment.described(
            seed=config.run.seed, deterministic=config.run.deterministic
        )
        files.write_json(partial / run_folders.ENVIRONMENT, made_with)


def _check_same(path: pathlib.Path, config: configs.Config, facts: dict) -> None:
    """Refuses to go on with a run that was begun with something else."""
    payload = files.read_json(path)
    stored = configs.from_json(payload, where=str(path)).flat()
    stored_facts = configs.facts_from(payload)
    for before, now in ((stored, config.flat()), (stored_facts, facts)):
        for name, value in now.items():
            # An older version found out less.
            if before.get(name, value) != value and name not in PLACES:
                raise errors.BadInput(
                    f"{path}: the run was started with {name} {before.get(name)!r}, "
                    f"not {value!r}; resume with the same config."
                )


def _list_pictures(folder: pathlib.Path, data: Data) -> None:
    """Keeps the splits of all pictures, and what is learned from."""
    shutil.copyfile(data.dataset.prepared / MANIFEST, folder / run_folders.PICTURES)
    training_pictures.write(folder / training_pictures.TRAINED_ON, data.training_set)


def _facts(config: configs.Config, data: Data) -> dict:
    """What the run has found out, for config.json."""
    return {
        "channels": data.pictures.channels,
        "prior": data.order.balance.share,
        "splits": reading.split_sizes(data.dataset),
        "precision": devices.precision(config.network.precision),
        "labels": list(labels.NAMES),
        **model_setup.weights_used(config),
    }


def _fit(
    model: keras.Model,
    config: configs.Config,
    data: Data,
    folder: pathlib.Path,
    workers: devices.Workers,
) -> dict:
    """Trains what is left to train; returns the epochs for metrics.json."""
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
    if workers.chief:
        board = keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)
        callbacks += [screen, board]
    for start, last in _parts(reached, config.optimisation.epochs):
        if model.stop_training:
            break
        batches = _batches(config, data, workers, start, last)
        if workers.chief and start == ordering.Position():
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
    data: Data,
    folder: pathlib.Path,
    workers: devices.Workers,
    average: weight_average.WeightAverage | None,
) -> monitor.Monitor:
    return monitor.Monitor(
        folder,
        _validation(config, data),
        monitor=config.run.monitor,
        stopping=history.Stopping(
            epochs=config.optimisation.epochs,
            patience=config.run.patience,
            minutes=config.run.time_budget,
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


def _batches(
    config: configs.Config,
    data: Data,
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


def _image_ids(data: Data, epoch: int, step: int) -> list[str]:
    """The devices of a batch, both counted from 0."""
    columns = reading.metadata(data.dataset, "train", ("image_id", "label"))
    batch = data.order.epoch(columns["label"], epoch).indices[step]
    return list(columns["image_id"][batch])


def _finish(
    folder: pathlib.Path, config: configs.Config, data: Data, epochs: dict
) -> None:
    if not (folder / training_pictures.TRAINED_ON).is_file():
        _list_pictures(folder, data)  # begun by an older version
    finish.finish(
        folder,
        config,
        data.dataset,
        training_set=data.training_set,
        epochs=epochs,
    )


def _validation(
    config: configs.Config, data: Data
) -> tuple[tf.data.Dataset, np.ndarray]:
    batches = batching.evaluation(
        data.dataset,
        "validation",
        data.pictures,
        batch_size=2 * config.optimisation.batch_size,  # no gradients are kept
    )
    label = reading.metadata(data.dataset, "validation", ("label",))["label"]
    return batching.images(batches), label
