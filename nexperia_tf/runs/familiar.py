"""What pictures like a run's own look like to its network: one file of plain arrays."""

import dataclasses
import os
import typing

import numpy as np

from nexperia_tf import errors, sizes
from nexperia_tf.data import archives, progress
from nexperia_tf.runs import familiarity

if typing.TYPE_CHECKING:
    import keras

    from nexperia_tf.data.records import store

FAMILIAR = "familiar.npz"
MOST = 2_000  # pictures of a split that are looked at
HELD_OUT = "validation"
_TOGETHER = 32  # pictures that the network sees at once
_NUMBERS = ("noise", "limit", "false_alarm", "devices")


def of_model(
    model: "keras.Model", dataset: "store.Dataset", *, seed: int, most: int = MOST
) -> familiarity.Familiarity | None:
    """Shows a network its training pictures and held-out ones.

    Args:
        model: a classifier, with or without a map.
        dataset: the records that it was trained on.
        seed: of the draw where a split has more than `most`.
        most: pictures of a split.

    Returns:
        None where there are too few.
    """
    seen, held_out = (
        _described(model, dataset, split, seed=seed, most=most)
        for split in ("train", HELD_OUT)
    )
    return familiarity.fit(seen, held_out)


def _described(
    model: "keras.Model", dataset: "store.Dataset", split: str, *, seed: int, most: int
) -> np.ndarray:
    """Stage means of pictures of a split, float32 of shape `(pictures, features)`."""
    import tensorflow as tf

    from nexperia_tf.data.input import pictures
    from nexperia_tf.data.records import reading
    from nexperia_tf.models import classifier

    _, *sides, channels = model.input.shape
    part = classifier.stage_means(model)
    given = tf.TensorSpec((None, *sides, channels), tf.uint8)
    described = tf.function(lambda x: part(x, training=False), input_signature=[given])
    shown = pictures.Pictures(sizes.Size(*sides), channels, cache="none")
    take = shown.taker(dataset, split)
    count = reading.split_sizes(dataset)[split]
    places = np.sort(np.random.default_rng(seed).permutation(count)[:most])
    found = [
        described(take(places[start : start + _TOGETHER])).numpy()
        for start in progress.track(
            range(0, len(places), _TOGETHER),
            f"Describing {split} pictures for what is familiar",
            total=len(places),
            size=lambda start: min(_TOGETHER, len(places) - start),
        )
    ]
    return np.concatenate(found)


def write(path: str | os.PathLike, familiar: familiarity.Familiarity) -> None:
    """Publishes familiar.npz.

    Raises:
        OSError: the disk is full or the place not writable; nothing is left behind.
    """
    archives.write_arrays(path, vars(familiar))


def read(path: str | os.PathLike) -> familiarity.Familiarity:
    """Reads familiar.npz.

    Raises:
        errors.BadInput: no such file, it is damaged, or its arrays do not fit together.
    """
    names = [field.name for field in dataclasses.fields(familiarity.Familiarity)]
    found = archives.read_arrays(path, names)
    arrays = {name: found[name] for name in names if name not in _NUMBERS}
    if said := _problem(arrays) or _problem_of_numbers(found):
        raise errors.BadInput(f"{path}: {said}; restore it or train again.")
    numbers = {name: found[name].item() for name in _NUMBERS}
    return familiarity.Familiarity(**arrays, **numbers)


def of_run(folder: str | os.PathLike) -> familiarity.Familiarity | None:
    """What a run has kept; None where it is older or had too few pictures.

    Raises:
        errors.BadInput: the file differs from what training wrote.
    """
    return archives.kept_by_run(folder, FAMILIAR, read)


def _problem(arrays: dict[str, np.ndarray]) -> str:
    """What does not fit together, or ""."""
    shape = arrays["components"].shape
    wanted = {"components": shape, "variances": shape[:1]}
    wanted |= dict.fromkeys(("mean", "scale"), shape[1:])
    for name, kind in wanted.items():
        values = arrays[name]
        fits = values.dtype == np.float32 and values.shape == kind
        if not fits or len(shape) != 2:
            return f"{name} is {values.dtype} of shape {values.shape}"
        if not np.isfinite(values).all():
            return f"{name} is not finite"
        if name in ("scale", "variances") and not (values > 0).all():
            return f"{name} must be above 0"
    return ""


def _problem_of_numbers(found: dict[str, np.ndarray]) -> str:
    for name in _NUMBERS:
        if found[name].shape or found[name].dtype.kind not in "if":
            return f"{name} is no number"
        if not (np.isfinite(found[name]) and found[name] > 0):
            return f"{name} must be above 0"
    return ""
