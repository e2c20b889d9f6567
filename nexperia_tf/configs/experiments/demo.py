"""`make demo`: a small ResNeXt on the drawn sample, in minutes on two cores."""

from nexperia_tf import configs

CONFIG = configs.of(
    backbone="resnext26_32x4d",
    image_size=64,
    epochs=14,
    learning_rate=2e-3,
)
