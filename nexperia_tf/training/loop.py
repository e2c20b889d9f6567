"""One training run: a config in, a run folder out."""

import contextlib
import datetime
import functools
import pathlib

import rich
import tensorflow as tf

from nexperia_tf import configs, errors, files, locks
from nexperia_tf.configs import checks
from nexperia_tf.runs import precision, run_folders, training_pictures
from nexperia_tf.training import (
    devices,
    finish,
    fitting,
    model_setup,
    recipe,
    run_data,
    run_start,
)
from nexperia_tf.training.search import deciding


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
    model_setup.check_start(recipe.with_backbone(config))
    # Before anything else: several workers must meet before TensorFlow is first used.
    workers = devices.workers(
        config.run.strategy, batch_size=config.optimisation.batch_size
    )
    folder = _folder(config, workers, resume=resume)
    config = _with_precision(config, folder, workers)
    with workers.losses_reported(), _alone(folder, workers):
        if workers.chief and not resume:
            files.refuse_existing(folder)
        if resume and (folder / files.MANIFEST).is_file():
            rich.print(f"{folder}: complete already")
            return folder if workers.chief else None
        if config.run.deterministic:
            tf.config.experimental.enable_op_determinism()
        records = run_data.opened(config, folder, workers)
        config = deciding.decided(config, records, folder, workers)
        config, data = run_data.gather(config, records, folder, workers)
        with devices.dtype_policy(config.network.precision):
            begin = functools.partial(run_start.begin, folder, config, data)
            epochs = fitting.stages(config, data, folder, workers, begin=begin)
        with (
            workers.last_barrier((folder / files.MANIFEST).is_file),
            workers.chief_first(),
        ):
            if workers.chief:
                _finish(folder, config, data, epochs)
    return folder if workers.chief else None


def _with_precision(
    config: configs.Config, folder: pathlib.Path, workers: devices.Workers
) -> configs.Config:
    """The config with its number format, which a run that is resumed keeps."""
    began = folder / run_folders.CONFIG
    if began.is_file():
        config = recipe.as_begun(config, began)
    found = precision.decided(config.network.precision)
    if workers.chief:
        print(found)
    if workers.count > 1:  # whose processors may differ
        chosen = workers.broadcast(precision.NAMES.index(found.policy))
        return config.changed(precision=precision.NAMES[round(chosen)])
    return config.changed(precision=found.policy)


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
    backbone = recipe.with_backbone(config).network.backbone
    folder = pathlib.Path(config.run.out or f"runs/{backbone}-{now}")
    if workers.chief:
        files.refuse_existing(folder)
        files.check_writable(folder)  # before the hours, not after them
    return folder


def _alone(
    folder: pathlib.Path, workers: devices.Workers
) -> contextlib.AbstractContextManager:
    """Keeps a second training away from the folder; the chief writes for all."""
    return locks.held(folder) if workers.chief else contextlib.nullcontext()


def _finish(
    folder: pathlib.Path, config: configs.Config, data: run_data.Data, epochs: dict
) -> None:
    if not (folder / training_pictures.TRAINED_ON).is_file():
        run_start.list_pictures(folder, data)  # begun by an older version
    finish.finish(
        folder,
        config,
        data.dataset,
        training_set=data.training_set,
        epochs=epochs,
    )
