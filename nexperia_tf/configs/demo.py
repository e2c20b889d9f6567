"""`make demo`: a small ResNeXt on the drawn sample, in minutes on two cores."""

from nexperia_tf import configs

CONFIG = configs.Config(
    backbone="resnext26_32x4d",
    image_size=96,
    batch_size=16,  # many small steps: there is time for few epochs
    epochs=6,
)
