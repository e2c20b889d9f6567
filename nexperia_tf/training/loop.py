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

from nexperia_tf import configs, errors, files, labels, locks, preprocess
from nexperia_tf.configs import checks
from nexperia_tf.data import manifest
from nexperia_tf.data.input import augment, batching
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import summary
from nexperia_tf.data.records import reading, store
from nexperia_tf.models import classifier
from nexperia_tf.runs import environment, run_folders, training_pictures
from nexperia_tf.training import (
    devices,
    display,
    finish,
    history,
    losses,
    model_setup,
    monitor,
    weight_average,
)

MANIFEST = "manifest.csv"  # of the records
SHOWN = 16  # pictures of the first batch in TensorBoard
SMALLEST_BOX = 8  # pixels after resizing, under which a defect is hardly to be seen


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
        # After the data: making records draws random numbers, reading them does not.
        keras.utils.set_random_seed(config.run.seed)
        with devices.dtype_policy(devices.precision(config.network.precision)):
            with workers.strategy.scope():
                model = model_setup.build(
                    config,
                    channels=data.channels,
                    prior=data.balance.prior,
                    steps=_steps(config, data),
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
        sizes: devices in each split.
        channels: 1 when every picture is grey, else 3.
        shown: devices that training takes in an epoch.
        book: the pictures that training and the runs before it learn from.
        balance: how much good devices and defects, drawn ones too, count among them.
    """

    dataset: store.Dataset
    sizes: dict[str, int]
    channels: int
    shown: int
    balance: losses.Balance
    book: training_pictures.Book


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
    sizes = reading.split_sizes(dataset)
    _check_classes(dataset, rows, "train", drawn=config.drawn.drawn > 0)
    _check_classes(dataset, rows, "validation")
    if manifest.CALIBRATION in sizes:
        _check_classes(dataset, rows, manifest.CALIBRATION)
    if workers.chief:
        _say_what_preparing_found(dataset)
    train_rows = [row for row in rows if row.split == "train"]
    given = [row.label for row in train_rows]
    good, defects = given.count(labels.GOOD), given.count(labels.DEFECT)
    shown = good if config.drawn.drawn_only else good + defects
    if shown < config.optimisation.batch_size:
        raise errors.BadInput(
            f"{config.data.data}: {shown} training devices make no batch of "
            f"{config.optimisation.batch_size}; pass a smaller --batch-size."
        )
    _warn_of_small_boxes(train_rows, config.pictures.image_size)
    balance = losses.Balance(
        config.loss.balance,
        good=good,
        defects=shown - good,
        drawn=config.drawn.drawn,
    )
    book = _book(config, folder, rows)
    _check_seen(config, rows, book, say=workers.chief)
    return Data(dataset, sizes, reading.channels(dataset), shown, balance, book)


def _book(
    config: configs.Config, folder: pathlib.Path, rows: list
) -> training_pictures.Book:
    """What the run learns from, with what the run it starts from has learned from."""
    if (folder / training_pictures.TRAINED_ON).is_file():  # a run that is resumed
        return training_pictures.read(folder / training_pictures.TRAINED_ON)
    name = folder.resolve().name
    own = training_pictures.of_rows(rows, name, without_defects=config.drawn.drawn_only)
    init = config.network.init
    before = [training_pictures.of_run(init)] if init else []
    return training_pictures.merged([own, *before])


def _check_seen(
    config: configs.Config, rows: list, book: training_pictures.Book, *, say: bool
) -> None:
    """Says which pictures of other splits are learned from, or refuses them."""
    shown = training_pictures.looks(rows)
    for split in run_folders.SCORED_SPLITS:
        names = [row.image_id for row in rows if row.used and row.split == split]
        said = training_pictures.in_words(
            training_pictures.judged(names, shown, book).numbers(), split
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
    found = [row.label for row in rows if row.split == split]
    n_defect = found.count(labels.DEFECT)
    if n_defect == len(found) or not (n_defect or drawn):
        lacking = _summary_of(dataset).get("lacking")
        raise errors.BadInput(
            f"{dataset.prepared / 'manifest.csv'}: training needs good and defect "
            f"devices in split {split}. Received {len(found) - n_defect} good and "
            f"{n_defect} defect; "
            + (lacking or "add pictures or move some by a split column")
            + "."
        )


def _warn_of_small_boxes(rows: list, image_size: int) -> None:
    sides = [
        min(x2 - x1, y2 - y1)
        * preprocess.letterbox_geometry(row.height, row.width, image_size)[0]
        for row in rows
        for x1, y1, x2, y2 in row.boxes
    ]
    if sides and (small := float(np.percentile(sides, 5))) < SMALLEST_BOX:
        wanted = int(np.ceil(image_size * SMALLEST_BOX / max(small, 0.1) / 32) * 32)
        rich.print(
            f"[yellow]warning:[/] at --image-size {image_size} the smallest 5 % of the "
            f"annotated boxes are at most {small:.1f} pixels narrow; --image-size "
            f"{wanted} would show them at {SMALLEST_BOX}."
        )


def _open(folder: pathlib.Path, config: configs.Config, data: Data) -> None:
    """Makes the run folder, or checks that it was made for this config."""
    facts = _facts(config, data)
    if folder.exists():
        _check_same(folder / run_folders.CONFIG, config, facts)
        return
    with files.new_folder(folder) as beside:
        files.write_json(beside / run_folders.CONFIG, configs.to_json(config, facts))
        _list_pictures(beside, data)
        made_with = environment.described(
            seed=config.run.seed, deterministic=config.run.deterministic
        )
        files.write_json(beside / run_folders.ENVIRONMENT, made_with)


def _check_same(path: pathlib.Path, config: configs.Config, facts: dict) -> None:
    """Refuses to go on with a run that was begun with something else."""
    payload = files.read_json(path)
    told = configs.from_json(payload, where=str(path)).flat()
    found_out = configs.facts_from(payload)
    for before, now in ((told, config.flat()), (found_out, facts)):
        for name, value in now.items():
            if before.get(name) != value and name not in ("out", "data_dir"):
                raise errors.BadInput(
                    f"{path}: the run was started with {name} {before.get(name)!r}, "
                    f"not {value!r}; resume with the same config."
                )


def _list_pictures(folder: pathlib.Path, data: Data) -> None:
    """Keeps the splits of all pictures, and what is learned from."""
    shutil.copyfile(data.dataset.prepared / MANIFEST, folder / run_folders.PICTURES)
    training_pictures.write(folder / training_pictures.TRAINED_ON, data.book)


def _facts(config: configs.Config, data: Data) -> dict:
    """What the run has found out, for config.json."""
    return {
        "channels": data.channels,
        "prior": data.balance.share,
        "splits": data.sizes,
        "precision": devices.precision(config.network.precision),
        "labels": list(labels.NAMES),
    }


def _fit(
    model: keras.Model,
    config: configs.Config,
    data: Data,
    folder: pathlib.Path,
    workers: devices.Workers,
) -> dict:
    """Trains what is left to train; returns the epochs for metrics.json."""
    kept = classifier.without_map(model)
    ema = config.optimisation.ema
    average = weight_average.WeightAverage(kept, ema) if ema else None
    watched = _monitor(config, data, folder, workers, average)
    watched.set_model(model)
    first_epoch, first_step = watched.restore()
    if watched.stopped:
        return watched.summary
    # The average moves before it is validated.
    callbacks = [average, watched] if average else [watched]
    shown = display.Display(watched)
    if workers.chief:
        board = keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)
        callbacks += [shown, board]
    for first, last, skipped in _parts(
        first_epoch, first_step, config.optimisation.epochs
    ):
        if model.stop_training:
            break
        batches = _batches(
            config, data, workers, first, last, skipped, classifier.map_stride(model)
        )
        if workers.chief and first == skipped == 0:
            _show(batches, folder / "tensorboard" / "train")
        with workers.patched_fit(), contextlib.closing(shown):
            model.fit(
                workers.distribute(batches),
                epochs=last,
                initial_epoch=first,
                steps_per_epoch=_steps(config, data) - skipped,
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
            _steps(config, data),
            batch_size=config.optimisation.batch_size,
            image_ids=functools.partial(_image_ids, config, data),
            checkpoint_every=config.run.checkpoint_steps,
        ),
        average=average,
        keep=config.run.keep_checkpoints,
        workers=workers,
    )


def _parts(epoch: int, step: int, epochs: int) -> list[tuple[int, int, int]]:
    """First epoch, last epoch and skipped steps of each fit that is left.

    A checkpoint within an epoch leaves a part of one, which is a fit of its own.

    >>> _parts(2, 0, 5), _parts(2, 7, 5), _parts(4, 7, 5), _parts(5, 0, 5)
    ([(2, 5, 0)], [(2, 3, 7), (3, 5, 0)], [(4, 5, 7)], [])
    """
    parts = [(epoch, epoch + 1, step), (epoch + 1, epochs, 0)]
    if not step:
        parts = [(epoch, epochs, 0)]
    return [part for part in parts if part[0] < part[1]]


def _batches(
    config: configs.Config,
    data: Data,
    workers: devices.Workers,
    first_epoch: int,
    last_epoch: int,
    first_step: int,
    map_stride: int,
) -> tf.data.Dataset:
    batches = batching.training_batches(
        data.dataset,
        image_size=config.pictures.image_size,
        channels=data.channels,
        batch_size=config.optimisation.batch_size,
        seed=config.run.seed,
        epochs=last_epoch,
        first_epoch=first_epoch,
        first_step=first_step,
        augment=config.pictures.augment,
        policy=_changes(config),
        balanced=data.balance.by_sampling,
        drawn=config.drawn.drawn,
        drawn_look=config.drawn.drawn_look,
        drawn_only=config.drawn.drawn_only,
        map_stride=map_stride,
        cache=config.pictures.cache,
        deterministic=config.run.deterministic,
        worker=workers.place,
    )
    if map_stride:
        return batches.map(_named)
    return batches.map(data.balance.weighted) if data.balance.by_loss else batches


def _named(images, labels, places):
    return images, {classifier.LOGIT: labels, classifier.MAP: places}


def _changes(config: configs.Config) -> augment.Policy:
    told = config.pictures
    if told.augment == "crop":
        return augment.Policy(told.flip, brightness=0.0, contrast=0.0, crop=True)
    return augment.Policy(
        flip=told.flip,
        rotation=told.rotation,
        zoom=told.zoom,
        brightness=told.brightness,
        contrast=told.contrast,
        tone=told.tone,
    )


def _show(batches: tf.data.Dataset, folder: pathlib.Path) -> None:
    """Puts pictures of the first batch, as the network sees them, into TensorBoard."""
    images, *_ = next(iter(batches))
    with tf.summary.create_file_writer(str(folder)).as_default():
        tf.summary.image("first batch", images, step=0, max_outputs=SHOWN)


def _steps(config: configs.Config, data: Data) -> int:
    return data.shown // config.optimisation.batch_size


def _image_ids(config: configs.Config, data: Data, epoch: int, step: int) -> list[str]:
    indices = batching.batch_indices(
        data.dataset,
        image_size=config.pictures.image_size,
        channels=data.channels,
        batch_size=config.optimisation.batch_size,
        seed=config.run.seed,
        epoch=epoch,
        step=step,
        balanced=data.balance.by_sampling,
        drawn=config.drawn.drawn,
        drawn_only=config.drawn.drawn_only,
        cache=config.pictures.cache,
    )
    return list(
        reading.metadata(data.dataset, "train", ["image_id"])["image_id"][indices]
    )


def _finish(
    folder: pathlib.Path, config: configs.Config, data: Data, epochs: dict
) -> None:
    if not (folder / training_pictures.TRAINED_ON).is_file():
        _list_pictures(folder, data)  # begun by an older version
    finish.finish(
        folder,
        config,
        data.dataset,
        channels=data.channels,
        book=data.book,
        epochs=epochs,
    )


def _validation(
    config: configs.Config, data: Data
) -> tuple[tf.data.Dataset, np.ndarray]:
    batches = batching.evaluation_batches(
        data.dataset,
        "validation",
        image_size=config.pictures.image_size,
        channels=data.channels,
        batch_size=2 * config.optimisation.batch_size,  # no gradients are kept
        cache=config.pictures.cache,
    )
    return batches, reading.metadata(data.dataset, "validation", ["label"])["label"]
