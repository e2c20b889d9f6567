"""`make demo`: a small ResNeXt on the drawn sample, in minutes on two cores."""

from nexperia_tf import configs

# In one stage: nearly every given defect has a box, which teaches where defects are.
CONFIG = configs.Config().changed(
    recipe="standard",
    backbone="resnext26_32x4d",
    image_size=64,
    first_epochs=0,
    epochs=14,
    learning_rate=2e-3,
)
