"""Records to batches: the only file that shuffles.

All epochs of a training are one `tf.data.Dataset`. Order and augmentation follow from
(seed, epoch) alone, so a dataset that starts at a later epoch or step gives the very
batches the unbroken one would have given there.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from rich import progress

from nexperia_tf import errors, preprocess
from nexperia_tf.data.input import augment as augmentation
from nexperia_tf.data.input import strong_augment, synthetic_defects
from nexperia_tf.data.records import origin, reading, store

TRAIN = "train"
AUGMENTS = ("none", "default", "crop", *strong_augment.NAMES)
CACHES = ("auto", "memory", "none")
CACHE_BYTES = 4 << 30  # "auto" keeps decoded pictures in memory up to this much
SHUFFLE_WINDOW = 8192  # records, where pictures are not kept in memory
_DECODE_BATCH = 64
_FIELDS = ("image", "label")
_PASSES = 1 << 20  # over the rarer class in an epoch: more than there are ever


def training_batches(
    dataset: store.Dataset,
    *,
    image_size: int,
    channels: int,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int = 0,
    first_step: int = 0,
    augment: str = "default",
    policy: augmentation.Policy | None = None,
    balanced: bool = False,
    drawn: float = 0.0,
    drawn_look: str = synthetic_defects.DARK,
    drawn_only: bool = False,
    map_stride: int = 0,
    deterministic: bool = False,
    cache: str = "auto",
    worker: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Shuffled, augmented batches of split train, epoch after epoch.

    Args:
        dataset: the records.
        image_size: side of the letterboxed pictures in pixels.
        channels: 1 or 3.
        batch_size: devices in a batch, of all workers together; the few left over at
            the end of an epoch are others in the next one.
        seed: decides, with the epoch, order and augmentation.
        epochs: last epoch plus one.
        first_epoch: epoch to start with.
        first_step: batches of the first epoch to leave out.
        augment: one of `AUGMENTS`; the strong ones come on top of the default.
        policy: how far the default augmentation goes.
        balanced: take good and defective devices in turn, so that a batch holds as many
            of both; an epoch then shows some more than once and others not at all.
            Drawn defects count: with `drawn` every second device shows one, given or
            drawn, in the proportion there is of them.
        drawn: share of good pictures that get a drawn defect, another one in each
            epoch, and the label of one. A few on which none can be seen stay good.
        drawn_look: one of `synthetic_defects.LOOKS`.
        drawn_only: leave the given defects out.
        map_stride: pixels that a place of a map is wide, which says where the drawn
            defects are; 0 makes none. Needs `drawn`.
        deterministic: refuse what cannot be repeated to the bit.
        cache: "memory" keeps decoded pictures, "none" decodes them in every epoch,
            "auto" keeps them up to `CACHE_BYTES`.
        worker: own number and count of workers; each gets its share of every batch.

    Yields:
        uint8 images of shape `(batch, image_size, image_size, channels)` and float32
        labels of shape `(batch,)`, 1 for a defect; with `map_stride` also maps, float32
        of shape `(batch, image_size / map_stride, image_size / map_stride, 1)`, 1 where
        a drawn defect touches the place.

    Raises:
        errors.BadInput: a name is unknown, the choices do not go together, or the
            split holds less than one batch.
    """
    _check_augment(augment, deterministic)
    share = _share(batch_size, worker)
    steps = steps_per_epoch(dataset, batch_size, good_only=drawn_only)
    if _keeps(dataset, TRAIN, image_size, channels, cache):
        devices, is_defect, window, pictures = _kept(dataset, image_size, channels)
    else:
        devices, is_defect, window, pictures = _streamed(dataset, image_size, channels)
    parts = _parts(dataset, devices, is_defect, balanced, drawn, drawn_only)

    def shuffled(epoch: tf.Tensor) -> tf.data.Dataset:
        order = _shuffled(parts, window, seed, epoch).take(steps * batch_size)
        order = _own(order, batch_size, worker).batch(share, drop_remainder=True)
        return order.map(lambda *devices: (epoch, *devices))

    batches = tf.data.Dataset.range(first_epoch, epochs).flat_map(shuffled)
    batches = batches.skip(first_step)
    # (epoch, chances, (indices, ...)) to (epoch, chances, indices, images, labels)
    batches = batches.map(pictures, tf.data.AUTOTUNE)
    if drawn:
        draw = _drawing(drawn_look, seed, places=map_stride > 0)
        batches = batches.map(draw, tf.data.AUTOTUNE)
    batches = batches.map(lambda epoch, chances, *shown: (epoch, *shown))
    if augment != "none":
        change = _default(dataset, policy or augmentation.Policy(), seed)
        batches = batches.map(change, tf.data.AUTOTUNE)
    batches = batches.map(lambda epoch, indices, *shown: shown)
    if map_stride:
        batches = batches.map(_mapping(map_stride), tf.data.AUTOTUNE)
    if augment in strong_augment.NAMES:
        batches = batches.map(strong_augment.policy(augment))
    total = (epochs - first_epoch) * steps - first_step
    return batches.apply(tf.data.experimental.assert_cardinality(total)).prefetch(2)


def batch_indices(
    dataset: store.Dataset,
    *,
    image_size: int,
    channels: int,
    batch_size: int,
    seed: int,
    epoch: int,
    step: int,
    balanced: bool = False,
    drawn: float = 0.0,
    drawn_only: bool = False,
    cache: str = "auto",
) -> np.ndarray:
    """Which records of split train made a batch, int64 of shape `(batch,)`.

    Arguments are those of `training_batches`; epoch and step are counted from 0.
    """
    count = reading.split_sizes(dataset)[TRAIN]
    kept = _keeps(dataset, TRAIN, image_size, channels, cache)
    window = count if kept else SHUFFLE_WINDOW
    labels = reading.metadata(dataset, TRAIN, ["label"])["label"]
    parts = _parts(
        dataset,
        tf.data.Dataset.range(count),
        lambda index: tf.gather(labels, index) == 1,
        balanced,
        drawn,
        drawn_only,
    )

    def picked(epoch: tf.Tensor) -> tf.data.Dataset:
        return _shuffled(parts, window, seed, epoch)

    order = tf.data.Dataset.range(epoch, epoch + 1).flat_map(picked)
    batch = order.skip(step * batch_size).take(batch_size)
    return np.array([index for _, (index,) in batch.as_numpy_iterator()])


def evaluation_batches(
    dataset: store.Dataset,
    split: str,
    *,
    image_size: int,
    channels: int,
    batch_size: int,
    cache: str = "none",
) -> tf.data.Dataset:
    """All images of a split in the order of its records, the last batch smaller.

    Yields:
        as `training_batches`; labels of split `unlabelled` are -1.
    """

    def picture(record):
        image = preprocess.decode(record["image"], channels)
        image = preprocess.letterbox(image, image_size)
        return image, tf.cast(record["label"], tf.float32)

    pictures = reading.load(dataset, split, only=_FIELDS)
    batches = pictures.map(picture, tf.data.AUTOTUNE).batch(batch_size)
    if _keeps(dataset, split, image_size, channels, cache):
        batches = batches.cache()
    return batches.prefetch(2)


def steps_per_epoch(
    dataset: store.Dataset, batch_size: int, *, good_only: bool = False
) -> int:
    """Whole batches in split train, or in its good devices.

    Raises:
        errors.BadInput: not even one.
    """
    count = reading.split_sizes(dataset).get(TRAIN, 0)
    if good_only:
        count = int(np.sum(reading.metadata(dataset, TRAIN, ["label"])["label"] == 0))
    if count < batch_size:
        raise errors.BadInput(
            f"{dataset.folder}: {count} {'good ' * good_only}images to train on are "
            f"less than one batch of {batch_size}; choose a smaller batch size."
        )
    return count // batch_size


@dataclasses.dataclass(frozen=True)
class _Part:
    """Devices that are shuffled among themselves.

    Attributes:
        devices: all of them, once.
        chance: with which a defect is drawn on one of them.
        share: of the turns of its class that it gets, where classes take turns.
        stream: tells its order from that of other parts with the same devices.
    """

    devices: tf.data.Dataset
    chance: float = 0.0
    share: float = 1.0
    stream: int = 0


def _parts(
    dataset: store.Dataset,
    devices: tf.data.Dataset,
    is_defect: Callable,
    balanced: bool,
    drawn: float,
    good_only: bool,
) -> list[list[_Part]]:
    """What takes turns: everything, or what shows no defect and what shows one."""
    if not balanced and not good_only:
        return [[_Part(devices, drawn)]]
    good = devices.filter(lambda *device: tf.logical_not(is_defect(*device)))
    if not balanced or (good_only and not drawn):
        return [[_Part(good, drawn)]]
    given = devices.filter(is_defect)
    if not drawn:
        return [[_Part(good)], [_Part(given)]]
    is_given = reading.metadata(dataset, TRAIN, ["label"])["label"] == 1
    n_given = 0 if good_only else int(np.sum(is_given))
    n_drawn = drawn * np.sum(~is_given)
    share = float(n_drawn / (n_given + n_drawn))
    showing = [_Part(good, 1.0, share, stream=1)]
    if n_given:
        showing.insert(0, _Part(given, share=1 - share))
    return [[_Part(good)], showing]


def _shuffled(
    parts: list[list[_Part]], window: int, seed: int, epoch: tf.Tensor
) -> tf.data.Dataset:
    """Devices in the order of an epoch: all once, or without end one of each in turn.

    Each comes as `(chance, device)`, a defect being drawn on it with that chance.
    """
    # The order follows from this pair, whatever the caller seeded (0 means none).
    tf.random.set_seed(seed + 1)
    if len(parts) == 1:
        (part,) = parts[0]
        return _chanced(part.devices.shuffle(window, seed=epoch), part.chance)

    def endless(part: _Part) -> tf.data.Dataset:
        def one_pass(turn: tf.Tensor) -> tf.data.Dataset:
            turn += part.stream * (_PASSES // 2)
            return part.devices.shuffle(window, seed=epoch * _PASSES + turn)

        passes = tf.data.Dataset.range(_PASSES // 2).flat_map(one_pass)
        return _chanced(passes, part.chance)

    in_turn = tf.data.Dataset.range(len(parts)).repeat()
    return tf.data.Dataset.choose_from_datasets(
        [_mixed([endless(part) for part in one], one[-1].share) for one in parts],
        in_turn,
        stop_on_empty_dataset=True,
    )


def _chanced(devices: tf.data.Dataset, chance: float) -> tf.data.Dataset:
    return devices.map(lambda *device: (tf.constant(chance, tf.float64), device))


def _mixed(streams: list[tf.data.Dataset], share: float) -> tf.data.Dataset:
    """The only stream, or two of which the last gets its share, evenly spread."""
    if len(streams) == 1:
        return streams[0]

    def turn(count: tf.Tensor) -> tf.Tensor:
        before = tf.cast(count, tf.float64) * share
        return tf.cast(tf.floor(before + share) - tf.floor(before), tf.int64)

    return tf.data.Dataset.choose_from_datasets(
        streams, tf.data.Dataset.counter().map(turn), stop_on_empty_dataset=True
    )


def _decoder(image_size: int, channels: int) -> Callable:
    """Turns batches of records into images and labels."""

    def decode(image_bytes):
        return preprocess.batch(image_bytes.tolist(), image_size, channels)

    def pictures(devices):
        images = tf.numpy_function(decode, [devices["image"]], tf.uint8, stateful=False)
        shape = (*devices["image"].shape, image_size, image_size, channels)
        labels = tf.cast(devices["label"], tf.float32)
        return tf.ensure_shape(images, shape), labels

    return pictures


def _kept(dataset: store.Dataset, image_size: int, channels: int) -> tuple:
    """Devices as indices into pictures that are decoded once, here and now."""
    count = reading.split_sizes(dataset)[TRAIN]
    images = np.empty((count, image_size, image_size, channels), np.uint8)
    labels = np.empty(count, np.float32)
    batches = (
        reading.load(dataset, TRAIN, only=_FIELDS)
        .batch(_DECODE_BATCH)
        .map(_decoder(image_size, channels), tf.data.AUTOTUNE)
        .prefetch(2)
    )
    at = 0
    shown = progress.track(
        batches,
        "Decoding pictures",
        len(batches),
        console=origin.SCREEN,
        transient=True,
        disable=not origin.SCREEN.is_terminal,
    )
    for some, their_labels in shown:
        images[at : at + len(some)], labels[at : at + len(some)] = some, their_labels
        at += len(some)

    def take(indices):
        return images[indices], labels[indices]

    def pictures(epoch, chances, devices):
        (indices,) = devices
        some, their_labels = tf.numpy_function(
            take, [indices], [tf.uint8, tf.float32], stateful=False
        )
        some = tf.ensure_shape(some, (*indices.shape, *images.shape[1:]))
        their_labels = tf.ensure_shape(their_labels, indices.shape)
        return epoch, chances, indices, some, their_labels

    def is_defect(index):
        return tf.gather(labels, index) == 1

    return tf.data.Dataset.range(count), is_defect, count, pictures


def _streamed(dataset: store.Dataset, image_size: int, channels: int) -> tuple:
    """Devices as records that are decoded in every epoch anew."""
    decode = _decoder(image_size, channels)

    def pictures(epoch, chances, devices):
        indices, some = devices
        return (epoch, chances, indices, *decode(some))

    def is_defect(index, record):
        return record["label"] == 1

    devices = reading.load(dataset, TRAIN, only=_FIELDS).enumerate()
    return devices, is_defect, SHUFFLE_WINDOW, pictures


def _drawing(look: str, seed: int, *, places: bool) -> Callable:
    """Draws on batches; with `places` it adds masks of what was drawn."""

    def change(epoch, chances, indices, images, labels):
        images, labels = images.copy(), labels.copy()
        masks = np.zeros((*images.shape[:3], 1), np.uint8)
        for i, index in enumerate(indices):
            random = np.random.default_rng([seed, epoch, index])
            if look == synthetic_defects.CRACKS:
                images[i] = synthetic_defects.add_harmless(images[i], random)
            if labels[i] == 0 and random.random() < chances[i]:
                images[i], masks[i] = synthetic_defects.draw_seen(
                    images[i], random, look
                )
                labels[i] = masks[i].any()
        return images, labels, masks

    def changed(epoch, chances, indices, images, labels):
        new, new_labels, masks = tf.numpy_function(
            change,
            [epoch, chances, indices, images, labels],
            [tf.uint8, tf.float32, tf.uint8],
            stateful=False,
        )
        new = tf.ensure_shape(new, images.shape)
        new_labels = tf.ensure_shape(new_labels, labels.shape)
        masks = tf.ensure_shape(masks, (*images.shape[:3], 1))
        masks = [masks] if places else []
        return epoch, chances, indices, new, new_labels, *masks

    return changed


def _default(
    dataset: store.Dataset, policy: augmentation.Policy, seed: int
) -> Callable:
    """Changes pictures, and moves what masks there are with them."""
    count = reading.split_sizes(dataset)[TRAIN]
    moved_only = dataclasses.replace(policy, brightness=0.0, contrast=0.0, tone=0.0)

    def apply(policy, images, epoch, indices):
        def change(images, epoch, indices):
            draws = augmentation.draws(seed, int(epoch), count)
            return augmentation.augment(images, draws[indices], policy)

        new = tf.numpy_function(
            change, [images, epoch, indices], tf.uint8, stateful=False
        )
        return tf.ensure_shape(new, images.shape)

    def changed(epoch, indices, images, labels, *masks):
        images = apply(policy, images, epoch, indices)
        masks = [apply(moved_only, mask, epoch, indices) for mask in masks]
        return epoch, indices, images, labels, *masks

    return changed


def _mapping(stride: int) -> Callable:
    """Masks to maps, whose places are `stride` pixels wide."""

    def mapped(images, labels, masks):
        seen = tf.cast(masks > 127, tf.float32)
        return images, labels, tf.nn.max_pool2d(seen, stride, stride, "SAME")

    return mapped


def _own(
    order: tf.data.Dataset, batch_size: int, worker: tuple[int, int]
) -> tf.data.Dataset:
    """What one worker has to do of every batch."""
    rank, workers = worker
    if workers == 1:
        return order
    share = batch_size // workers
    order = order.enumerate()
    order = order.filter(lambda place, _: place % batch_size // share == rank)
    return order.map(lambda _, device: device)


def _share(batch_size: int, worker: tuple[int, int]) -> int:
    _, workers = worker
    if batch_size % workers:
        raise errors.BadInput(
            f"batch size {batch_size} cannot be shared among {workers} workers; "
            f"choose a multiple of {workers}."
        )
    return batch_size // workers


def _keeps(
    dataset: store.Dataset, split: str, image_size: int, channels: int, cache: str
) -> bool:
    if cache not in CACHES:
        raise errors.BadInput(
            f"cache {cache!r} is unknown; choose one of {', '.join(CACHES)}."
        )
    size = reading.split_sizes(dataset).get(split, 0) * image_size**2 * channels
    return cache == "memory" or (cache == "auto" and size <= CACHE_BYTES)


def _check_augment(augment: str, deterministic: bool) -> None:
    if augment not in AUGMENTS:
        raise errors.BadInput(
            f"augment {augment!r} is unknown; choose one of {', '.join(AUGMENTS)}."
        )
    if deterministic and augment in strong_augment.NAMES:
        raise errors.BadInput(
            f"augment {augment!r} keeps hidden random state and cannot be repeated; "
            "leave out --deterministic or choose default or none."
        )
