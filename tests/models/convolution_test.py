import gc
import os
import pathlib
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf.library_internals import tensorflow_internals
from nexperia_tf.models import convolution, tensorflow_ops

ROOT = pathlib.Path(__file__).parents[2]


def block_diagonal(kernel, groups):
    """The dense kernel `(side, side, channels, filters)` that a grouped one means."""
    side, _, depth, filters = kernel.shape
    width = filters // groups
    dense = np.zeros((side, side, depth * groups, filters), kernel.dtype)
    for group in range(groups):
        rows = slice(group * depth, (group + 1) * depth)
        columns = slice(group * width, (group + 1) * width)
        dense[:, :, rows, columns] = kernel[..., columns]
    return dense


def diagonal_of(dense, groups):
    depth, width = dense.shape[2] // groups, dense.shape[3] // groups
    return np.concatenate(
        [
            dense[:, :, g * depth : (g + 1) * depth, g * width : (g + 1) * width]
            for g in range(groups)
        ],
        axis=-1,
    )


def padded_dense(images, kernel, stride, margin):
    """Pads and convolves in float64, TensorFlow's own gradients."""
    gap = (margin, margin)
    images = tf.pad(images, ((0, 0), gap, gap, (0, 0)))
    return tf.nn.conv2d(images, kernel, stride, "VALID")


def slopes(function, images, kernel):
    """Output of `function` and the gradients of an uneven sum over it."""
    images, kernel = tf.constant(images), tf.constant(kernel)
    with tf.GradientTape() as tape:
        tape.watch([images, kernel])
        outputs = function(images, kernel)
        weights = tf.reshape(tf.range(tf.size(outputs)) % 7 - 3, outputs.shape)
        total = tf.reduce_sum(tf.cast(weights, outputs.dtype) * outputs)
    return [outputs, *tape.gradient(total, [images, kernel])]


def relative_error(found, expected):
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    return np.abs(found - expected).max() / np.abs(expected).max()


def choose_onednn(wanted, monkeypatch, dtype=tf.float32):
    if not wanted:
        monkeypatch.setattr(
            tensorflow_internals, "computes_with_onednn", lambda *_: False
        )
    elif not tensorflow_internals.computes_with_onednn(dtype):
        pytest.skip(f"this machine's TensorFlow does not use oneDNN for {dtype.name}")


def layer_for(images, filters, groups, stride, side=3, **knobs):
    layer = convolution.Convolution(
        filters, side, strides=stride, groups=groups, use_bias=False, **knobs
    )
    layer.build(images.shape)
    return layer


CASES = [
    # side of the image, channels, filters, groups, stride, side of the kernel
    (8, 8, 8, 2, 1, 3),
    (7, 8, 8, 2, 2, 3),
    (8, 8, 8, 2, 2, 3),
    (5, 128, 128, 32, 1, 3),
    (6, 256, 256, 32, 2, 3),
    (9, 12, 24, 4, 2, 5),
    (1, 8, 8, 4, 2, 3),
    (6, 8, 4, 2, 2, 1),
    (7, 6, 6, 6, 1, 3),
    # dense: few places, many places, the shortcut's and the stem's
    (7, 8, 12, 1, 1, 3),
    (8, 8, 12, 1, 2, 3),
    (16, 4, 6, 1, 1, 3),
    (5, 8, 12, 1, 1, 1),
    (8, 8, 12, 1, 2, 1),
    (9, 3, 8, 1, 2, 7),
]


@pytest.mark.parametrize("size,channels,filters,groups,stride,side", CASES)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("onednn", [False, True])
def test_gradients_are_those_of_the_block_diagonal_dense_form(
    size, channels, filters, groups, stride, side, compiled, onednn, monkeypatch
):
    choose_onednn(onednn, monkeypatch)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, size, size + 1, channels)).astype("float32")
    layer = layer_for(images, filters, groups, stride, side)
    kernel = layer.kernel.numpy()

    def ours(images, kernel):
        return layer.convolution_op(images, kernel)

    if compiled:
        ours = tf.function(
            ours,
            input_signature=[
                tf.TensorSpec((None, size, size + 1, channels)),
                tf.TensorSpec(kernel.shape),
            ],
        )
    found = slopes(ours, images, kernel)
    expected = slopes(
        lambda x, k: padded_dense(x, k, stride, side // 2),
        images.astype("float64"),
        block_diagonal(kernel, groups).astype("float64"),
    )
    expected[2] = diagonal_of(expected[2].numpy(), groups)
    for one, other in zip(found, expected):
        assert one.shape == other.shape
        assert relative_error(one, other) < 1e-5


@pytest.mark.parametrize("dtype,bound", [("float16", 5e-3), ("bfloat16", 4e-2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_low_precision_trains_under_a_mixed_policy(dtype, bound, stride):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 9, 9, 32)).astype("float32")
    layer = layer_for(images, 32, 8, stride, dtype=f"mixed_{dtype}")
    reference = layer_for(images, 32, 8, stride)
    reference.set_weights(layer.get_weights())
    with tf.GradientTape() as tape:
        outputs = layer(images)
        total = tf.reduce_mean(tf.cast(outputs, "float32") ** 2)
    slope = tape.gradient(total, layer.trainable_weights[0].value)
    with tf.GradientTape() as tape:
        expected = reference(images)
        total = tf.reduce_mean(expected**2)
    expected_slope = tape.gradient(total, reference.trainable_weights[0].value)
    assert outputs.dtype == dtype and slope.dtype == "float32"
    assert relative_error(outputs, expected) < bound
    assert relative_error(slope, expected_slope) < bound


@pytest.mark.parametrize("size,channels,filters,groups,stride,side", CASES)
@pytest.mark.parametrize("onednn", [False, True])
def test_bfloat16_rounds_once_what_float32_gives_for_the_same_numbers(
    size, channels, filters, groups, stride, side, onednn, monkeypatch
):
    choose_onednn(onednn, monkeypatch, tf.bfloat16)
    rng = np.random.default_rng(0)
    shape = (32, size, size + 1, channels)  # sums long enough to show their rounding
    images = tf.cast(rng.normal(size=shape), tf.bfloat16)
    layer = layer_for(images, filters, groups, stride, side)
    kernel = tf.cast(layer.kernel, tf.bfloat16)
    found, expected = (
        slopes(layer.convolution_op, tf.cast(images, dtype), tf.cast(kernel, dtype))
        for dtype in (tf.bfloat16, tf.float32)
    )
    for one, other in zip(found, expected):
        assert one.dtype == tf.bfloat16
        apart = tf.abs(tf.cast(one, tf.float32) - other)
        # Half a unit of the last of 8 bits; sums near zero lose more to cancellation.
        bound = 2**-8 * tf.abs(other) + 1e-5 * tf.reduce_max(tf.abs(other))
        assert tf.reduce_all(apart <= bound), tf.reduce_max(apart / tf.abs(other))


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize(
    "case",
    [
        (5, 4, 4, 2, 2, 3),
        (4, 128, 128, 32, 1, 3),
        (5, 8, 12, 1, 1, 3),  # dense, by matrices
        (6, 8, 12, 1, 2, 1),
    ],
)
def test_second_derivatives_are_those_of_the_dense_form(case, onednn, monkeypatch):
    choose_onednn(onednn, monkeypatch)
    size, channels, filters, groups, stride, side = case
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1, size, size, channels)).astype("float32")
    layer = layer_for(images, filters, groups, stride, side)
    kernel = layer.kernel.numpy()

    def curvature(function, images, kernel):
        """Gradients of the squared norms of both gradients."""
        both = [tf.constant(images), tf.constant(kernel)]
        with tf.GradientTape() as outer:
            outer.watch(both)
            with tf.GradientTape() as inner:
                inner.watch(both)
                total = tf.reduce_sum(function(*both) ** 3)
            slopes = inner.gradient(total, both)
            total = sum(tf.reduce_sum(slope**2) for slope in slopes)
        return outer.gradient(total, both)

    found = curvature(layer.convolution_op, images, kernel)
    mask = block_diagonal(np.ones_like(kernel), groups).astype("float64")
    expected = curvature(
        lambda x, k: padded_dense(x, k * mask, stride, side // 2),
        images.astype("float64"),
        block_diagonal(kernel, groups).astype("float64"),
    )
    expected[1] = diagonal_of(expected[1].numpy(), groups)
    for one, other in zip(found, expected):
        assert relative_error(one, other) < 1e-5


def test_one_tape_gives_its_gradient_twice():
    images = np.ones((1, 4, 4, 4), "float32")
    layer = layer_for(images, 4, 2, 1)
    with tf.GradientTape(persistent=True) as tape:
        total = tf.reduce_sum(layer(images) ** 2)
    weight = layer.trainable_weights[0].value
    first, second = tape.gradient(total, weight), tape.gradient(total, weight)
    np.testing.assert_array_equal(first, second)


def test_inference_graph_runs_and_forces_no_xla():
    # Without oneDNN, TensorFlow fuses convolution, normalisation and rectifier, and
    # cannot run what it made when the convolution is grouped.
    inputs = keras.Input((8, 8, 8))
    layer = convolution.Convolution(8, 3, groups=4, use_bias=False)
    normalised = keras.layers.BatchNormalization()(layer(inputs))
    model = keras.Model(inputs, keras.layers.ReLU()(normalised))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype("float32")
    function = tf.function(lambda x: model(x, training=False))
    np.testing.assert_allclose(function(images), model(images), rtol=1e-5, atol=1e-6)
    graph = function.get_concrete_function(images).graph.as_graph_def()
    assert "_XlaMustCompile" not in str(graph)


FROM_A_GPU = """
import keras, numpy as np, tensorflow as tf
from nexperia_tf.models import batch_norm, convolution, tensorflow_ops
tensorflow_ops._on_gpu = lambda tensor: True
inputs = keras.Input((8, 8, 8))
outputs = convolution.Convolution(8, 3, groups=4, use_bias=False)(inputs)
outputs = batch_norm.BatchNormalization()(outputs)
model = keras.Model(inputs, keras.layers.ReLU()(outputs))
images = np.random.default_rng(0).normal(size=(2, 8, 8, 8)).astype("float32")
function = tf.function(lambda x: model(x, training=False))
np.testing.assert_allclose(function(images), model(images), rtol=1e-5, atol=1e-6)
"""


@pytest.mark.slow
def test_a_graph_made_on_a_gpu_is_served_by_a_cpu_without_onednn():
    done = subprocess.run(
        [sys.executable, "-c", FROM_A_GPU],
        cwd=ROOT,
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


REPLICAS = """
import keras, numpy as np, tensorflow as tf
from nexperia_tf.models import batch_norm, convolution
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rng = np.random.default_rng(0)
images = rng.normal(size=(4, 6, 6, 8)).astype("float32")
targets = rng.normal(size=(4, 3, 3, 8)).astype("float32")

def trained():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 8))
    outputs = convolution.Convolution(8, 3, strides=2, groups=4)(inputs)
    outputs = batch_norm.BatchNormalization(synchronized=True)(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(images, targets, batch_size=4, epochs=2, verbose=0)
    return model.get_weights()

alone = trained()
with strategy.scope():
    together = trained()
for one, other in zip(alone, together):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
"""


@pytest.mark.slow
def test_two_replicas_with_synchronised_statistics_agree_with_one():
    # A process of its own: logical devices are fixed before TensorFlow's first use.
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_output_shape_follows_the_margin():
    layer = convolution.Convolution(8, 7, strides=2)
    assert layer.compute_output_shape((None, 224, 33, 3)) == (None, 112, 17, 8)
    assert layer.compute_output_shape((None, None, None, 3)) == (None, None, None, 8)


@pytest.mark.parametrize(
    "knobs", [{"kernel_size": 2}, {"kernel_size": 3, "strides": (1, 2)}]
)
def test_shapes_it_was_not_made_for_are_refused(knobs):
    with pytest.raises(ValueError, match="Received"):
        convolution.Convolution(4, **knobs)


def test_a_graph_that_was_differentiated_goes_when_gradients_are_forgotten():
    @tf.custom_gradient
    def doubled(x):
        return 2 * x, lambda upstream: 2 * upstream

    @tf.function
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = doubled(x)
        return tape.gradient(y, x)

    graph = weakref.ref(slope.get_concrete_function(tf.ones(3)).graph)
    del slope
    gc.collect()
    assert graph(), "TensorFlow lets go by itself now: forget_gradients can go, too"
    tensorflow_ops.forget_gradients()
    assert not graph()
