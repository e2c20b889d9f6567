"""Where training steps run: on one device, or on all of this machine's."""

import keras
import tensorflow as tf

from nexperia_tf import errors


def named(name: str, *, batch_size: int) -> tf.distribute.Strategy:
    """The strategy that `--strategy` names.

    Args:
        name: none is one device; mirrored shares each batch among all GPUs, or logical
            CPUs where there is none; auto is mirrored where there are several GPUs.
        batch_size: devices in a batch, of all replicas together.

    Raises:
        errors.BadInput: the batch cannot be shared evenly.
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "none" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    if batch_size % len(devices):
        raise errors.BadInput(
            f"--batch-size {batch_size} cannot be shared among {len(devices)} devices; "
            f"choose a multiple of {len(devices)}."
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def synchronise(model: keras.Model) -> None:
    """Has every batch norm take its statistics over the batches of all replicas."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
