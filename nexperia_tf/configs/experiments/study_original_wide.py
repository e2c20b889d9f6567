"""As study_original_resnext, on the wide ResNet; which one its report leaves open."""

from nexperia_tf.configs.experiments import study_original_resnext

CONFIG = study_original_resnext.CONFIG.changed(backbone="wide_resnet101_2")
