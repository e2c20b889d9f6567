"""`nexperia_tf.study --scale small`: 26-layer networks, in minutes on two cores.

The study sets the epochs: each run sees as many pictures, however many there are.
"""

from nexperia_tf import configs

CONFIG = configs.of(
    backbone="resnext26_32x4d",
    weights="none",
    fine_tuning=False,
    image_size=96,
    epochs=6,
    learning_rate=2e-3,
    deterministic=True,
)
