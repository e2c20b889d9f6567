"""drift.npz: the pictures of a run that later ones are compared with, in numbers.

It travels with the model: training writes it, an export holds it in `assets.extra`.
Lots are numbers in it, not names. A few thumbnails show a person what was fine.
"""

import dataclasses
import os
import pathlib
import typing
from collections.abc import Callable

import cv2
import numpy as np

from nexperia_tf import errors, sizes
from nexperia_tf.data import archives, progress
from nexperia_tf.drift import measure, pictures
from nexperia_tf.runs import run_folders

if typing.TYPE_CHECKING:
    import keras

    from nexperia_tf.data.records import store
    from nexperia_tf.runs import familiarity

DRIFT = "drift.npz"
EXPORTED = pathlib.PurePosixPath("assets.extra") / DRIFT
TRAIN = "train"
MOST = 4_000  # pictures of a split
MOST_OF_A_LOT = 64
THUMBNAILS, SIDE = 8, 128  # how many, pixels of the longer side
_TOGETHER = 32  # pictures that the network sees at once
_SAID, _MEANS = "said", "means"  # outputs of the network
_RANKS = {"numbers": 2, "thumbnails": 4}
_KINDS = {"lot": "i", "machine": "U", "trained_on": "b", "thumbnails": "u"}


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """Pictures that were fine, in the order of their records.

    Attributes:
        numbers: float32 of shape `(pictures, numbers)`, see `measure.of_canvas`.
        logit: float32 of shape `(pictures,)`, the network's own, not calibrated.
        unfamiliar: float32 of shape `(pictures,)`; NaN of a model that does not say.
        lot: int32 of shape `(pictures,)`, the number of its lot or other group.
        machine: text of shape `(pictures,)`; "" where nothing tells it.
        trained_on: bool of shape `(pictures,)`.
        thumbnails: uint8 of shape `(shown, height, width, channels)`.
    """

    numbers: np.ndarray
    logit: np.ndarray
    unfamiliar: np.ndarray
    lot: np.ndarray
    machine: np.ndarray
    trained_on: np.ndarray
    thumbnails: np.ndarray

    def pictures(self, calibration: run_folders.Calibration) -> pictures.Pictures:
        """The same with the scores that a calibration gives them."""
        return pictures.Pictures(
            numbers=self.numbers,
            score=calibration.scores(self.logit).astype(np.float32),
            unfamiliar=self.unfamiliar,
            lot=self.lot.astype(str),
            machine=self.machine,
            trained_on=self.trained_on,
        )


def of_model(
    model: "keras.Model",
    dataset: "store.Dataset",
    *,
    familiar: "familiarity.Familiarity | None",
    seed: int,
    most: int = MOST,
) -> Reference:
    """Measures pictures of all labelled splits, and shows them to a network.

    Args:
        model: a classifier, with or without a map.
        dataset: the records that it was trained on.
        familiar: what is unfamiliar to it.
        seed: of the draw where a split has more than `most`.
        most: pictures of a split.
    """
    from nexperia_tf.data.records import reading

    splits = [TRAIN, *run_folders.SCORED_SPLITS]
    splits = [name for name in splits if name in reading.split_sizes(dataset)]
    look, shape = _looker(model, familiar), model.input.shape[1:]
    parts = [_of_split(dataset, name, look, shape, seed, most) for name in splits]
    joined = {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
        if name != "lot"
    }
    names = np.concatenate([part["lot"] for part in parts])
    lot = np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int32)
    return Reference(lot=lot, **joined)


def _of_split(
    dataset: "store.Dataset",
    split: str,
    look: Callable,
    shape: tuple[int, int, int],
    seed: int,
    most: int,
) -> dict[str, np.ndarray]:
    from nexperia_tf.data.input import pictures as shown_pictures
    from nexperia_tf.data.records import reading

    columns = reading.metadata(dataset, split, ("label", "group", "machine"))
    places = chosen(columns["group"], most=most, seed=seed)
    *sides, channels = shape
    shown = shown_pictures.Pictures(sizes.Size(*sides), channels, cache="none")
    take = shown.taker(dataset, split)
    numbers, logit, unfamiliar, thumbnails = [], [], [], []
    to_show = set(_to_show(columns["label"][places]) if split != TRAIN else ())
    for start in progress.track(
        range(0, len(places), _TOGETHER),
        f"Measuring {split} pictures for drift",
        total=len(places),
        size=lambda start: min(_TOGETHER, len(places) - start),
    ):
        canvases = take(places[start : start + _TOGETHER])
        numbers += [measure.of_canvas(canvas) for canvas in canvases]
        said, distance = look(canvases)
        logit.append(said)
        unfamiliar.append(distance)
        here = to_show & set(range(start, start + len(canvases)))
        thumbnails += [thumbnail(canvases[place - start]) for place in sorted(here)]
    size = sizes.Size(*thumbnail(np.zeros((*sides, channels), np.uint8)).shape[:2])
    return {
        "numbers": np.array(numbers, np.float32),
        "logit": np.concatenate(logit),
        "unfamiliar": np.concatenate(unfamiliar),
        "lot": columns["group"][places],
        "machine": columns["machine"][places],
        "trained_on": np.full(len(places), split == TRAIN),
        "thumbnails": np.array(thumbnails, np.uint8).reshape(-1, *size, channels),
    }


def chosen(
    lots: np.ndarray, *, most: int, seed: int, of_a_lot: int = MOST_OF_A_LOT
) -> np.ndarray:
    """Places of pictures to keep, in order: whole lots as far as they may go.

    >>> chosen(np.array(["a", "b", "a", "a", "b"]), most=3, seed=0, of_a_lot=2).tolist()
    [2, 3, 4]
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(lots))
    _, numbers = np.unique(lots[order], return_inverse=True)
    numbers = numbers.reshape(-1)
    rank = random.permutation(numbers.max(initial=-1) + 1)[numbers]
    by_lot = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[by_lot], rank[by_lot])
    within = np.arange(len(lots)) - starts  # how many of its lot come before
    return np.sort(order[by_lot[within < of_a_lot]][:most])


def _to_show(label: np.ndarray) -> list[int]:
    """Places of a few good devices, far from one another."""
    good = np.flatnonzero(label == 0)
    return good[:: max(1, len(good) // THUMBNAILS)][:THUMBNAILS].tolist()


def _looker(
    model: "keras.Model", familiar: "familiarity.Familiarity | None"
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A function from canvases to the network's logits and distances."""
    import keras
    import tensorflow as tf

    from nexperia_tf.models import classifier

    outputs = {_SAID: classifier.without_map(model).output}
    if familiar:
        outputs[_MEANS] = classifier.stage_means(model).output
    part = keras.Model(model.input, outputs)
    given = tf.TensorSpec((None, *model.input.shape[1:]), tf.uint8)
    answer = tf.function(lambda x: part(x, training=False), input_signature=[given])

    def look(canvases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = answer(canvases)
        distance = np.full(len(canvases), np.nan)
        if familiar:
            distance = familiar.unfamiliar(found[_MEANS].numpy())
        return found[_SAID].numpy().reshape(-1), distance.astype(np.float32)

    return look


def thumbnail(canvas: np.ndarray) -> np.ndarray:
    """A small copy of a canvas, uint8 of shape `(height, width, channels)`.

    >>> thumbnail(np.zeros((256, 64, 1), np.uint8)).shape
    (128, 32, 1)
    """
    share = min(1.0, SIDE / max(canvas.shape[:2]))
    height, width = (max(1, round(side * share)) for side in canvas.shape[:2])
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return small.reshape(height, width, canvas.shape[-1])


def write(path: str | os.PathLike, reference: Reference) -> None:
    """Publishes drift.npz.

    Raises:
        OSError: the disk is full or the place not writable; nothing is left behind.
    """
    archives.write_arrays(path, vars(reference))


def read(path: str | os.PathLike) -> Reference:
    """Reads drift.npz.

    Raises:
        errors.BadInput: no such file, it is damaged, or its arrays do not fit together.
    """
    names = [field.name for field in dataclasses.fields(Reference)]
    found = archives.read_arrays(path, names)
    if said := _problem(found):
        raise errors.BadInput(f"{path}: {said}; restore it or train again.")
    return Reference(**found)


def of_run(folder: str | os.PathLike) -> Reference | None:
    """What a run has kept; None where it is of an older version.

    Raises:
        errors.BadInput: the file differs from what training wrote.
    """
    return archives.kept_by_run(folder, DRIFT, read)


def of_export(version: pathlib.Path) -> Reference | None:
    """What an exported model brings along; None where it is of an older version."""
    return read(version / EXPORTED) if (version / EXPORTED).is_file() else None


def _problem(arrays: dict[str, np.ndarray]) -> str:
    """What does not fit together, or ""."""
    for name, values in arrays.items():
        kind, rank = _KINDS.get(name, "f"), _RANKS.get(name, 1)
        if values.dtype.kind != kind or values.ndim != rank:
            return f"{name} is {values.dtype} of shape {values.shape}"
    counts = {len(values) for name, values in arrays.items() if name != "thumbnails"}
    if len(counts) > 1 or counts == {0}:
        return "needs one row for each picture, in all arrays"
    width, channels = arrays["numbers"].shape[1], arrays["thumbnails"].shape[-1]
    if channels not in (1, 3) or width != len(measure.names(channels)):
        return f"has {width} numbers of pictures with {channels} channels"
    if not (
        np.isfinite(arrays["numbers"]).all() and np.isfinite(arrays["logit"]).all()
    ):
        return "its numbers are not finite"
    return ""
