"""Training pictures as their network sees them, to find look-alikes of a picture by.

Each run keeps them in one file of plain arrays: what the network makes of a picture,
what it is known by, and a thumbnail to show a person. A folder of millions is kept in
part, so that the file stays below a quarter of a gigabyte.
"""

import dataclasses
import os
import pathlib
import typing
from collections.abc import Mapping

import numpy as np

from nexperia_tf import errors, sizes
from nexperia_tf.data import archives, manifest, progress
from nexperia_tf.runs import run_folders

if typing.TYPE_CHECKING:
    import keras

    from nexperia_tf.data.records import store

NEIGHBOURS = "neighbours.npz"
EXPORTED = pathlib.PurePosixPath("assets.extra") / NEIGHBOURS  # in a version
_MANIFEST = "manifest.csv"  # of the records
MOST = 20_000  # pictures that are kept
MOST_EXPORTED = 2_000  # 20 MB beside a model of 100
SIDE = 48  # pixels of a thumbnail's longer side, at most
_TOGETHER = 32  # pictures that the network sees at once
_COMPARED = 4096  # pictures that are compared with one at once


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """Pictures that a network was trained on, in the order of their records.

    Attributes:
        image_id: text of shape `(pictures,)`, unique names.
        label: int8 of shape `(pictures,)`, 1 for defect, 0 for good.
        features: float16 of shape `(pictures, numbers)`, of the layer `features`.
        pixel_sha256, phash: text of shape `(pictures,)`, as in the manifest.
        thumbnails: uint8 of shape `(pictures, height, width, channels)`, of what the
            network was shown, its bars among it.
    """

    image_id: np.ndarray
    label: np.ndarray
    features: np.ndarray
    pixel_sha256: np.ndarray
    phash: np.ndarray
    thumbnails: np.ndarray


def of_model(
    model: "keras.Model",
    dataset: "store.Dataset",
    *,
    seed: int,
    without_defects: bool = False,
    most: int = MOST,
) -> Neighbours:
    """Shows a network its training pictures, a few at a time.

    Args:
        model: a classifier, with or without a map.
        dataset: the records that it was trained on.
        seed: of the draw where there are more than `most`.
        without_defects: whether the given defects were left out of training.
        most: how many are kept.
    """
    from nexperia_tf.data.records import reading

    columns = reading.metadata(dataset, "train", ("image_id", "label"))
    places = chosen(
        columns["label"], seed=seed, without_defects=without_defects, most=most
    )
    names = columns["image_id"][places]
    rows = {row.image_id: row for row in manifest.read(dataset.prepared / _MANIFEST)}
    features, thumbnails = _shown(model, dataset, places)
    return Neighbours(
        image_id=names,
        label=columns["label"][places].astype(np.int8),
        features=features,
        pixel_sha256=np.array([rows[name].pixel_sha256 for name in names]),
        phash=np.array([rows[name].phash for name in names]),
        thumbnails=thumbnails,
    )


def chosen(
    label: np.ndarray, *, seed: int, without_defects: bool = False, most: int = MOST
) -> np.ndarray:
    """Places of the pictures to keep: the defects, and of the good ones what has room.

    >>> label = np.array([0, 1, 0, 0, 1])
    >>> len(chosen(label, seed=0)), len(chosen(label, seed=0, most=2))
    (5, 2)
    >>> chosen(label, seed=0, most=2), chosen(label, seed=0, without_defects=True)
    (array([1, 4]), array([0, 2, 3]))

    Args:
        label: of shape `(pictures,)`, 1 for defect.
        seed: of the draw.
        without_defects: take good ones alone.
        most: how many there can be.

    Returns:
        int64 array, rising.
    """
    drawn = np.random.default_rng(seed).permutation(len(label))
    is_defect = label[drawn] == 1
    defects, good = drawn[is_defect], drawn[~is_defect]
    ranked = good if without_defects else np.concatenate([defects, good])
    return np.sort(ranked[:most])


def _shown(
    model: "keras.Model", dataset: "store.Dataset", places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features and thumbnails of the training pictures at these places."""
    import keras
    import tensorflow as tf

    from nexperia_tf.data.input import pictures

    _, *sides, channels = model.input.shape
    part = keras.Model(model.input, model.get_layer("features").output)
    # One graph, whatever is left for the last batch.
    given = tf.TensorSpec((None, *sides, channels), tf.uint8)
    described = tf.function(lambda x: part(x, training=False), input_signature=[given])
    size = sizes.Size(*sides)
    take = pictures.Pictures(size, channels, cache="none").taker(dataset, "train")
    features = np.empty((len(places), part.output.shape[1]), np.float16)
    small = _thumbnail_size(size)
    thumbnails = np.empty((len(places), *small, channels), np.uint8)
    largest = np.finfo(np.float16).max
    starts = range(0, len(places), _TOGETHER)
    for start in progress.track(
        starts,
        "Describing training pictures",
        total=len(places),
        size=lambda start: min(_TOGETHER, len(places) - start),
    ):
        these = slice(start, start + _TOGETHER)
        images = take(places[these])
        found = described(images).numpy()
        features[these] = np.clip(found, -largest, largest)
        thumbnails[these] = _thumbnails(images, small)
    return features, thumbnails


def _thumbnail_size(size: sizes.Size) -> sizes.Size:
    """
    >>> _thumbnail_size(sizes.Size(224, 224)), _thumbnail_size(sizes.Size(128, 352))
    (Size(height=48, width=48), Size(height=17, width=48))
    >>> _thumbnail_size(sizes.Size(32, 32))
    Size(height=32, width=32)
    """
    share = min(1.0, SIDE / max(size))
    return sizes.Size(*(max(1, round(side * share)) for side in size))


def _thumbnails(images: np.ndarray, size: sizes.Size) -> np.ndarray:
    import cv2

    small = [
        cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_AREA)
        for image in images
    ]
    return np.reshape(small, (len(images), *size, images.shape[-1]))


def write(path: str | os.PathLike, neighbours: Neighbours) -> None:
    """Publishes neighbours.npz.

    Raises:
        OSError: the disk is full or the place not writable; nothing is left behind.
    """
    archives.write_arrays(path, vars(neighbours))


def read(path: str | os.PathLike) -> Neighbours:
    """Reads neighbours.npz.

    Raises:
        errors.BadInput: no such file, it is damaged, or its arrays do not fit together.
    """
    names = [field.name for field in dataclasses.fields(Neighbours)]
    found = archives.read_arrays(path, names)
    if said := _problem(found):
        raise errors.BadInput(f"{path}: {said}; restore it or train again.")
    return Neighbours(**found)


def of_run(folder: str | os.PathLike) -> Neighbours | None:
    """The pictures that a run has kept; None where it is of an older version.

    Raises:
        errors.BadInput: the file differs from what training wrote.
    """
    return archives.kept_by_run(folder, NEIGHBOURS, read)


def of_version(version: str | os.PathLike) -> Neighbours | None:
    """What a published version has with it, or the run that it lies in; else None.

    Raises:
        errors.BadInput: a file is damaged or differs from what was written.
    """
    version = pathlib.Path(version).resolve()
    if (version / EXPORTED).is_file():
        return read(version / EXPORTED)
    run = version.parents[1]
    return of_run(run) if (run / run_folders.CONFIG).is_file() else None


def part(kept: Neighbours, most: int) -> Neighbours:
    """At most so many of them, half of them defects where there are enough of both."""
    drawn = np.random.default_rng(0).permutation(len(kept.label))
    defects, good = (drawn[kept.label[drawn] == label] for label in (1, 0))
    room = min(len(defects), max(most // 2, most - len(good)))
    places = np.sort(np.concatenate([defects[:room], good[: most - room]]))
    return Neighbours(**{name: values[places] for name, values in vars(kept).items()})


def nearest(
    kept: Neighbours, features: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pictures most like one, by the angle between their features.

    Args:
        kept: where they are looked for.
        features: float array of shape `(numbers,)`, of the same network.
        count: how many are wanted.

    Returns:
        their places, the most similar first, and their likeness: the cosine, up to 1.
    """
    wanted = features / max(np.linalg.norm(features), 1e-12)
    cosines = np.empty(len(kept.features), np.float32)
    for start in range(0, len(cosines), _COMPARED):
        some = kept.features[start : start + _COMPARED].astype(np.float32)
        lengths = np.maximum(np.linalg.norm(some, axis=1), 1e-12)
        cosines[start : start + len(some)] = some @ wanted / lengths
    places = np.argsort(-cosines, kind="stable")[:count]
    return places, cosines[places]


def _problem(arrays: Mapping[str, np.ndarray]) -> str:
    """What does not fit together, or ""."""
    ranks = {"features": 2, "thumbnails": 4}
    kinds = {"label": "i", "features": "f", "thumbnails": "u"}
    for name, values in arrays.items():
        if values.ndim != ranks.get(name, 1) or values.dtype.kind != kinds.get(
            name, "U"
        ):
            return f"{name} is {values.dtype} of shape {values.shape}"
    if len({len(values) for values in arrays.values()}) > 1:
        counted = ", ".join(f"{len(v)} of {name}" for name, v in arrays.items())
        return f"needs one row for each picture, but holds {counted}"
    if len(set(arrays["image_id"].tolist())) < len(arrays["image_id"]):
        return "names a picture twice"
    if not np.isin(arrays["label"], (0, 1)).all():
        return "labels are 1 for defect and 0 for good, but others are in it"
    if not np.isfinite(arrays["features"]).all():
        return "its features are not finite"
    return ""
