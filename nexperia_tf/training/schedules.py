"""Learning-rate schedules."""

import keras
from keras import ops


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
