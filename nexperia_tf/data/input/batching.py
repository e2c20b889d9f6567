"""Records to batches.

All epochs of a training are one `tf.data.Dataset`. What a batch holds follows from the
seed and its position, so a dataset that starts at a later epoch or step gives the very
batches the unbroken one would have given there.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from nexperia_tf import errors, preprocess
from nexperia_tf.data import manifest
from nexperia_tf.data.input import changes as changing
from nexperia_tf.data.input import order as ordering
from nexperia_tf.data.input import pictures as picturing
from nexperia_tf.data.records import reading, store

TRAIN = "train"


@tf.autograph.experimental.do_not_convert
def training(
    dataset: store.Dataset,
    pictures: picturing.Pictures,
    order: ordering.Order,
    *,
    epochs: int,
    changes: changing.Changes | None = None,
    start: ordering.Position | None = None,
    worker: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Shuffled, changed batches of split train, epoch after epoch.

    Args:
        dataset: the records.
        pictures: how they are decoded, and whether they are kept.
        order: which devices make which batch.
        epochs: last epoch plus one.
        changes: what is done to the pictures.
        start: epoch and step to start with.
        worker: own number and count of workers; each gets its share of every batch.

    Yields:
        dicts with `image`, uint8 of shape `(batch, height, width, channels)`, and
        `label`, float32 of shape `(batch,)`, 1 for a defect; with a `map_stride` also
        `map`, see `Changes`.

    Raises:
        errors.BadInput: a batch cannot be shared among the workers.
    """
    changes, start = changes or changing.Changes(), start or ordering.Position()
    labels = reading.metadata(dataset, TRAIN, ("label",))["label"]
    dealt = dealt_labels(dataset, order)

    def steps(epoch: int) -> tuple[np.ndarray, ...]:
        first = start.step if epoch == start.epoch else 0
        part = order.epoch(dealt, epoch).part(first_step=first, worker=worker)
        return part.indices, part.chances, part.before

    batches = _places(range(start.epoch, epochs), steps, _share(order, worker))
    loaded = _loading(pictures, pictures.taker(dataset, TRAIN), labels)
    batches = changes.apply(
        batches.map(loaded, tf.data.AUTOTUNE),
        seed=order.seed,
        count=len(labels),
        drawn=order.balance.drawn > 0,
        boxes=_boxes(dataset, pictures) if changes.map_stride else (),
    )
    names = ("image", "label", "map") if changes.map_stride else ("image", "label")
    batches = batches.map(lambda batch: {name: batch[name] for name in names})
    total = (epochs - start.epoch) * order.steps - start.step
    return batches.apply(tf.data.experimental.assert_cardinality(total)).prefetch(2)


def _places(epochs: range, steps: Callable, share: int) -> tf.data.Dataset:
    """Batches as places in the records, `steps(epoch)` giving those of an epoch."""

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        kinds = [tf.int64, tf.float64, tf.int64]
        parts = tf.numpy_function(steps, [epoch], kinds, stateful=False)
        parts = (tf.ensure_shape(part, (None, share)) for part in parts)
        named = dict(zip(("index", "chance", "before"), parts))
        rows = tf.data.Dataset.from_tensor_slices(named)
        return rows.map(lambda row: row | {"epoch": epoch})

    return tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(of_epoch)


def dealt_labels(dataset: store.Dataset, order: ordering.Order) -> np.ndarray:
    """Labels of the training devices as an order deals them, in the records' order."""
    columns = reading.metadata(dataset, TRAIN, ("label", "image_id"))
    names = columns["image_id"]
    out = np.array([name in order.left_out for name in names])
    labels = ordering.without(columns["label"], out)
    if not order.boxed_only:
        return labels
    rows = manifest.read(dataset.prepared / "manifest.csv")
    boxed = {row.image_id for row in rows if row.boxes}
    return ordering.dealt(labels, np.array([name in boxed for name in names]))


def _boxes(dataset: store.Dataset, pictures: picturing.Pictures) -> changing.Boxes:
    """Boxes on the canvas of each training picture, in the order of the records.

    None where a picture has none.
    """
    rows = manifest.read(dataset.prepared / "manifest.csv")
    found = {
        row.image_id: preprocess.boxes_on_canvas(
            row.boxes, height=row.height, width=row.width, size=pictures.size
        )
        for row in rows
        if row.boxes
    }
    names = reading.metadata(dataset, TRAIN, ("image_id",))["image_id"]
    return [found.get(name) for name in names]


def _loading(
    pictures: picturing.Pictures, take: picturing.Take, labels: np.ndarray
) -> Callable[[changing.Batch], changing.Batch]:
    """Adds pictures and labels to places in the records."""

    def taken(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return take(indices), labels[indices].astype(np.float32)

    def loaded(row: changing.Batch) -> changing.Batch:
        kinds = [tf.uint8, tf.float32]
        images, given = tf.numpy_function(taken, [row["index"]], kinds, stateful=False)
        shape = row["index"].shape
        return row | {
            "image": tf.ensure_shape(images, (*shape, *pictures.shape)),
            "label": tf.ensure_shape(given, shape),
        }

    return loaded


@tf.autograph.experimental.do_not_convert
def evaluation(
    dataset: store.Dataset,
    split: str,
    pictures: picturing.Pictures,
    *,
    batch_size: int,
) -> tf.data.Dataset:
    """All images of a split in the order of its records, the last batch smaller.

    Yields:
        dicts with `image` and `label` as those of `training`; labels of split
        `unlabelled` are -1.
    """

    def decoded(record: changing.Batch) -> changing.Batch:
        image = preprocess.decode(record["image"], pictures.channels)
        return {
            "image": preprocess.letterbox(image, pictures.size),
            "label": tf.cast(record["label"], tf.float32),
        }

    records = reading.load(dataset, split, only=("image", "label"))
    batches = records.map(decoded, tf.data.AUTOTUNE).batch(batch_size)
    if pictures.keeps(reading.split_sizes(dataset)[split]):
        batches = batches.cache()
    return batches.prefetch(2)


@tf.autograph.experimental.do_not_convert
def of_places(
    dataset: store.Dataset,
    places: np.ndarray,
    pictures: picturing.Pictures,
    *,
    batch_size: int,
) -> tf.data.Dataset:
    """Some training pictures as they are, by their places in the records.

    Yields:
        dicts with `image` and `label` as those of `training`.
    """
    labels = reading.metadata(dataset, TRAIN, ("label",))["label"]
    loaded = _loading(pictures, pictures.taker(dataset, TRAIN), labels)
    rows = tf.data.Dataset.from_tensor_slices({"index": places.astype(np.int64)})
    return rows.batch(batch_size).map(loaded, tf.data.AUTOTUNE).prefetch(2)


@tf.autograph.experimental.do_not_convert
def images(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The images alone, as `predict` takes them."""
    return batches.map(lambda batch: batch["image"])


def _share(order: ordering.Order, worker: tuple[int, int]) -> int:
    """Devices of each batch that a worker has."""
    _, workers = worker
    if order.batch_size % workers:
        raise errors.BadInput(
            f"batch size {order.batch_size} cannot be shared among {workers} workers; "
            f"choose a multiple of {workers}."
        )
    return order.batch_size // workers
