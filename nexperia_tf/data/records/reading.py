"""Records read back, always in the same order."""

import dataclasses
import functools
import logging
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from nexperia_tf import errors, predictions
from nexperia_tf.data import manifest
from nexperia_tf.data.records import store

COLUMNS = ("image_id", "label", *predictions.OPTIONAL)  # of a table of scores
BATCH = 1024  # records at once, where they are read without their pictures


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a log line is more than TFDS's warning of its own code.

    Its PartialDecoding asks every feature for `dtype`, which TFDS has deprecated; seen
    in 4.9.10. To go when a later release reads some fields of a record without it.
    """
    return "`FeatureConnector.dtype` is deprecated" not in record.getMessage()


logging.getLogger("absl").addFilter(_is_news)


@dataclasses.dataclass(frozen=True)
class Example:
    """One device out of the records; `image` is empty where it was not asked for."""

    image_id: str
    label: int
    defect_type: str
    group: str
    lot: str
    machine: str
    boxes: list[list[float]]
    image: bytes = b""


def split_sizes(dataset: store.Dataset) -> dict[str, int]:
    """Images in each split; only splits that have images are named."""
    return {s: info.num_examples for s, info in _builder(dataset).info.splits.items()}


def channels(dataset: store.Dataset) -> int:
    """1 when every image in the records is grey, else 3."""
    rows = manifest.read(dataset.prepared / "manifest.csv")
    return 1 if all(row.mode == "L" for row in rows if row.used) else 3


@tf.autograph.experimental.do_not_convert
def load(
    dataset: store.Dataset, split: str, *, only: Sequence[str] = ()
) -> tf.data.Dataset:
    """Records of one split, always in the same order.

    Args:
        dataset: the records.
        split: which of its splits.
        only: fields to read, all by default; the fewer, the faster.

    Yields:
        dicts as `features` names them; `image` is a scalar string, the file's bytes.

    Raises:
        errors.BadInput: no image is in that split.
    """
    builder = _builder(dataset)
    if split not in builder.info.splits:
        raise _no_images(dataset, split)
    decoders = {"image": tfds.decode.SkipDecoding()}
    if only:
        decoders = {name: decoders[name] for name in only if name in decoders}
        fields = {name: builder.info.features[name] for name in only}
        decoders = tfds.decode.PartialDecoding(fields, decoders=decoders)
    return builder.as_dataset(
        split=split,
        decoders=decoders,
        # File after file: the order in which `files_of` names them.
        read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
    )


def files_of(dataset: store.Dataset, split: str) -> list[str]:
    """The TFRecord files of a split, in the order in which `load` reads them.

    Raises:
        errors.BadInput: no image is in that split.
    """
    splits = _builder(dataset).info.splits
    if split not in splits:
        raise _no_images(dataset, split)
    return [str(path) for path in splits[split].filepaths]


def metadata(
    dataset: store.Dataset, split: str, columns: Sequence[str] = COLUMNS
) -> dict[str, np.ndarray]:
    """What is known of the devices of a split beside their pictures.

    Read from the records, not from the manifest, because only they have the order of
    `load`, by which scores and batches are counted. No picture is unpacked.

    Args:
        dataset: the records.
        split: which of its splits.
        columns: image_id, label (-1 for unlabelled), group, lot, machine, defect_type.

    Returns:
        a read-only array of shape `(devices,)` for each column: int64 for label, else
        text.

    Raises:
        errors.BadInput: no image is in that split.
    """
    return dict(_metadata(dataset, split, tuple(columns)))


@functools.lru_cache(maxsize=32)  # records of a data folder never change
def _metadata(
    dataset: store.Dataset, split: str, columns: tuple[str, ...]
) -> dict[str, np.ndarray]:
    batches = list(load(dataset, split, only=columns).batch(BATCH).as_numpy_iterator())
    found = {name: np.concatenate([b[name] for b in batches]) for name in columns}
    for name, values in found.items():
        if values.dtype == object:
            found[name] = np.array([value.decode() for value in values])
        found[name].setflags(write=False)
    return found


def examples(
    dataset: store.Dataset, split: str, image_ids: Iterable[str]
) -> dict[str, Example]:
    """Devices with their images, by image_id, for galleries.

    Raises:
        errors.BadInput: one of them is not in the split.
    """
    wanted = set(image_ids)
    found = {}
    for record in load(dataset, split):
        image_id = record["image_id"].numpy().decode()
        if image_id in wanted:
            found[image_id] = _example(record)
        if len(found) == len(wanted):
            return found
    missing = min(wanted - set(found))
    raise errors.BadInput(f"{dataset.folder}: no image {missing!r} in split {split!r}.")


def _example(record: dict[str, tf.Tensor]) -> Example:
    texts = ("image_id", "defect_type", "group", "lot", "machine")
    return Example(
        label=int(record["label"]),
        boxes=record["boxes"].numpy().tolist(),
        image=record["image"].numpy() if "image" in record else b"",
        **{name: record[name].numpy().decode() for name in texts},
    )


def _no_images(dataset: store.Dataset, split: str) -> errors.BadInput:
    there = ", ".join(f"{s} ({n})" for s, n in split_sizes(dataset).items())
    return errors.BadInput(
        f"{dataset.folder}: no images in split {split!r}; there are {there}."
    )


def _builder(dataset: store.Dataset) -> tfds.core.DatasetBuilder:
    return tfds.builder_from_directory(dataset.folder)
