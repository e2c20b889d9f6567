"""One convolution on a CPU, float32 and bfloat16: forwards, and its two gradients.

    python benchmarks/kernel_gradient.py

The gradient of the kernel is computed in each way there is: oneDNN's own op, a matrix
product for each place of the kernel, oneDNN's op on blocks of several groups. Which one
`models/tensorflow_ops` takes follows these figures. Milliseconds, medians; batch 16.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tensorflow as tf
from model_timing import machine

from nexperia_tf.models import tensorflow_ops

CASES = [  # side of the image, channels, filters, groups, stride, side of the kernel
    (56, 64, 256, 1, 1, 1),
    (16, 256, 1024, 1, 1, 1),
    (4, 2048, 1024, 1, 1, 1),
    (56, 256, 512, 1, 2, 1),
    (32, 128, 128, 1, 1, 3),
    (14, 256, 256, 1, 1, 3),
    (16, 256, 256, 1, 1, 3),
    (8, 512, 512, 1, 1, 3),
    (4, 1024, 1024, 1, 1, 3),
    (16, 512, 512, 1, 2, 3),
    (32, 128, 128, 32, 1, 3),
    (16, 256, 256, 32, 1, 3),
    (8, 512, 512, 32, 1, 3),
]


def ways(case, dtype: tf.DType) -> dict:
    """Named functions without arguments, each of one computation."""
    side, channels, filters, groups, stride, kernel_side = case
    padding, depth = "SAME" if stride == 1 else "VALID", channels // groups
    images = tf.random.normal((16, side, side, channels))
    if padding == "VALID":
        margin = [kernel_side // 2] * 2
        images = tf.pad(images, [[0, 0], margin, margin, [0, 0]])
    kernel = tf.random.normal((kernel_side, kernel_side, depth, filters))
    images, kernel = (tf.cast(tensor, dtype) for tensor in (images, kernel))
    upstream = tf.nn.conv2d(images, kernel, stride, padding)
    knobs = {"strides": [1, stride, stride, 1], "padding": padding}

    def of_kernel(copies):
        found = tf.raw_ops.Conv2DBackpropFilter(
            input=images,
            filter_sizes=(kernel_side, kernel_side, copies * depth, filters),
            out_backprop=upstream,
            **knobs,
        )
        return tensorflow_ops._diagonal(found, copies, groups)

    found = {
        "forward": lambda: tf.nn.conv2d(images, kernel, stride, padding),
        "of images": lambda: tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(images),
            filter=kernel,
            out_backprop=upstream,
            **knobs,
        ),
        "of kernel": lambda: of_kernel(1),
    }
    if groups > 1:
        copies = tensorflow_ops._groups_in_a_block(groups, depth)
        found["by blocks"] = lambda: of_kernel(copies)
    elif stride == 1:
        found["by matrices"] = lambda: tensorflow_ops._kernel_by_matrices(
            images, upstream, kernel_side, padding
        )
    return found


def milliseconds(function, repeats: int) -> float:
    """Median time of a traced function, CPU time of all its threads."""

    @tf.function(autograph=False)
    def traced():
        return tf.reshape(function(), [-1])[0]

    found = []
    for _ in range(repeats + 2):
        start = time.process_time()
        traced().numpy()
        found.append(time.process_time() - start)
    return 1000 * statistics.median(found[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    print(machine())
    for case in CASES:
        formats = {dtype.name: ways(case, dtype) for dtype in (tf.float32, tf.bfloat16)}
        words = []
        for way in formats["float32"]:
            both = [milliseconds(f[way], arguments.repeats) for f in formats.values()]
            words.append(f"{way} {both[0]:.1f} -> {both[1]:.1f}")
        print(*case, "; ".join(words), sep="  ", flush=True)


if __name__ == "__main__":
    main()
