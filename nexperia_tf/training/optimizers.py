"""AdamW and SGD on TensorFlow's fused ops, exchangeable with Keras's; their rates.

Keras 3 updates each variable by a dozen elementwise ops, each a pass over memory; on a
CPU that is a fifth of a small network's training step.
"""

import keras
from keras import ops

from nexperia_tf.library_internals import keras_internals
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

        first, second = keras_internals.moments(self, variable)
        # With accumulated gradients the count is a tensor and no variable.
        step = tf.cast(keras.ops.add(self.iterations, 1), tf.float32)
        return tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(first),
            v=_handle(second),
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
            accum=_handle(keras_internals.momentum(self, variable)),
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


class _Layerwise(keras_internals.OwnWeightDecay):
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
        if self.decays(variable):
            loss = ops.cast(rate * self.weight_decay, variable.dtype)
            self.assign_sub(variable, variable * loss)
        super().update_step(gradient, variable, rate)

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


def warmup_cosine(
    peak: float, *, steps: int, warmup_steps: int = 0
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rises linearly from 0 to `peak`, then falls to 0 along half a cosine.

    Args:
        peak: the highest learning rate.
        steps: number of steps in all, the warm-up among them.
        warmup_steps: steps of the rise; 0 starts at the peak.

    Reference:
        [Loshchilov & Hutter, 2017](https://arxiv.org/abs/1608.03983).
    """
    if not 0 <= warmup_steps < steps:
        raise ValueError(
            "warmup_cosine needs fewer warm-up steps than steps. "
            f"Received warmup_steps={warmup_steps}, steps={steps}."
        )
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps
    )


@keras.saving.register_keras_serializable(package="nexperia_tf")
class WarmupStep(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to `peak`, then falls to a tenth again and again.

    Args:
        peak: the highest learning rate.
        every: steps between two falls, counted from the first step of all.
        warmup_steps: steps of the rise; 0 starts at the peak.

    Reference:
        [He et al., 2016](https://arxiv.org/abs/1512.03385), section 3.4.
    """

    def __init__(self, peak: float, *, every: int, warmup_steps: int = 0):
        super().__init__()
        if every < 1 or warmup_steps < 0:
            raise ValueError(
                "WarmupStep falls every step at most, after a warm-up. "
                f"Received every={every}, warmup_steps={warmup_steps}."
            )
        self.peak, self.every, self.warmup_steps = peak, every, warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = self.peak * ops.power(0.1, ops.floor(step / self.every))
        if not self.warmup_steps:
            return rate
        return rate * ops.minimum(1.0, step / self.warmup_steps)

    def get_config(self):
        return {
            "peak": self.peak,
            "every": self.every,
            "warmup_steps": self.warmup_steps,
        }
