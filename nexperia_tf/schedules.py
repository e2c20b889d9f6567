"""Learning-rate schedules."""

import keras


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
