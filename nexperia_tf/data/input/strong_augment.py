"""The strong policies of keras-cv, as an option on top of the default augmentation.

keras-cv is frozen at 0.9.0 and keeps hidden random state: no run that uses it can be
repeated or resumed to the bit. Nothing else in the package imports it.
"""

import secrets
from collections.abc import Callable

import tensorflow as tf

NAMES = ("randaugment", "gridmask", "mixup", "cutmix")

Batch = dict[str, tf.Tensor]


def policy(name: str) -> Callable[[Batch], Batch]:
    """A function of one batch for `tf.data.Dataset.map`.

    Args:
        name: one of `NAMES`; "mixup" and "cutmix" blend labels too.

    Returns:
        takes a batch with `image`, uint8 of shape `(batch, height, width, channels)`,
        and `label`, float32 of shape `(batch,)`, and gives the same, changed; blended
        labels lie in [0, 1].
    """
    import keras_cv  # seconds to import, and only for who asks for it

    # The layers draw from TensorFlow's generator, which it does not make by itself
    # once a deterministic run has been in this process.
    seed = secrets.randbits(31)
    tf.random.set_global_generator(tf.random.Generator.from_seed(seed))
    layer = {
        "randaugment": lambda: keras_cv.layers.RandAugment(
            value_range=(0, 255), augmentations_per_image=2, magnitude=0.3
        ),
        "gridmask": keras_cv.layers.GridMask,
        "mixup": keras_cv.layers.MixUp,
        "cutmix": keras_cv.layers.CutMix,
    }[name]()

    def change(batch: Batch) -> Batch:
        images, labels = batch["image"], batch["label"]
        grey = images.shape[-1] == 1
        pixels = tf.cast(images, tf.float32)
        if grey:  # RandAugment takes colour only
            pixels = tf.image.grayscale_to_rgb(pixels)
        changed = layer({"images": pixels, "labels": labels[:, None]}, training=True)
        pixels = tf.saturate_cast(tf.round(changed["images"]), tf.uint8)
        if grey:
            pixels = tf.image.rgb_to_grayscale(pixels)
        labels = tf.reshape(changed["labels"], tf.shape(labels))
        return batch | {"image": tf.ensure_shape(pixels, images.shape), "label": labels}

    return change
