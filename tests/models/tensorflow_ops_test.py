"""Kernels in blocks of groups, as TensorFlow's own code on a CPU needs them."""

import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf.models import tensorflow_ops


@pytest.mark.parametrize(
    ("groups", "depth", "expected"),
    [(32, 4, 4), (32, 8, 2), (32, 16, 1), (6, 4, 3), (7, 4, 1), (1, 64, 1)],
)
def test_a_block_is_the_widest_that_divides_the_groups(groups, depth, expected):
    count = tensorflow_ops._groups_in_a_block(groups, depth)
    assert count == expected
    assert groups % count == 0
    assert count * depth <= max(tensorflow_ops.BLOCK, depth)


@pytest.fixture
def kernel():
    return tf.random.stateless_normal((3, 3, 4, 24), (0, 1))  # six groups of four


def test_a_widened_kernel_is_the_grouped_one_with_zeros_between(kernel):
    images = tf.random.stateless_normal((2, 5, 5, 24), (0, 2))
    wide = tensorflow_ops.widened(kernel, 6, 6)
    expected = tf.concat(
        [
            tf.nn.conv2d(part, weights, 1, "SAME")
            for part, weights in zip(tf.split(images, 6, -1), tf.split(kernel, 6, -1))
        ],
        axis=-1,
    )
    np.testing.assert_allclose(
        tf.nn.conv2d(images, wide, 1, "SAME"), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("copies", [2, 3, 6])
def test_diagonal_is_the_transpose_of_widened(kernel, copies):
    wide = tensorflow_ops.widened(kernel, copies, 6)
    other = tf.random.stateless_normal(wide.shape, (0, 3))
    there = tf.reduce_sum(wide * other)
    back = tf.reduce_sum(kernel * tensorflow_ops._diagonal(other, copies, 6))
    np.testing.assert_allclose(there, back, rtol=1e-4)


@pytest.mark.parametrize("side", [1, 3])
def test_the_gradient_by_matrices_is_tensorflows(side):
    images = tf.random.stateless_normal((2, 7, 7, 5), (0, 4))
    weights = tf.random.stateless_normal((side, side, 5, 6), (0, 5))
    margin = side // 2
    padding = [[0, 0], [margin] * 2, [margin] * 2, [0, 0]]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        outputs = tf.nn.conv2d(tf.pad(images, padding), weights, 1, "VALID")
    upstream = tf.random.stateless_normal(outputs.shape, (0, 6))
    expected = tape.gradient(outputs, weights, upstream)
    for shown, word in ((images, "SAME"), (tf.pad(images, padding), "VALID")):
        found = tensorflow_ops._kernel_by_matrices(shown, upstream, side, word)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
