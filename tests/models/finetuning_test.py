import keras
import numpy as np
import pytest

from nexperia_tf.models import finetuning
from nexperia_tf.training import optimizers


def one_step(model, optimizer, pixels):
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer, loss, run_eagerly=True)
    model.train_on_batch(pixels(), np.array([[1.0], [0], [0], [1]]))


def changed(model, optimizer, pixels):
    """Names of the variables that one training step changes."""
    before = {w.path: w.numpy() for w in model.weights}
    one_step(model, optimizer, pixels)
    return {w.path for w in model.weights if not np.array_equal(before[w.path], w)}


def test_frozen_parts_keep_weights_and_statistics(settled, pixels):
    finetuning.freeze(settled, up_to="stage1")
    paths = changed(settled, keras.optimizers.SGD(0.1), pixels)
    assert {path.split("_")[0] for path in paths} == {
        "stage2",
        "logit/kernel",
        "logit/bias",
    }


def test_frozen_batch_norm_lets_convolutions_learn(settled, pixels):
    finetuning.freeze(settled, batch_norm=True)
    paths = changed(settled, keras.optimizers.SGD(0.1), pixels)
    assert not any("_bn" in path for path in paths)
    assert "stem_conv/kernel" in paths and "stage2_block1_conv2/kernel" in paths


def test_all_parts_frozen_leaves_the_head(settled, pixels):
    finetuning.freeze(settled, up_to="stage4")
    paths = changed(settled, keras.optimizers.SGD(0.1), pixels)
    assert paths == {"logit/kernel", "logit/bias"}


def test_a_part_that_is_none_is_refused(settled):
    with pytest.raises(ValueError, match="Received 'stage5'"):
        finetuning.freeze(settled, up_to="stage5")


@pytest.mark.parametrize(
    "layerwise,plain,knobs",
    [
        (optimizers.LayerwiseAdamW, keras.optimizers.AdamW, {}),
        (optimizers.LayerwiseSGD, keras.optimizers.SGD, {"momentum": 0.9}),
    ],
)
def test_without_decay_by_layer_it_is_keras_own(
    settled, pixels, layerwise, plain, knobs
):
    start = settled.get_weights()
    results = []
    for kind in (layerwise, plain):
        settled.set_weights(start)
        optimizer = kind(0.01, weight_decay=0.1, **knobs)
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        one_step(settled, optimizer, pixels)
        results.append(settled.get_weights())
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_rate_and_decay_fall_with_the_distance_from_the_head():
    weights = [
        keras.Variable(np.ones(2, "float32"), name=name)
        for name in ("logit", "stage4_block1_conv1", "stem_conv")
    ]
    optimizer = optimizers.LayerwiseSGD(0.1, layer_decay=0.5, weight_decay=1.0)
    optimizer.apply([np.ones(2, "float32")] * 3, weights)
    # One step of 0.1 for the gradient and one of 0.1 for the decay of a weight of 1.
    fall = [1 - float(weight.numpy()[0]) for weight in weights]
    np.testing.assert_allclose(fall, [0.2, 0.1, 0.2 / 2**5], rtol=1e-4)


def test_optimizer_survives_serialisation():
    optimizer = optimizers.LayerwiseAdamW(0.1, layer_decay=0.7)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.layer_decay == 0.7


@pytest.mark.parametrize("decay", [0.0, 1.1])
def test_impossible_decay_is_refused(decay):
    with pytest.raises(ValueError, match="layer_decay must lie in"):
        optimizers.LayerwiseSGD(0.1, layer_decay=decay)
