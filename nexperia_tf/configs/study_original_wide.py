"""As study_original_resnext, on the wide ResNet; which one its report leaves open."""

import dataclasses

from nexperia_tf.configs import study_original_resnext

CONFIG = dataclasses.replace(study_original_resnext.CONFIG, backbone="wide_resnet101_2")
