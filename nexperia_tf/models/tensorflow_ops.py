"""Convolution for the TensorFlow backend: the best implementation for each device.

On a GPU cuDNN does groups forwards and backwards. On a CPU TensorFlow's grouped
`conv2d` has no gradient, and forwards it is fast with oneDNN only. There the channels
are cut into blocks of a few groups, and each block is an ordinary convolution whose
kernel is zero between its groups. Its zeros cost less than narrow groups do, and
everything that works on ordinary convolutions works: gradients of any order,
distribution, converters, every kind of processor.
"""

import numpy as np
import tensorflow as tf

# Channels in a block, unless one group is wider. Measured with ResNeXt-50's layers:
# wider blocks waste arithmetic on zeros, narrower ones calls and vector lanes.
BLOCK = 16


def convolution(
    images: tf.Tensor, kernel: tf.Tensor, *, stride: int, margin: int
) -> tf.Tensor:
    """Convolves with `margin` zeros on every side; groups follow from the shapes.

    Args:
        images: `(batch, height, width, channels)`.
        kernel: `(side, side, channels / groups, filters)`.
        stride: step in both directions.
        margin: rows and columns of zeros on each side.

    Returns:
        tensor of shape `(batch, height', width', filters)`, of the dtype of `images`.
    """
    kernel = tf.convert_to_tensor(kernel, images.dtype)  # a variable's value
    if images.shape[-1] == kernel.shape[-2] or _on_gpu(images):
        return _native(images, kernel, stride, margin)
    if _onednn():
        return _native_with_gradient_of_blocks(images, kernel, stride, margin)
    return _in_blocks(images, kernel, stride, margin)


def _on_gpu(tensor: tf.Tensor) -> bool:
    """Whether `tensor` lies, or will lie where nothing is said, on a GPU."""
    if tensor.device:
        return "GPU" in tensor.device.upper()
    return bool(tf.config.list_logical_devices("GPU"))


def _onednn() -> bool:
    """Whether this process computes convolutions with oneDNN."""
    try:
        from tensorflow.python.util import _pywrap_util_port
    except ImportError:  # not public: without it the form that runs everywhere is taken
        return False
    return _pywrap_util_port.IsMklEnabled()


def _native(images, kernel, stride, margin):
    rows = [margin, margin]
    padding = [[0, 0], rows, rows, [0, 0]]
    if not margin:
        padding = "VALID"
    elif stride == 1 and kernel.shape[0] == 2 * margin + 1:
        padding = "SAME"  # the same zeros
    elif not _on_gpu(images):
        images, padding = tf.pad(images, padding), "VALID"
    # Gradients of explicit padding are not oneDNN's, and take several times as long.
    return tf.nn.conv2d(images, kernel, stride, padding)


def _native_with_gradient_of_blocks(images, kernel, stride, margin):
    @tf.custom_gradient
    def convolve(images, kernel):
        def gradient(upstream):
            with tf.GradientTape() as tape:
                tape.watch([images, kernel])
                outputs = _in_blocks(images, kernel, stride, margin)
            return tape.gradient(outputs, [images, kernel], upstream)

        outputs = _native(images, kernel, stride, margin)
        # A machine without oneDNN that serves this graph would fuse a following
        # normalisation and then refuse to run it ("Fused conv implementation does not
        # support grouped convolutions"). Nothing is fused across this op, a no-op.
        return tf.ensure_shape(outputs, (None, None, None, kernel.shape[-1])), gradient

    return convolve(images, kernel)


def _in_blocks(images, kernel, stride, margin):
    depth = kernel.shape[2]
    groups = images.shape[-1] // depth
    blocks = groups // _groups_in_a_block(groups, depth)
    outputs = [
        _native(block_images, block_kernel, stride, margin)
        for block_images, block_kernel in zip(
            tf.split(images, blocks, axis=-1),
            tf.split(_widened(kernel, groups // blocks, groups), blocks, axis=-1),
        )
    ]
    return tf.concat(outputs, axis=-1)


def _groups_in_a_block(groups, depth):
    """The largest divisor of `groups` whose block is no wider than the constant."""
    for count in range(groups, 1, -1):
        if groups % count == 0 and count * depth <= BLOCK:
            return count
    return 1


def _widened(kernel, copies, groups):
    """The kernel with its depth repeated, zero where input and output groups differ."""
    if copies == 1:
        return kernel
    depth, filters = kernel.shape[2:]
    input_group = np.arange(copies * depth) // depth
    output_group = np.arange(filters) // (filters // groups) % copies
    same_group = input_group[:, np.newaxis] == output_group
    return tf.tile(kernel, (1, 1, copies, 1)) * tf.cast(same_group, kernel.dtype)
