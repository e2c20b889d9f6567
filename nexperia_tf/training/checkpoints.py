"""Checkpoints of a run: folders that are whole and verified, or not there at all.

Keras' BackupAndRestore accepts stale metadata and forgets callbacks' state, so weights
and optimizer go through tf.train.Checkpoint, the rest through one JSON file, and the
folder of both is published by rename with a SHA-256 manifest.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence

import keras
import tensorflow as tf

from nexperia_tf import errors, files

_NAME = re.compile(r"epoch-\d{4,}(-step-\d{6,})?")  # sorted by name is by age


def save(
    folder: pathlib.Path,
    *,
    epoch: int,
    step: int = 0,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    state: dict,
    keep: int = 2,
    best_epoch: int = 0,
    **more: tf.Module,
) -> None:
    """Publishes `folder/epoch-NNNN`, or `epoch-NNNN-step-NNNNNN` within the next epoch.

    Args:
        folder: the run's checkpoints folder, made when absent.
        epoch: epochs finished.
        step: steps taken since then.
        model: weights, batch-norm statistics and seeds are saved.
        optimizer: moments, step and loss scale are saved.
        state: what else the run must remember, as JSON.
        keep: how many of the last stay; the newest may turn out damaged one day.
        best_epoch: the checkpoint at the end of this epoch stays, too.
        more: further variables, by name.

    Raises:
        OSError: the disk is full or not writable; nothing is left behind.
    """
    target = folder / (_named(epoch) + (f"-step-{step:06d}" if step else ""))
    for damaged in saved(folder):  # else resume would have begun there
        if damaged.name >= target.name:
            _remove(damaged)
    with files.new_folder(target) as partial:
        with writing(target):
            _checkpoint(model, optimizer, more).write(str(partial / "weights"))
        where = {"epoch": epoch, "step": step}
        files.write_json(partial / "state.json", where | state)
        files.write_manifest(partial)
    for old in saved(folder)[:-keep]:
        if old.name != _named(best_epoch):
            _remove(old)


def _named(epoch: int) -> str:
    return f"epoch-{epoch:04d}"


def _remove(checkpoint: pathlib.Path) -> None:
    # Renamed first: a kill must not leave half a checkpoint that looks like one.
    doomed = checkpoint.with_name(f".{checkpoint.name}.partial")
    checkpoint.rename(doomed)
    shutil.rmtree(doomed)


@contextlib.contextmanager
def writing(target: pathlib.Path) -> Iterator[None]:
    """Turns TensorFlow's errors into an OSError that names `target`."""
    try:
        yield
    except tf.errors.OpError as error:
        full = os.strerror(errno.ENOSPC)
        if full in error.message:
            raise OSError(errno.ENOSPC, full, str(target)) from None
        message = re.sub(
            r"\{\{.*?\}\} *", "", error.message
        )  # which node of which graph
        raise OSError(errno.EIO, message, str(target)) from None


def saved(folder: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def restore(
    folder: pathlib.Path,
    *,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    **more: tf.Module,
) -> tuple[dict | None, Sequence[str]]:
    """Loads the newest undamaged checkpoint into a model and its built optimizer.

    Returns:
        its state (None when there is no checkpoint at all) and one warning for each
        newer checkpoint that was damaged and left aside.

    Raises:
        errors.BadInput: there are checkpoints, and all of them are damaged.
    """
    warnings = []
    for path in reversed(saved(folder)):
        try:
            files.verify_manifest(path)
            state = files.read_json(path / "state.json")
        except errors.BadInput as error:
            warnings.append(f"{path.name} is left aside: {error}")
            continue
        try:
            status = _checkpoint(model, optimizer, more).read(str(path / "weights"))
            status.assert_consumed()
        except (tf.errors.OpError, AssertionError, ValueError, TypeError) as error:
            said = (str(error).strip() or "it is none of this model").splitlines()[0]
            warnings.append(f"{path.name} is left aside: it does not fit: {said}")
            continue
        return state, warnings
    if warnings:
        raise errors.BadInput(f"{folder}: no checkpoint can be used; {warnings[0]}")
    return None, warnings


def _checkpoint(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    more: Mapping[str, tf.Module],
) -> tf.train.Checkpoint:
    # Dropout's and other layers' seeds are no weights: they go in beside them.
    seeds = [v for v in model.variables if v.path.endswith("seed_generator_state")]
    return tf.train.Checkpoint(model=model, optimizer=optimizer, seeds=seeds, **more)
