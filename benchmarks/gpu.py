"""Training on a GPU through Keras, by default on JAX, beside timm with torch.compile.

    KERAS_BACKEND=jax python benchmarks/gpu.py --torch-python python

Sweeps batch sizes and precisions; images/s of `fit` on uint8 pictures in memory, as a
share of the device's own matrix rate. TensorFlow need not be installed. With
`--backbone resnext26_32x4d --size 32 --batches 2 --steps 2` it runs anywhere.
"""

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from model_timing import Peer, interleaved, machine, matrix_rate, multiplications

from nexperia_tf import losses
from nexperia_tf.models import classifier


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def images_per_second(model: keras.Model, *, batch: int, size: int, steps: int):
    """The best of three epochs after one that compiles."""
    rng = np.random.default_rng(0)
    shape = (batch * steps, size, size, 3)
    pixels = rng.integers(0, 256, shape, dtype="uint8")
    labels = (np.arange(len(pixels)) % 5 == 0).astype("float32")
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        losses.FocalLoss(),
        jit_compile=keras.backend.backend() == "jax",
    )
    clock = Clock()
    model.fit(pixels, labels, batch, epochs=4, verbose=0, callbacks=[clock])
    return len(pixels) / min(clock.seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnext101_32x8d")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--steps", type=int, default=20, help="steps of an epoch")
    parser.add_argument(
        "--policies",
        nargs="+",
        default=["float32", "mixed_float16", "mixed_bfloat16"],
    )
    parser.add_argument("--torch-python", help="interpreter with torch and timm")
    arguments = parser.parse_args()
    print(machine())
    for policy in arguments.policies:
        keras.config.set_dtype_policy(policy)
        dtype = policy.removeprefix("mixed_")
        peak = matrix_rate(dtype=dtype)
        for batch in arguments.batches:
            model = classifier.build(
                arguments.backbone, image_size=arguments.size, channels=3
            )
            rate = images_per_second(
                model, batch=batch, size=arguments.size, steps=arguments.steps
            )
            share = 3 * multiplications(model) * rate / peak
            print(
                f"ours, {policy}, batch {batch}: {rate:.0f} images/s, "
                f"{share:.0%} of the matrix rate"
            )
    if not arguments.torch_python:
        return
    for amp in ("none", "bfloat16"):
        for batch in arguments.batches:
            peer = Peer(
                arguments.torch_python,
                backbone=arguments.backbone,
                batch=batch,
                size=arguments.size,
                device="cuda",
                amp=amp,
            )
            jobs = {"timm": lambda peer=peer: peer.ask("compiled_train")}
            result = interleaved(jobs, arguments.steps)["timm"]
            peer.close()
            rate = batch / result["seconds"]
            said = result.get("problem", f"{rate:.0f} images/s")
            print(f"timm, torch.compile, AMP {amp}, batch {batch}: {said}")


if __name__ == "__main__":
    main()
