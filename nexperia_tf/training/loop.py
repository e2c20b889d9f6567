"""One training run: a config in, a run folder out."""

import contextlib
import datetime
import pathlib
import shutil

import keras
import rich
import tensorflow as tf

from nexperia_tf import configs, errors, files, labels, locks
from nexperia_tf.configs import checks, recipes
from nexperia_tf.data.records import reading
from nexperia_tf.runs import environment, run_folders, training_pictures
from nexperia_tf.training import (
    devices,
    finish,
    fitting,
    model_setup,
    recipe,
    run_data,
)

PLACES = ("out", "data_dir", "weights_file")  # which may differ when resumed


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
    with workers.losses_reported(), _alone(folder, workers):
        if workers.chief and not resume:
            files.refuse_existing(folder)
        if resume and (folder / files.MANIFEST).is_file():
            rich.print(f"{folder}: complete already")
            return folder if workers.chief else None
        if config.run.deterministic:
            tf.config.experimental.enable_op_determinism()
        config, data = run_data.gather(config, folder, workers)
        with devices.dtype_policy(devices.precision(config.network.precision)):
            epochs = _stages(config, data, folder, workers)
        with (
            workers.last_barrier((folder / files.MANIFEST).is_file),
            workers.chief_first(),
        ):
            if workers.chief:
                _finish(folder, config, data, epochs)
    return folder if workers.chief else None


def _stages(
    config: configs.Config,
    data: run_data.Data,
    folder: pathlib.Path,
    workers: devices.Workers,
) -> dict:
    """Trains what is left of one stage or two; the epochs of the last one."""
    first = data.first and (recipes.first_stage(config), data.of_first_stage)
    model = _built(*(first or (config, data)), workers)
    with workers.chief_first():
        if workers.chief:
            _open(folder, config, data)
    if first:
        if workers.chief:
            (folder / run_folders.FIRST).mkdir(exist_ok=True)
            print("first stage: drawn defects, and given ones with a box")
        fitting.fit(model, *first, folder / run_folders.FIRST, workers)
        if workers.chief:
            print("second stage: all given defects")
        learned = run_folders.load_model(folder / run_folders.FIRST / run_folders.MODEL)
        model = _built(config, data, workers, learned)
    return fitting.fit(model, config, data, folder, workers)


def _built(
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


def _open(folder: pathlib.Path, config: configs.Config, data: run_data.Data) -> None:
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


def _list_pictures(folder: pathlib.Path, data: run_data.Data) -> None:
    """Keeps the splits of all pictures, and what is learned from."""
    shutil.copyfile(
        data.dataset.prepared / run_data.MANIFEST, folder / run_folders.PICTURES
    )
    training_pictures.write(folder / training_pictures.TRAINED_ON, data.training_set)


def _facts(config: configs.Config, data: run_data.Data) -> dict:
    """What the run has found out, for config.json."""
    return {
        "channels": data.pictures.channels,
        "prior": data.order.balance.share,
        "splits": reading.split_sizes(data.dataset),
        "precision": devices.precision(config.network.precision),
        "labels": list(labels.NAMES),
        **model_setup.weights_used(config),
    }


def _finish(
    folder: pathlib.Path, config: configs.Config, data: run_data.Data, epochs: dict
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
