"""Records as simple numbers."""

import concurrent.futures
import os
from collections.abc import Sequence

import numpy as np

from nexperia_tf import bounds, labels
from nexperia_tf.baseline import floor, simple_numbers
from nexperia_tf.data import images, progress
from nexperia_tf.data.records import random_access, reading, store

MOST_TRAINING = 5000  # pictures that are learned from; more change little
STEP = "Simple numbers"


def table(
    dataset: store.Dataset, split: str, *, most: int | None = None, seed: int = 0
) -> floor.Table:
    """The pictures of a split as numbers, in the order of the records.

    Args:
        dataset: the records.
        split: which of its splits.
        most: pictures to look at, drawn in the shares of both classes; None for all.
        seed: of the draw.

    Raises:
        errors.BadInput: no image is in that split, or a record is damaged.
    """
    known = reading.metadata(dataset, split, ("label", "group"))
    rows = _drawn(known["label"], most, seed)
    channels = reading.channels(dataset)
    records = random_access.Images(dataset, split)

    def look(row: int) -> tuple[np.ndarray, np.ndarray]:
        (content,) = records.read([row])
        pixels = images.load(content, max_pixels=bounds.MOST_PIXELS).pixels
        numbers = simple_numbers.numbers(pixels, channels=channels)
        values = np.fromiter(numbers.values(), np.float32, len(numbers))
        return values, simple_numbers.thumbnail(pixels)

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        looked = pool.map(look, rows)
        seen = list(progress.track(looked, f"{STEP}, {split}", total=len(rows)))
    finally:  # Ctrl-C does not wait for the pictures that are left
        pool.shutdown(cancel_futures=True)
    values, thumbnails = map(np.stack, zip(*seen))
    return floor.Table(
        names=simple_numbers.names(channels),
        values=values,
        thumbnails=thumbnails,
        label=np.array(known["label"])[rows],
        group=np.array(known["group"])[rows],
    )


def _drawn(label: Sequence[int], most: int | None, seed: int) -> np.ndarray:
    """Places of the pictures to look at, in order; of each class its share."""
    label = np.asarray(label)
    if most is None or len(label) <= most:
        return np.arange(len(label))
    random, chosen = np.random.default_rng(seed), []
    for kind in (labels.UNLABELLED, *range(len(labels.NAMES))):
        places = np.flatnonzero(label == kind)
        count = min(len(places), max(1, round(most * len(places) / len(label))))
        chosen.append(random.choice(places, count, replace=False))
    return np.sort(np.concatenate(chosen))
