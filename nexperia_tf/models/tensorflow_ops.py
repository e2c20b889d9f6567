"""Convolution for the TensorFlow backend: the best implementation for each device.

On a GPU cuDNN does groups forwards and backwards, on a CPU oneDNN does, in float32 and
where the processor allows in bfloat16. TensorFlow's own code for CPUs refuses the
gradient of groups; where it runs (another processor, oneDNN turned off, float64) the
channels are cut into blocks of a few groups, and each block is an ordinary convolution
whose kernel is zero between its groups. It takes 20 times as long in 16 bits as in 32,
and sums gradients in them: there 16 bits are computed in float32.
"""

import gc

import numpy as np
import tensorflow as tf

from nexperia_tf.library_internals import tensorflow_internals

# Channels in a block, unless one group is wider. Measured with ResNeXt-50's layers:
# wider blocks waste arithmetic on zeros, narrower ones calls and vector lanes.
BLOCK = 16
# Below this depth of a group oneDNN's gradient of the kernel is slower than of blocks.
NARROW = 8
# Up to as many places oneDNN's gradient of a dense kernel is slower than its products.
SMALL, SMALL_IN_16_BITS = 14 * 14, 16 * 16


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
    on_gpu = _on_gpu(images)
    if not on_gpu and tensorflow_internals.computes_with_onednn(images.dtype):
        return _native(images, kernel, stride, margin, _with_gradients)
    if not on_gpu and images.dtype.size == 2:
        exact = tf.cast(images, tf.float32), tf.cast(kernel, tf.float32)
        outputs = convolution(*exact, stride=stride, margin=margin)
        return tf.cast(outputs, images.dtype)
    if on_gpu or images.shape[-1] == kernel.shape[-2]:
        return _native(images, kernel, stride, margin)
    return _in_blocks(images, kernel, stride, margin)


def forget_gradients() -> None:
    """Lets go of the graphs that were differentiated; to be called between trainings.

    Else each network trained costs .4 GB.
    """
    tensorflow_internals.forget_custom_gradients()
    gc.collect()


def _on_gpu(tensor: tf.Tensor) -> bool:
    """Whether `tensor` lies, or will lie where nothing is said, on a GPU."""
    if tensor.device:
        return "GPU" in tensor.device.upper()
    return bool(tf.config.list_logical_devices("GPU"))


def _native(images, kernel, stride, margin, convolve=tf.nn.conv2d):
    rows = [margin, margin]
    padding = [[0, 0], rows, rows, [0, 0]]
    if not margin:
        padding = "VALID"
    elif stride == 1 and kernel.shape[0] == 2 * margin + 1:
        padding = "SAME"  # the same zeros
    elif not _on_gpu(images):
        images, padding = tf.pad(images, padding), "VALID"
    # Gradients of explicit padding are not oneDNN's, and take several times as long.
    outputs = convolve(images, kernel, stride, padding)
    if images.shape[-1] != kernel.shape[2]:
        # A machine without oneDNN that serves this graph would fuse a following
        # normalisation and then refuse to run it ("Fused conv implementation does not
        # support grouped convolutions"). Nothing is fused across this no-op.
        outputs = tf.ensure_shape(outputs, (None, None, None, kernel.shape[3]))
    return outputs


def _with_gradients(images, kernel, stride, padding):
    """`tf.nn.conv2d` on oneDNN, whose gradient of the kernel takes the shortest way.

    Each way sums in float32 and rounds once, to the number type of `images`.
    """
    side, _, depth, filters = kernel.shape
    groups = images.shape[-1] // depth
    knobs = {"strides": [1, stride, stride, 1], "padding": padding}

    @tf.custom_gradient
    def convolve(images, kernel):
        def gradient(upstream):
            of_images = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(images),
                filter=kernel,
                out_backprop=upstream,
                **knobs,
            )
            if groups == 1 and stride == 1 and (side == 1 or _is_small(upstream)):
                return of_images, _kernel_by_matrices(images, upstream, side, padding)
            copies = _groups_in_a_block(groups, depth) if depth < NARROW else 1
            of_blocks = tf.raw_ops.Conv2DBackpropFilter(
                input=images,
                filter_sizes=(side, side, copies * depth, filters),
                out_backprop=upstream,
                **knobs,
            )
            return of_images, _diagonal(of_blocks, copies, groups)

        return tf.nn.conv2d(images, kernel, stride, padding), gradient

    return convolve(images, kernel)


def _is_small(outputs):
    positions = outputs.shape[1:3].num_elements()
    small = SMALL_IN_16_BITS if outputs.dtype.size == 2 else SMALL
    return positions is not None and positions <= small


def _kernel_by_matrices(images, upstream, side, padding):
    """Gradient of a dense kernel of stride 1: a matrix product for each place of it."""
    margin = side // 2
    with tf.control_dependencies([upstream]):  # no copies before they are needed
        images = tf.identity(images)
    if padding == "SAME" and margin:
        images = tf.pad(images, [[0, 0], [margin] * 2, [margin] * 2, [0, 0]])
    height, width = tf.unstack(tf.shape(upstream)[1:3])
    rows = tf.reshape(upstream, (-1, upstream.shape[-1]))  # (positions, filters)
    products = []
    for top in range(side):
        for left in range(side):
            seen = images
            if side > 1:
                seen = seen[:, top : top + height, left : left + width]
            seen = tf.reshape(seen, (-1, images.shape[-1]))  # (positions, channels)
            products.append(tf.matmul(seen, rows, transpose_a=True))
    shape = (side, side, images.shape[-1], upstream.shape[-1])
    return tf.reshape(tf.stack(products), shape)


def _in_blocks(images, kernel, stride, margin):
    depth = kernel.shape[2]
    groups = images.shape[-1] // depth
    blocks = groups // _groups_in_a_block(groups, depth)
    outputs = [
        _native(block_images, block_kernel, stride, margin)
        for block_images, block_kernel in zip(
            tf.split(images, blocks, axis=-1),
            tf.split(widened(kernel, groups // blocks, groups), blocks, axis=-1),
        )
    ]
    return tf.concat(outputs, axis=-1)


def _groups_in_a_block(groups, depth):
    """The largest divisor of `groups` whose block is no wider than the constant."""
    for count in range(groups, 1, -1):
        if groups % count == 0 and count * depth <= BLOCK:
            return count
    return 1


def widened(kernel: tf.Tensor, copies: int, groups: int) -> tf.Tensor:
    """The kernel with its depth repeated, zero where input and output groups differ.

    A convolution by it gives the same with `groups / copies` groups.
    """
    if copies == 1:
        return kernel
    depth = kernel.shape[2]
    same_group = _same_group(copies, groups, depth, kernel)
    return tf.tile(kernel, (1, 1, copies, 1)) * same_group


def _diagonal(kernel, copies, groups):
    """What `widened` makes the kernel of, its transpose."""
    if copies == 1:
        return kernel
    side, _, depth, filters = kernel.shape
    depth //= copies
    kernel *= _same_group(copies, groups, depth, kernel)
    return tf.reduce_sum(tf.reshape(kernel, (side, side, copies, depth, filters)), 2)


def _same_group(copies, groups, depth, kernel):
    """1 where the input channel of a block is of the filter's group, 0 elsewhere."""
    filters = kernel.shape[-1]
    input_group = np.arange(copies * depth) // depth
    output_group = np.arange(filters) // (filters // groups) % copies
    return tf.cast(input_group[:, np.newaxis] == output_group, kernel.dtype)
