"""`nexperia_tf.study --scale paper`, our recipe: letterbox, AdamW, partial AUC."""

from nexperia_tf import configs

CONFIG = configs.of(
    backbone="resnext101_32x8d",
    weights="imagenet",
    fine_tuning=False,
    epochs=40,
    batch_size=64,
    learning_rate=3e-4,
    monitor="partial_auc",
    deterministic=True,
)
