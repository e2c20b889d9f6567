"""AdamW and SGD on TensorFlow's fused ops, exchangeable with Keras's.

Keras 3 updates each variable by a dozen elementwise ops, each a pass over memory; on a
CPU that is a fifth of a small network's training step.
"""

import keras
from keras import ops

from nexperia_tf.models import finetuning


class AdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, whose update is one op where there is one.

    Arguments and variables are Keras's, results to some 1e-5. Where the fused op does
    not apply (another backend, AMSGrad, anything but dense float32) Keras's own update
    runs.
    """

    def update_step(self, gradient, variable, learning_rate):
        if self.amsgrad or not _fusible(gradient, variable):
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        index = self._get_variable_index(variable)
        # With accumulated gradients the count is a tensor and no variable.
        step = tf.cast(keras.ops.add(self.iterations, 1), tf.float32)
        return tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class SGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD`, whose update is one op where there is one.

    Arguments, variables and results are Keras's. Where the fused op does not apply
    (another backend, anything but dense float32) Keras's own update runs.
    """

    def update_step(self, gradient, variable, learning_rate):
        if not _fusible(gradient, variable):
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        rate = tf.cast(learning_rate, tf.float32)
        if not self.momentum:
            return tf.raw_ops.ResourceApplyGradientDescent(
                var=_handle(variable), alpha=rate, delta=gradient
            )
        return tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(self.momentums[self._get_variable_index(variable)]),
            lr=rate,
            grad=gradient,
            momentum=self.momentum,
            use_nesterov=self.nesterov,
        )


def _fusible(gradient, variable) -> bool:
    """Whether TensorFlow has one op for this update."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.is_tensor(gradient) and {gradient.dtype, _value(variable).dtype} == {
        tf.float32
    }


def _value(variable):
    """The TensorFlow variable, which Keras hands over bare or wrapped."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def _handle(variable):
    return _value(variable).handle


class _Layerwise:
    """Scales learning rate and weight decay of an optimizer by `rate_share`."""

    def __init__(self, *arguments, layer_decay: float = 1.0, **knobs):
        super().__init__(*arguments, **knobs)
        if not 0 < layer_decay <= 1:
            raise ValueError(
                f"layer_decay must lie in (0, 1]. Received layer_decay={layer_decay}."
            )
        self.layer_decay = layer_decay

    def update_step(self, gradient, variable, learning_rate):
        # TensorFlow's trainer passes its own variables, which have no path.
        name = getattr(variable, "path", variable.name)
        rate = learning_rate * finetuning.rate_share(name, self.layer_decay)
        if self.weight_decay is not None and self._use_weight_decay(variable):
            loss = ops.cast(rate * self.weight_decay, variable.dtype)
            self.assign_sub(variable, variable * loss)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables):
        """Done in `update_step`, where the rate of the variable is known."""

    def get_config(self):
        return {**super().get_config(), "layer_decay": self.layer_decay}


@keras.saving.register_keras_serializable(package="nexperia_tf")
class LayerwiseAdamW(_Layerwise, AdamW):
    """AdamW whose learning rate falls by `layer_decay` with each part below the head.

    With 1 it is `AdamW`.

    Reference:
        [Clark et al., 2020](https://arxiv.org/abs/2003.10555), section 3.
    """


@keras.saving.register_keras_serializable(package="nexperia_tf")
class LayerwiseSGD(_Layerwise, SGD):
    """SGD whose learning rate falls by `layer_decay` with each part below the head.

    With 1 it is `SGD`.
    """
