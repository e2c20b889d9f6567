"""Batch normalisation on TensorFlow's fused op, exchangeable with Keras's layer.

Keras 3 computes moments and normalises with a dozen elementwise ops, each a pass over
memory; on a CPU that is over a third of a ResNeXt's training step.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="nexperia_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, computed by one op where there is one.

    Arguments, weights, saved form and results are Keras's, in training and inference.
    Where the fused op does not apply (another backend, statistics synchronised across
    replicas, a mask, renorm, anything but a four-dimensional channels-last input of at
    most 32 bits) Keras's own computation runs.
    """

    def call(self, inputs, training=None, mask=None):
        if mask is not None or not self._fusible(inputs):
            return super().call(inputs, training=training, mask=mask)
        if not (training and self.trainable):
            return self._fused(inputs, training=False)[0]
        outputs, mean, variance = self._fused(inputs, training=True)
        # The op gives the sample variance, Keras keeps the population's.
        count = ops.cast(ops.size(inputs) // inputs.shape[-1], variance.dtype)
        self._blend(self.moving_mean, mean)
        self._blend(self.moving_variance, variance * ((count - 1) / count))
        return outputs

    def _fusible(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and not self.synchronized
            and not self.renorm
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype)
            in ("float32", "float16", "bfloat16")
            and self.moving_mean.dtype == "float32"
        )

    def _fused(self, inputs, *, training):
        """Normalised inputs, batch mean and batch variance."""
        import tensorflow as tf

        channels = (inputs.shape[-1],)
        ones, zeros = tf.ones(channels), tf.zeros(channels)
        moving = (self.moving_mean, self.moving_variance)
        mean, variance = (zeros, zeros) if training else moving
        outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=ops.convert_to_tensor(self.gamma) if self.scale else ones,
            offset=ops.convert_to_tensor(self.beta) if self.center else zeros,
            mean=ops.convert_to_tensor(mean),
            variance=ops.convert_to_tensor(variance),
            epsilon=self.epsilon,
            is_training=training,
        )
        return outputs, batch_mean, batch_variance

    def _blend(self, moving, batch):
        moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
