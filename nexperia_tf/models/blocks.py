"""The few pieces every backbone is made of, and the backbone, on symbolic tensors.

Names of layers: `<stage>_block<number>_<conv|bn|relu><number>`, and the output of each
stage has the stage's own name.
"""

import keras

from nexperia_tf.models import backbones, batch_norm, convolution

EXPANSION = 4  # channels out of a bottleneck, for each of its planes
BATCH_NORM_EPSILON = 1e-5  # PyTorch's, which published weights were trained with
BATCH_NORM_MOMENTUM = 0.9


def convolve(images, filters, side, *, stride=1, groups=1, name):
    """Convolution without bias, started as He et al. do by its fan-out."""
    return convolution.Convolution(
        filters,
        side,
        strides=stride,
        groups=groups,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
        name=name,
    )(images)


def normalise(images, *, name, gamma="ones"):
    """Batch normalisation with the constants of the published weights."""
    return batch_norm.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM,
        epsilon=BATCH_NORM_EPSILON,
        gamma_initializer=gamma,
        name=name,
    )(images)


def stem(images, filters):
    """A quarter of the side: 7x7 convolution of stride 2, then a pool of stride 2."""
    images = convolve(images, filters, 7, stride=2, name="stem_conv")
    images = normalise(images, name="stem_bn")
    # The rectifier commutes with the maximum, and costs a quarter after it. Zeros are
    # the right margin for a pool whose result is rectified.
    images = keras.layers.ZeroPadding2D(1, name="stem_margin")(images)
    images = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(images)
    return keras.layers.ReLU(name="stem")(images)


def bottleneck(images, *, inner, outer, groups, stride, name, output_name):
    """1x1, 3x3 (grouped, with the stride) and 1x1 convolution beside a shortcut.

    Args:
        images: `(batch, height, width, channels)`.
        inner: channels of the 3x3 convolution.
        outer: channels of the result.
        groups: groups of the 3x3 convolution: 1 in a wide ResNet, 32 in a ResNeXt-50.
        stride: 2 halves the side.
        name: what the layers' names start with.
        output_name: name of the last layer.

    Reference:
        [Xie et al., 2017](https://arxiv.org/abs/1611.05431),
        [Zagoruyko & Komodakis, 2016](https://arxiv.org/abs/1605.07146).
    """
    shortcut = images
    if stride > 1 or images.shape[-1] != outer:
        shortcut = convolve(
            images, outer, 1, stride=stride, name=f"{name}_shortcut_conv"
        )
        shortcut = normalise(shortcut, name=f"{name}_shortcut_bn")
    images = convolve(images, inner, 1, name=f"{name}_conv1")
    images = normalise(images, name=f"{name}_bn1")
    images = keras.layers.ReLU(name=f"{name}_relu1")(images)
    images = convolve(
        images, inner, 3, stride=stride, groups=groups, name=f"{name}_conv2"
    )
    images = normalise(images, name=f"{name}_bn2")
    images = keras.layers.ReLU(name=f"{name}_relu2")(images)
    images = convolve(images, outer, 1, name=f"{name}_conv3")
    # Starting at zero, every block begins as its shortcut (Goyal et al., 2017).
    images = normalise(images, name=f"{name}_bn3", gamma="zeros")
    images = keras.layers.Add(name=f"{name}_add")([images, shortcut])
    return keras.layers.ReLU(name=output_name)(images)


def backbone(images: keras.KerasTensor, shape: backbones.Shape) -> keras.KerasTensor:
    """Adds stem, stages and pooled features to the graph of `images`.

    Args:
        images: standardised images, `(batch, height, width, channels)`.
        shape: which backbone.

    Returns:
        float32 features of shape `(batch, 4 * planes[-1])`; the layers that end the
        parts are named `stem`, `stage1` ... `stage4` and `features`.
    """
    images = stem(images, shape.stem)  # (batch, height / 4, width / 4, stem)
    for stage, count in enumerate(shape.blocks):
        for block in range(count):
            name = f"stage{stage + 1}_block{block + 1}"
            last = block == count - 1
            images = bottleneck(
                images,
                inner=shape.inner(stage),
                outer=shape.planes[stage] * EXPANSION,
                groups=shape.groups,
                stride=2 if stage > 0 and block == 0 else 1,
                name=name,
                output_name=f"stage{stage + 1}" if last else name,
            )
    return keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(images)
