"""Convolution for the TensorFlow backend: the best implementation for each device.

On a GPU cuDNN does groups forwards and backwards. On a CPU TensorFlow computes a
grouped `conv2d` but not its gradient, so the gradient is written here:

- input: a grouped convolution of the outgoing gradient (zeros between its pixels where
  the stride is 2) with each group's kernel rotated and its two channel axes swapped;
- kernel: dense kernel gradients of blocks of channels, of which the diagonal is kept.

Both are made of ops that have gradients, so second derivatives work too.
"""

import tensorflow as tf

# Channels in one dense kernel gradient. Wider blocks waste arithmetic off the diagonal,
# narrower ones waste calls and vector lanes.
KERNEL_GRADIENT_BLOCK = 64


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
        return _forward(images, kernel, stride, margin)
    return _grouped(images, kernel, stride, margin)


def _on_gpu(tensor: tf.Tensor) -> bool:
    """Whether `tensor` lies, or will lie where nothing is said, on a GPU."""
    if tensor.device:
        return "GPU" in tensor.device.upper()
    return bool(tf.config.list_logical_devices("GPU"))


def _forward(images, kernel, stride, margin):
    padding = "VALID"
    if margin:
        padding = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
    return tf.nn.conv2d(images, kernel, stride, padding)


def _grouped(images, kernel, stride, margin):
    @tf.custom_gradient
    def convolve(images, kernel):
        def gradient(upstream):
            return (
                _input_gradient(images, kernel, upstream, stride, margin),
                _kernel_gradient(images, kernel, upstream, stride, margin),
            )

        outputs = _forward(images, kernel, stride, margin)
        # Without oneDNN, Grappler would fuse a following normalisation or bias and then
        # refuse to run it ("Fused conv implementation does not support grouped
        # convolutions"). It does not fuse across this op, which copies nothing.
        return tf.ensure_shape(outputs, (None, None, None, kernel.shape[-1])), gradient

    return convolve(images, kernel)


def _input_gradient(images, kernel, upstream, stride, margin):
    side = kernel.shape[0]
    if stride > 1:
        upstream = _spread(upstream, stride, tf.shape(images)[1:3], side, margin)
    swapped = _swap_channels(kernel, images.shape[-1])
    gradient = _grouped(upstream, swapped, 1, side - 1 - margin)
    return tf.ensure_shape(gradient, images.shape)


def _swap_channels(kernel, channels):
    """The kernel that carries gradients back: rotated, in and out swapped by group."""
    side, _, depth, filters = kernel.shape
    groups = channels // depth
    kernel = tf.reshape(kernel[::-1, ::-1], (side, side, depth, groups, -1))
    kernel = tf.transpose(kernel, (0, 1, 4, 3, 2))
    return tf.reshape(kernel, (side, side, filters // groups, channels))


def _spread(upstream, stride, input_size, side, margin):
    """Puts `stride - 1` zeros after each pixel, and as many at the end as are needed.

    The result is as large as the output of the same convolution with stride 1.
    """
    batch, height, width = tf.unstack(tf.shape(upstream)[:3])
    filters = upstream.shape[-1]
    spread = tf.reshape(upstream, (batch, height, 1, width, 1, filters))
    gap = (0, stride - 1)
    spread = tf.pad(spread, ((0, 0), (0, 0), gap, (0, 0), gap, (0, 0)))
    spread = tf.reshape(spread, (batch, height * stride, width * stride, filters))
    rows, columns = tf.unstack(input_size + 2 * margin - side + 1)
    spread = spread[:, :rows, :columns]
    rest = (rows - tf.shape(spread)[1], columns - tf.shape(spread)[2])
    return tf.pad(spread, ((0, 0), (0, rest[0]), (0, rest[1]), (0, 0)))


def _kernel_gradient(images, kernel, upstream, stride, margin):
    side, _, depth, _ = kernel.shape
    groups = images.shape[-1] // depth
    block = _groups_in_a_block(groups, depth)
    blocks = groups // block
    strips = [
        _block_gradient(block_images, block_upstream, side, stride, margin, block)
        for block_images, block_upstream in zip(
            tf.split(images, blocks, axis=-1), tf.split(upstream, blocks, axis=-1)
        )
    ]
    return tf.concat(strips, axis=-1)  # (side, side, depth, filters)


def _groups_in_a_block(groups, depth):
    """The largest divisor of `groups` whose block is no wider than the constant."""
    for count in range(groups, 0, -1):
        if groups % count == 0 and count * depth <= KERNEL_GRADIENT_BLOCK:
            return count
    return 1


def _block_gradient(images, upstream, side, stride, margin, groups):
    channels, filters = images.shape[-1], upstream.shape[-1]
    dense = tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=(side, side, channels, filters),
        out_backprop=upstream,
        strides=(1, stride, stride, 1),
        padding="EXPLICIT" if margin else "VALID",
        explicit_paddings=[0, 0, margin, margin, margin, margin, 0, 0]
        if margin
        else [],
    )
    depth, width = channels // groups, filters // groups
    dense = tf.reshape(dense, (side, side, groups, depth, groups, width))
    diagonal = tf.linalg.diag_part(tf.transpose(dense, (0, 1, 3, 5, 2, 4)))
    diagonal = tf.transpose(diagonal, (0, 1, 2, 4, 3))  # (.., depth, groups, width)
    return tf.reshape(diagonal, (side, side, depth, filters))
