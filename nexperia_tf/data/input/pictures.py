"""Records to decoded pictures, kept in memory or decoded when they are asked for."""

import dataclasses
import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from nexperia_tf import errors, preprocess, sizes
from nexperia_tf.data import progress
from nexperia_tf.data.records import random_access, reading, store

CACHES = ("auto", "memory", "none")
CACHE_BYTES = 4 << 30  # "auto" keeps decoded pictures in memory up to this much
_TOGETHER = 64  # pictures that are decoded at once

# All pictures of a split at one size, as long as somebody still takes some of them.
_KEPT: "weakref.WeakValueDictionary[tuple, np.ndarray]" = weakref.WeakValueDictionary()

Take = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """How pictures reach the network.

    Attributes:
        size: of the canvas they are letterboxed to; a number for a square.
        channels: 1 or 3.
        cache: "memory" keeps decoded pictures, "none" decodes them in every epoch,
            "auto" keeps them up to `CACHE_BYTES`.

    Raises:
        errors.BadInput: there is no such cache.
    """

    size: sizes.Size | int
    channels: int
    cache: str = "auto"

    def __post_init__(self):
        if self.cache not in CACHES:
            raise errors.BadInput(
                f"cache {self.cache!r} is unknown; choose one of {', '.join(CACHES)}."
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture: height, width, channels."""
        return *sizes.Size.of(self.size), self.channels

    def keeps(self, count: int) -> bool:
        """Whether so many pictures are kept in memory once they are decoded."""
        fits = count * np.prod(self.shape, dtype=int) <= CACHE_BYTES
        return self.cache == "memory" or (self.cache == "auto" and bool(fits))

    def taker(self, dataset: store.Dataset, split: str) -> Take:
        """A function from places in the records of a split to their pictures.

        It takes int64 of shape `(batch,)` and gives uint8 of shape `(batch, height,
        width, channels)`. Pictures that are kept are decoded here and now, unless
        another such function is there that has them.
        """
        if self.keeps(reading.split_sizes(dataset)[split]):
            key = dataset.folder, split, self.shape
            images = _KEPT.get(key)
            if images is None:
                images = _KEPT[key] = self._all(dataset, split)
            return images.__getitem__
        encoded = random_access.Images(dataset, split)
        return lambda indices: self._decoded(encoded.read(indices))

    def _all(self, dataset: store.Dataset, split: str) -> np.ndarray:
        """Every picture of a split, decoded."""
        count = reading.split_sizes(dataset)[split]
        images = np.empty((count, *self.shape), np.uint8)
        encoded = reading.load(dataset, split, only=("image",)).batch(_TOGETHER)
        batches = encoded.map(self._in_graph, tf.data.AUTOTUNE).prefetch(2)
        at = 0
        for decoded in progress.track(
            batches, "Decoding pictures", total=len(images), size=len
        ):
            images[at : at + len(decoded)] = decoded
            at += len(decoded)
        return images

    def _in_graph(self, records: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.numpy_function(
            lambda encoded: self._decoded(encoded.tolist()),
            [records["image"]],
            tf.uint8,
            stateful=False,
        )

    def _decoded(self, encoded: list[bytes]) -> np.ndarray:
        return preprocess.batch(encoded, self.size, self.channels)
