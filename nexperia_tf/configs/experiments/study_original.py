"""`nexperia study --scale paper`: the original's ResNeXt with cross-entropy.

`study/plan` makes its other three of it: the wide ResNet, and either with focal loss.

Its report leaves the first learning rate open; .1 is that of the ImageNet recipe it
names. Coupled weight decay of 1e-4 at momentum .9 pulls as a decoupled one of 1e-3.
One logit's sigmoid is two logits' softmax. What differs: the split is by lot and holds
a test part, pictures are judged whole (letterbox) instead of by their centre, and
pixels are standardised by ImageNet's statistics.
"""

from nexperia_tf import configs

CONFIG = configs.of(
    backbone="resnext101_32x8d",
    weights="imagenet",
    fine_tuning=False,
    loss="bce",
    epochs=90,
    patience=90,
    batch_size=256,
    optimizer="momentum",
    learning_rate=0.1,
    schedule="step",
    step_epochs=30,
    warmup_epochs=0,
    weight_decay=1e-3,
    augment="crop",
    monitor="accuracy",
    deterministic=True,
)
