"""As study_original_resnext, with the study's focal loss: .25 fell on the defects."""

import dataclasses

from nexperia_tf.configs import study_original_resnext

CONFIG = dataclasses.replace(
    study_original_resnext.CONFIG, loss="focal", gamma=2.0, alpha=0.25
)
