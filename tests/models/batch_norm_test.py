import keras
import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf.models import batch_norm

KNOBS = {"epsilon": 1e-5, "momentum": 0.9}


def pair(shape=(4, 5, 6, 3), **knobs):
    """Ours and Keras's layer with the same random weights, and a batch."""
    rng = np.random.default_rng(0)
    dtype = knobs.pop("dtype", "float32")
    layers = [
        kind(**{**KNOBS, **knobs}, dtype=dtype)
        for kind in (batch_norm.BatchNormalization, keras.layers.BatchNormalization)
    ]
    for layer in layers:
        layer.build(shape)
    weights = [rng.uniform(0.5, 2, w.shape) for w in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    images = rng.normal(3, 2, shape).astype("float32")
    return *layers, images


def run(layer, images, training):
    images = tf.cast(images, layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, training=training)
        total = tf.reduce_sum(tf.cast(outputs, "float32") ** 2 * tf.range(3.0))
    slopes = tape.gradient(total, [images, *layer.trainable_weights])
    return [tf.cast(tensor, "float32").numpy() for tensor in (outputs, *slopes)]


@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_are_keras_own(training):
    ours, theirs, images = pair()
    for found, expected in zip(
        run(ours, images, training), run(theirs, images, training)
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    for found, expected in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("training", [True, False])
def test_mixed_precision_keeps_statistics_in_float32(policy, training):
    ours, theirs, images = pair(dtype=policy)
    found, expected = run(ours, images, training), run(theirs, images, training)
    np.testing.assert_allclose(found[0], expected[0], rtol=0.02, atol=0.02)
    for weight, other in zip(ours.weights, theirs.weights):
        assert weight.dtype == "float32"
        np.testing.assert_allclose(weight.numpy(), other.numpy(), rtol=1e-3)


@pytest.mark.parametrize("absent", ["center", "scale"])
def test_works_without_offset_or_scale(absent):
    ours, theirs, images = pair(**{absent: False})
    found, expected = ours(images, training=True), theirs(images, training=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_frozen_layer_uses_and_keeps_its_moving_statistics():
    ours, theirs, images = pair()
    ours.trainable = theirs.trainable = False
    before = ours.get_weights()
    found, expected = ours(images, training=True), theirs(images, training=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, ours.get_weights()))


@pytest.mark.parametrize(
    "shape,knobs",
    [((6, 3), {}), ((4, 5, 3, 3), {"axis": 1}), ((4, 5, 6, 3), {"dtype": "float64"})],
)
def test_inputs_the_fused_op_does_not_take_go_keras_way(shape, knobs):
    dtype = knobs.get("dtype", "float32")
    ours, theirs, images = pair(shape, **knobs)
    found, expected = [
        layer(images.astype(dtype), training=True) for layer in (ours, theirs)
    ]
    np.testing.assert_array_equal(found, expected)


def test_graph_holds_one_fused_op_and_no_moments():
    ours, _, images = pair()
    function = tf.function(lambda x: ours(x, training=True))
    ops = [
        op.type for op in function.get_concrete_function(images).graph.get_operations()
    ]
    assert ops.count("FusedBatchNormV3") == 1
    assert "SquaredDifference" not in ops


def test_weights_files_are_exchangeable_with_keras_layer(tmp_path):
    ours, theirs, images = pair()
    models = [keras.Sequential([layer], name="m") for layer in (ours, theirs)]
    for model in models:
        model.build(images.shape)
    models[1].save_weights(tmp_path / "a.weights.h5")
    ours.set_weights([w * 0 for w in ours.get_weights()])
    models[0].load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_allclose(
        models[0](images), models[1](images), rtol=1e-4, atol=1e-5
    )
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
