"""As study_original_wide, with the study's focal loss: .25 fell on the defects."""

from nexperia_tf.configs.experiments import study_original_wide

CONFIG = study_original_wide.CONFIG.changed(loss="focal", gamma=2.0, alpha=0.25)
