"""Ways to compute a grouped convolution on a GPU, layer by layer, with its gradients.

    python benchmarks/gpu_convolution.py --backbone resnext101_32x8d

For the 3x3 convolutions of each stage: milliseconds forwards, and forwards and
backwards, as the network computes them (channels last), with channels first between two
transpositions, with groups joined to blocks of 32, 64 or 128 channels whose kernel is
zero between groups, as one dense convolution, and compiled by XLA. The largest
difference from the first way stands beside. Runs on a CPU with `--batch 2`, where ways
that lack a gradient say so.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from model_timing import machine

from nexperia_tf.models import backbones, tensorflow_ops

SIDES = (56, 28, 14, 7)  # of the stages' pictures at 224 pixels


def channels_first(images, kernel, stride, padding):
    """Between two transpositions, which the framework may move elsewhere."""
    if not isinstance(padding, str):
        padding = [padding[0], padding[3], *padding[1:3]]
    turned = tf.transpose(images, (0, 3, 1, 2))
    outputs = tf.nn.conv2d(turned, kernel, stride, padding, data_format="NCHW")
    return tf.transpose(outputs, (0, 2, 3, 1))


def joined(width: int) -> Callable:
    """Groups joined to blocks of that many channels; 0 is a dense convolution."""

    def convolve(images, kernel, stride, padding):
        depth, groups = kernel.shape[2], images.shape[-1] // kernel.shape[2]
        copies = min(groups, max(1, width // depth)) if width else groups
        wide = tensorflow_ops.widened(kernel, copies, groups)
        return tf.nn.conv2d(images, wide, stride, padding)

    return convolve


WAYS = {
    "as it is": tf.nn.conv2d,
    "channels first": channels_first,
    "blocks of 32": joined(32),
    "blocks of 64": joined(64),
    "blocks of 128": joined(128),
    "dense": joined(0),
    "XLA": tf.nn.conv2d,
}


def milliseconds(function: Callable, repeats: int) -> float:
    """Of one call, after two; each returns a number that is waited for at the end."""
    for _ in range(2):
        float(function())
    start = time.perf_counter()
    for _ in range(repeats):
        number = function()
    float(number)
    return 1000 * (time.perf_counter() - start) / repeats


def measured(convolve, images, kernel, *, compiled: bool, repeats: int) -> tuple:
    """Output, and milliseconds forwards and with both gradients."""

    @tf.function(jit_compile=compiled)
    def forwards():
        return tf.cast(convolve(images, kernel, 1, "SAME")[0, 0, 0, 0], tf.float32)

    @tf.function(jit_compile=compiled)
    def both():
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = convolve(images, kernel, 1, "SAME")
        of_images, of_kernel = tape.gradient(
            outputs, [images, kernel], output_gradients=outputs
        )
        corner = of_images[0, 0, 0, 0] + of_kernel[0, 0, 0, 0]
        return tf.cast(corner, tf.float32)

    times = [milliseconds(function, repeats) for function in (forwards, both)]
    return convolve(images, kernel, 1, "SAME"), *times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnext101_32x8d")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float16"])
    arguments = parser.parse_args()
    print(machine(), tf.config.list_physical_devices("GPU"))
    shape = backbones.shape(arguments.backbone)
    for dtype in arguments.dtypes:
        for stage, side in enumerate(SIDES):
            filters = shape.inner(stage)
            depth = filters // shape.groups
            images = tf.random.normal((arguments.batch, side, side, filters))
            images = tf.cast(images, dtype)
            kernel = tf.cast(tf.random.normal((3, 3, depth, filters)) / 9, dtype)
            print(f"{dtype}, {side}x{side}, {filters} channels, {shape.groups} groups")
            first = None
            for name, convolve in WAYS.items():
                try:
                    outputs, forwards, both = measured(
                        convolve,
                        images,
                        kernel,
                        compiled=name == "XLA",
                        repeats=arguments.repeats,
                    )
                except Exception as error:  # reported beside the other ways
                    reason = f"{type(error).__name__}: {error}".splitlines()[0]
                    print(f"  {name:16} {reason[:120]}", flush=True)
                    continue
                first = outputs if first is None else first
                off = tf.reduce_max(tf.abs(tf.cast(outputs - first, tf.float32)))
                print(
                    f"  {name:16} {forwards:8.2f} ms {both:8.2f} ms, off {off:.1e}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
