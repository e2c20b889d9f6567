import keras
import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf import preprocess
from nexperia_tf.library_internals import tensorflow_internals
from nexperia_tf.models import classifier, folding
from nexperia_tf.runs import run_folders
from nexperia_tf.training import losses


@pytest.fixture(scope="module")
def model(tiny):
    keras.utils.set_random_seed(0)
    return classifier.build(tiny, image_size=32, channels=1)


def test_untrained_model_answers_the_prior(tiny, pixels):
    keras.utils.set_random_seed(0)
    model = classifier.build(tiny, image_size=32, channels=3, prior=0.2)
    logits = model(pixels(3)).numpy()
    np.testing.assert_allclose(logits, np.log(0.2 / 0.8), atol=0.1)


def test_bytes_and_floats_of_the_same_pixels_agree(model, pixels):
    images = pixels()
    found = (
        model(images),
        model(images.astype("float32")),
        model.predict(images, verbose=0),
    )
    for logits in found:
        assert logits.dtype == "float32" and logits.shape == (4, 1)
        np.testing.assert_allclose(logits, found[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_scaling_is_that_of_preprocess(channels, tiny, pixels):
    model = classifier.build(tiny, image_size=32, channels=channels)
    part = keras.Model(model.input, model.get_layer("scaling").output)
    images = pixels(channels)
    expected = (images / 255 - preprocess.MEAN[channels]) / preprocess.STD[channels]
    np.testing.assert_allclose(part(images), expected, rtol=1e-4, atol=1e-5)


def test_saved_model_gives_the_same_logits(model, tmp_path, pixels):
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(pixels()), model(pixels()))


@pytest.mark.parametrize(
    "policy",
    [
        "float32",
        pytest.param("mixed_float16", marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
    ],
)
def test_a_few_steps_lower_the_loss(policy, tiny, pixels):
    keras.utils.set_random_seed(0)
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        model = classifier.build(tiny, image_size=32, channels=1)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    model.compile(keras.optimizers.Adam(1e-2), losses.FocalLoss(), jit_compile=False)
    labels = np.array([1, 0, 0, 1], "float32")
    history = model.fit(pixels(), labels, epochs=15, batch_size=4, verbose=0).history
    assert model.output.dtype == "float32"
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_a_float32_copy_answers_as_if_trained_in_float32(tiny, pixels):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = classifier.build(tiny, image_size=32, channels=1)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    mixed.compile(keras.optimizers.Adam(), losses.FocalLoss(), jit_compile=False)
    plain = classifier.build(tiny, image_size=32, channels=1)
    plain.set_weights(mixed.get_weights())
    copied = classifier.in_float32(mixed)
    assert {layer.compute_dtype for layer in copied.layers} == {"float32"}
    np.testing.assert_array_equal(copied(pixels()), plain(pixels()))
    assert not copied.compiled  # a saved copy needs no loss to be loaded


@pytest.fixture
def mixed(tiny):
    """The network in bfloat16, with groups, shortcuts and strides."""
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        return classifier.build(tiny, image_size=32, channels=1)
    finally:
        keras.mixed_precision.set_dtype_policy(before)


def test_a_step_in_bfloat16_casts_kernels_and_what_enters_and_leaves(mixed, pixels):
    if not tensorflow_internals.computes_with_onednn(tf.bfloat16):
        pytest.skip("this processor computes bfloat16 in float32, which casts more")

    @tf.function(autograph=False)
    def step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(mixed(images, training=True) ** 2)
        variables = [variable.value for variable in mixed.trainable_variables]
        return tape.gradient(loss, variables)

    graph = step.get_concrete_function(pixels().astype("float32")).graph
    kernels = [w for w in mixed.trainable_variables if len(w.shape) == 4]
    casts = [
        (op.inputs[0].dtype, op.outputs[0].dtype)
        for op in graph.get_operations()
        if op.type == "Cast"
    ]
    # Each kernel and, backwards, its gradient; the scaled pixels; pooling and back.
    assert casts.count((tf.float32, tf.bfloat16)) == len(kernels) + 2
    assert casts.count((tf.bfloat16, tf.float32)) == len(kernels) + 1
    for kind in ("FusedBatchNormV3", "FusedBatchNormGradV3"):
        norms = [op for op in graph.get_operations() if op.type == kind]
        assert norms and all(op.get_attr("T") == tf.bfloat16 for op in norms)
        assert all(op.get_attr("U") == tf.float32 for op in norms)
    for layer in mixed.layers:
        if isinstance(layer, keras.layers.ReLU | keras.layers.Add):
            assert layer.output.dtype == "bfloat16"
    assert mixed.get_layer("features").output.dtype == "float32"
    assert mixed.output.dtype == "float32"


def test_model_of_open_size_takes_any(model, tiny, pixels):
    free = classifier.build(tiny, image_size=None, channels=1)
    free.set_weights(model.get_weights())
    np.testing.assert_allclose(free(pixels()), model(pixels()), rtol=1e-5, atol=1e-6)
    assert free(pixels(size=45)).shape == (4, 1)


def test_exported_graph_forces_no_xla(model):
    function = tf.function(lambda image: model(image, training=False))
    spec = tf.TensorSpec((None, 32, 32, 1), tf.uint8)
    graph = function.get_concrete_function(spec).graph.as_graph_def()
    assert "_XlaMustCompile" not in str(graph)


@pytest.mark.parametrize("prior", [0.0, 1.0, -1.0])
def test_impossible_prior_is_refused(prior, tiny):
    with pytest.raises(ValueError, match="prior must lie in"):
        classifier.build(tiny, image_size=32, channels=1, prior=prior)


def test_a_picture_can_be_standardised_by_itself(tiny, pixels):
    model = classifier.build(tiny, image_size=32, channels=1, standardise="picture")
    dark = pixels() // 2
    part = keras.Model(model.input, model.get_layer("picture_scaling").output)
    scaled = np.array(part(dark))
    np.testing.assert_allclose(scaled.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(1, 2, 3)), 1, atol=1e-3)
    np.testing.assert_allclose(part(30 + dark * 1.5), scaled, atol=1e-4)
    flat = part(np.full((1, 32, 32, 1), 77, np.uint8))
    np.testing.assert_allclose(flat, 0, atol=1e-3)


@pytest.mark.parametrize("size", [32, 40])
def test_a_map_is_a_second_head_on_the_same_layers(size, tiny):
    model = classifier.build(tiny, image_size=size, channels=1)
    both = classifier.with_map(model)
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 1))
    found = both(images)
    np.testing.assert_array_equal(found[classifier.LOGIT], model(images))
    places = found[classifier.MAP]
    side = -(-size // tiny.stride)
    assert places.dtype == "float32" and places.shape == (2, side, side, 1)
    alone = classifier.without_map(both)
    assert alone.weights == model.weights
    assert classifier.without_map(alone) is alone
    assert classifier.as_kept(model) is model


def test_a_map_is_kept_and_folded_and_found_again(tiny, pixels, tmp_path):
    keras.utils.set_random_seed(0)
    both = classifier.with_map(classifier.build(tiny, image_size=32, channels=1))
    both.set_weights([w + 0.1 for w in both.get_weights()])
    expected = both(pixels(), training=False)
    copy = classifier.in_float32(both)
    classifier.as_kept(copy).save(tmp_path / "model.keras")
    kept = run_folders.load_model(tmp_path / "model.keras")
    for model in (kept, folding.fold_batch_norm(kept)):
        found = model(pixels(), training=False)
        assert list(found) == [classifier.LOGIT, classifier.MAP]
        np.testing.assert_allclose(found["logit"], expected["logit"], 1e-4)
        np.testing.assert_allclose(found["map"], expected["map"][..., 0], 1e-4, 1e-5)
    assert classifier.as_kept(kept) is kept
    alone = classifier.without_map(kept)
    np.testing.assert_allclose(alone(pixels()), expected["logit"], 1e-4)


def test_a_map_is_taken_over_where_both_have_one(tiny):
    models = [classifier.build(tiny, image_size=32, channels=1) for _ in range(3)]
    first, second = (classifier.with_map(model) for model in models[:2])
    kernels = [model.get_layer("map").get_weights() for model in (first, second)]
    assert np.abs(kernels[0][0] - kernels[1][0]).max() > 0
    classifier.take_map(second, models[2])
    np.testing.assert_array_equal(
        second.get_layer("map").get_weights()[0], kernels[1][0]
    )
    classifier.take_map(second, classifier.as_kept(first))
    np.testing.assert_array_equal(
        second.get_layer("map").get_weights()[0], kernels[0][0]
    )
    classifier.take_map(models[2], first)
