"""A running average of a model's weights."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf


class WeightAverage(keras.callbacks.Callback):
    """Averages weights and batch-norm statistics over the training steps.

    After step t an average moves by 1 - m towards the weights, where m is the momentum,
    but at most (1 + t) / (10 + t): else the random start would be seen for long. Keras'
    own averages (`use_ema`) leave out the batch-norm statistics, which then belong to
    other weights.

    Args:
        model: whose weights; the averages start as these.
        momentum: m in (0, 1).

    Reference:
        [Tan & Le, 2019](https://arxiv.org/abs/1905.11946), TensorFlow's
        `tf.train.ExponentialMovingAverage` for the slow start.
    """

    def __init__(self, model: keras.Model, momentum: float):
        super().__init__()
        if not 0 < momentum < 1:
            raise ValueError(f"momentum must lie in (0, 1). Received {momentum}.")
        self._momentum = momentum
        self._weights = [weight.value for weight in model.weights]
        # Tracked by tf.train.Checkpoint: the averages must survive with the weights.
        self.state = tf.Module()
        self.state.steps = tf.Variable(0, dtype=tf.int64)
        self.state.averages = [tf.Variable(weight) for weight in self._weights]

    def on_train_batch_end(self, batch, logs=None):
        self._move()

    def numpy(self) -> Sequence[np.ndarray]:
        """The averages in the order of `model.weights`."""
        return [average.numpy() for average in self.state.averages]

    @tf.function
    def _move(self):
        step = tf.cast(self.state.steps.assign_add(1), tf.float32)
        share = 1 - tf.minimum(self._momentum, (1 + step) / (10 + step))
        for average, weight in zip(self.state.averages, self._weights):
            # `average.assign_add(share * (weight - average))` takes longer to trace.
            tf.raw_ops.ResourceApplyGradientDescent(
                var=average.handle, alpha=share, delta=average - weight
            )
