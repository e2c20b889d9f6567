import keras
import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf.models import folding


def test_folded_model_answers_the_same(settled, pixels):
    folded = folding.fold_batch_norm(settled)
    found, expected = folded(pixels()), settled(pixels(), training=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_no_normalisation_is_left(settled, pixels):
    folded = folding.fold_batch_norm(settled)
    function = tf.function(lambda image: folded(image, training=False))
    graph = function.get_concrete_function(pixels()).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert not {"FusedBatchNormV3", "Rsqrt"} & kinds
    assert {layer.name for layer in folded.layers} == {
        layer.name for layer in settled.layers
    }


def test_model_of_mixed_precision_is_folded_to_float32(settled, pixels, tiny):
    from nexperia_tf.models import classifier

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        mixed = classifier.build(tiny, image_size=32, channels=1)
    finally:
        keras.config.set_dtype_policy(before)
    mixed.set_weights(settled.get_weights())
    folded = folding.fold_batch_norm(mixed)
    assert {layer.compute_dtype for layer in folded.layers} == {"float32"}
    expected = settled(pixels(), training=False)
    np.testing.assert_allclose(folded(pixels()), expected, rtol=1e-5, atol=1e-5)


def test_normalisation_of_anything_else_is_refused():
    image = keras.Input((4, 4, 2))
    outputs = keras.layers.BatchNormalization(name="bn")(keras.layers.ReLU()(image))
    with pytest.raises(ValueError, match="bn follows re_lu.*, a ReLU"):
        folding.fold_batch_norm(keras.Model(image, outputs))
