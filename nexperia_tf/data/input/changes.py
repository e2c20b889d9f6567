"""What is done to the pictures of a training batch: drawn defects, turns, light.

All of it follows from (seed, epoch, place of the picture in its records, how often the
epoch has shown it before), but for the strong policies.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.data.input import augment as augmentation
from nexperia_tf.data.input import product_defects, strong_augment, synthetic_defects

AUGMENTS = ("none", "default", "crop", *strong_augment.NAMES)
ANY = "any"
LOOKS = (*synthetic_defects.LOOKS, ANY)  # of drawn defects
_SEEN = 127  # a mask's level from which a defect is there
CRACKS = 0.5  # of the defects of any product: long, faint and dark, as nothing else is
UNKNOWN = -1.0  # a label or a place that teaches nothing

_MOVED = 1  # a stream of its own beside that of what is drawn
_WHICH = ("epoch", "index", "before")  # of a batch: what its changes follow from

Boxes = Sequence[np.ndarray | None]
Batch = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Changes:
    """How training pictures are changed.

    Attributes:
        augment: one of `AUGMENTS`; the strong ones come on top of the default.
        policy: how far the default augmentation goes.
        drawn_look: of drawn defects, one of `LOOKS`.
        map_stride: pixels that a place of a map is wide, which says where the defects
            are; 0 makes none.
        drawn_label: what a picture is called on which a defect is drawn: 1, a defect,
            or `UNKNOWN` where it is to teach the map alone.

    Raises:
        errors.BadInput: there is no such augmentation.
    """

    augment: str = "default"
    policy: augmentation.Policy = dataclasses.field(default_factory=augmentation.Policy)
    drawn_look: str = synthetic_defects.DARK
    map_stride: int = 0
    drawn_label: float = 1.0

    def __post_init__(self):
        if self.augment not in AUGMENTS:
            raise errors.BadInput(
                f"augment {self.augment!r} is unknown; choose one of "
                f"{', '.join(AUGMENTS)}."
            )

    def apply(
        self,
        batches: tf.data.Dataset,
        *,
        seed: int,
        count: int,
        drawn: bool,
        boxes: Boxes = (),
    ) -> tf.data.Dataset:
        """Changed batches.

        Args:
            batches: with `image`, `label`, `chance` that a defect is drawn on it,
                `index`, `before` and `epoch`, of shape `(batch, ...)` but for the
                epoch. `before` is how often the epoch has shown the picture already.
            seed: decides, with epoch, index and before.
            count: pictures in the training split.
            drawn: whether defects are drawn.
            boxes: for a map, of each picture of the split the boxes of its given
                defect on the canvas, `(boxes, 4)`; None where they are not known.

        Yields:
            the same; `map` beside it, float32 of shape `(batch, rows, columns, 1)`, if
            there is a stride: 1 where a defect touches the place, `UNKNOWN` all over a
            given defect without a box, else 0.
        """
        if drawn:
            drawing = _Drawing(seed, self.drawn_look, self.drawn_label)
            batches = batches.map(drawing, tf.data.AUTOTUNE)
        if self.map_stride:
            batches = batches.map(_Marking(boxes), tf.data.AUTOTUNE)
        if self.augment != "none":
            moved = _Augmentation(seed, count, self.policy)
            batches = batches.map(moved, tf.data.AUTOTUNE)
        if self.map_stride:
            batches = batches.map(self._mapped, tf.data.AUTOTUNE)
        if self.augment in strong_augment.NAMES:
            batches = batches.map(strong_augment.policy(self.augment))
        return batches

    def _mapped(self, batch: Batch) -> Batch:
        seen = tf.cast(batch["mask"] > _SEEN, tf.float32)
        stride = self.map_stride
        places = tf.nn.max_pool2d(seen, stride, stride, "SAME")
        known = batch["known"][:, None, None, None]
        return batch | {"map": tf.where(known, places, UNKNOWN)}


@dataclasses.dataclass(frozen=True)
class _Drawing:
    """Draws defects on pictures of a batch, and adds masks of what was drawn."""

    seed: int
    look: str
    label: float

    def __call__(self, batch: Batch) -> Batch:
        images, labels = batch["image"], batch["label"]
        new, new_labels, masks = tf.numpy_function(
            self._draw,
            [images, labels, batch["chance"], *(batch[name] for name in _WHICH)],
            [tf.uint8, tf.float32, tf.uint8],
            stateful=False,
        )
        return batch | {
            "image": tf.ensure_shape(new, images.shape),
            "label": tf.ensure_shape(new_labels, labels.shape),
            "mask": tf.ensure_shape(masks, (*images.shape[:3], 1)),
        }

    def _draw(self, images, labels, chances, epoch, *which) -> tuple[np.ndarray, ...]:
        images, labels = images.copy(), labels.copy()
        masks = np.zeros((*images.shape[:3], 1), np.uint8)
        for i, (index, before) in enumerate(zip(*which)):
            again = (before,) if before else ()
            random = np.random.default_rng([self.seed, epoch, index, *again])
            if self.look == synthetic_defects.CRACKS:
                images[i] = synthetic_defects.add_harmless(images[i], random)
            if labels[i] == 0 and random.random() < chances[i]:
                images[i], masks[i] = _drawn(images[i], random, self.look)
                labels[i] = self.label if masks[i].any() else 0
        return images, labels, masks


def _drawn(image, random, look: str) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a defect of that look, and a mask of it."""
    if look == ANY:
        if random.random() >= CRACKS:
            return product_defects.draw_seen(image, random)
        look = synthetic_defects.CRACKS
    return synthetic_defects.draw_seen(image, random, look)


@dataclasses.dataclass(frozen=True)
class _Marking:
    """Adds boxes of given defects to the masks, and whether all places are known."""

    boxes: Boxes

    def __call__(self, batch: Batch) -> Batch:
        shape = (*batch["image"].shape[:3], 1)
        drawn = batch.get("mask", tf.zeros(shape, tf.uint8))
        masks, known = tf.numpy_function(
            self._mark,
            [drawn, batch["label"], batch["index"]],
            [tf.uint8, tf.bool],
            stateful=False,
        )
        return batch | {
            "mask": tf.ensure_shape(masks, shape),
            "known": tf.ensure_shape(known, shape[:1]),
        }

    def _mark(self, masks, labels, indices) -> tuple[np.ndarray, np.ndarray]:
        masks, known = masks.copy(), np.ones(len(masks), bool)
        for i, index in enumerate(indices):
            if not labels[i] or masks[i].any():  # good, or a drawn defect
                continue
            given = self.boxes[index] if len(self.boxes) else None
            known[i] = given is not None
            for x1, y1, x2, y2 in () if given is None else given:
                rows = slice(int(y1), max(int(y1) + 1, math.ceil(y2)))
                masks[i, rows, int(x1) : max(int(x1) + 1, math.ceil(x2))] = 255
        return masks, known


@dataclasses.dataclass(frozen=True)
class _Augmentation:
    """Turns and relights pictures, and moves what masks there are with them."""

    seed: int
    count: int
    policy: augmentation.Policy

    def __call__(self, batch: Batch) -> Batch:
        moved = {"image": self._changed(batch, "image", self.policy)}
        if "mask" in batch:
            dark = dataclasses.replace(
                self.policy, brightness=0.0, contrast=0.0, tone=0.0
            )
            moved["mask"] = self._changed(batch, "mask", dark)
        return batch | moved

    def _changed(self, batch: Batch, name: str, policy) -> tf.Tensor:
        def change(images, epoch, indices, before):
            table = augmentation.draws(self.seed, int(epoch), self.count)
            draws = table[indices]  # a copy
            for i in np.flatnonzero(before):
                which = self.seed, epoch, indices[i], before[i], _MOVED
                draws[i] = np.random.default_rng(which).random(draws.shape[1])
            return augmentation.augment(images, draws, policy)

        taken = [batch[name], *(batch[name] for name in _WHICH)]
        changed = tf.numpy_function(change, taken, tf.uint8, stateful=False)
        return tf.ensure_shape(changed, batch[name].shape)
