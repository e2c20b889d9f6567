"""Fails loudly on the day keras-cv, frozen at 0.9.0, no longer works."""

import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf.data.input import strong_augment

BATCH = 8


@pytest.fixture(scope="module")
def images():
    """A grey ramp on a rectangle, brighter from picture to picture."""
    ramp = np.arange(48 * 32).reshape(1, 48, 32, 1) // 12
    return (ramp + np.arange(BATCH).reshape(-1, 1, 1, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "channels"),
    [("randaugment", 1), ("gridmask", 3), ("mixup", 1), ("cutmix", 3)],
)
def test_policies_change_pictures_and_only_blends_change_labels(name, channels, images):
    tf.random.set_seed(0)
    images = np.repeat(images, channels, axis=-1)
    labels = np.array([0, 1] * (BATCH // 2), np.float32)
    batches = tf.data.Dataset.from_tensors({"image": images, "label": labels}).repeat(4)
    changed = list(batches.map(strong_augment.policy(name)).as_numpy_iterator())
    assert len(changed) == 4
    for batch in changed:
        new_images, new_labels = batch["image"], batch["label"]
        assert new_images.shape == images.shape and new_images.dtype == np.uint8
        assert new_labels.shape == (BATCH,) and new_labels.dtype == np.float32
        assert new_labels.min() >= 0 and new_labels.max() <= 1
    assert any(not np.array_equal(batch["image"], images) for batch in changed)
    blended = any(not np.array_equal(batch["label"], labels) for batch in changed)
    assert blended == (name in ("mixup", "cutmix"))
