"""What is done to the pictures of a training batch: drawn defects, turns, light.

All of it follows from (seed, epoch, place of the picture in its records), but for the
strong policies.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.data.input import augment as augmentation
from nexperia_tf.data.input import strong_augment, synthetic_defects

AUGMENTS = ("none", "default", "crop", *strong_augment.NAMES)
_SEEN = 127  # a mask's level from which a drawn defect is there

Batch = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Changes:
    """How training pictures are changed.

    Attributes:
        augment: one of `AUGMENTS`; the strong ones come on top of the default.
        policy: how far the default augmentation goes.
        drawn_look: of drawn defects, one of `synthetic_defects.LOOKS`.
        map_stride: pixels that a place of a map is wide, which says where the drawn
            defects are; 0 makes none.

    Raises:
        errors.BadInput: there is no such augmentation.
    """

    augment: str = "default"
    policy: augmentation.Policy = dataclasses.field(default_factory=augmentation.Policy)
    drawn_look: str = synthetic_defects.DARK
    map_stride: int = 0

    def __post_init__(self):
        if self.augment not in AUGMENTS:
            raise errors.BadInput(
                f"augment {self.augment!r} is unknown; choose one of "
                f"{', '.join(AUGMENTS)}."
            )

    def apply(
        self, batches: tf.data.Dataset, *, seed: int, count: int, drawn: bool
    ) -> tf.data.Dataset:
        """Changed batches.

        Args:
            batches: with `image`, `label`, `chance` that a defect is drawn on it,
                `index` and `epoch`, of shape `(batch, ...)` but for the epoch.
            seed: decides, with epoch and index.
            count: pictures in the training split.
            drawn: whether defects are drawn.

        Yields:
            the same; `map` beside it, float32 of shape `(batch, rows, columns, 1)`, 1
            where a drawn defect touches the place, if there is a stride.
        """
        if drawn:
            batches = batches.map(_Drawing(seed, self.drawn_look), tf.data.AUTOTUNE)
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
        return batch | {"map": tf.nn.max_pool2d(seen, stride, stride, "SAME")}


@dataclasses.dataclass(frozen=True)
class _Drawing:
    """Draws defects on pictures of a batch, and adds masks of what was drawn."""

    seed: int
    look: str

    def __call__(self, batch: Batch) -> Batch:
        images, labels = batch["image"], batch["label"]
        new, new_labels, masks = tf.numpy_function(
            self._draw,
            [images, labels, batch["epoch"], batch["index"], batch["chance"]],
            [tf.uint8, tf.float32, tf.uint8],
            stateful=False,
        )
        return batch | {
            "image": tf.ensure_shape(new, images.shape),
            "label": tf.ensure_shape(new_labels, labels.shape),
            "mask": tf.ensure_shape(masks, (*images.shape[:3], 1)),
        }

    def _draw(self, images, labels, epoch, indices, chances) -> tuple[np.ndarray, ...]:
        images, labels = images.copy(), labels.copy()
        masks = np.zeros((*images.shape[:3], 1), np.uint8)
        for i, index in enumerate(indices):
            random = np.random.default_rng([self.seed, epoch, index])
            if self.look == synthetic_defects.CRACKS:
                images[i] = synthetic_defects.add_harmless(images[i], random)
            if labels[i] == 0 and random.random() < chances[i]:
                images[i], masks[i] = synthetic_defects.draw_seen(
                    images[i], random, self.look
                )
                labels[i] = masks[i].any()
        return images, labels, masks


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
        def change(images, epoch, indices):
            draws = augmentation.draws(self.seed, int(epoch), self.count)
            return augmentation.augment(images, draws[indices], policy)

        taken = [batch[name], batch["epoch"], batch["index"]]
        changed = tf.numpy_function(change, taken, tf.uint8, stateful=False)
        return tf.ensure_shape(changed, batch[name].shape)
