"""Training on a GPU through Keras, by default on JAX, beside timm with torch.compile.

    KERAS_BACKEND=jax python benchmarks/gpu.py --torch-python python

Sweeps batch sizes and precisions; images/s of `fit` on uint8 pictures in memory, as a
share of the device's own matrix rate, and how many times the best float32 rate the best
of each other precision is. TensorFlow need not be installed. With
`--backbone resnext26_32x4d --size 32 --batches 2 --steps 2` it runs anywhere.
"""

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from model_timing import Peer, interleaved, machine, matrix_rate

from nexperia_tf import costs, losses
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
    on_gpu = any("gpu" in device for device in keras.distribution.list_devices())
    side = 8192 if on_gpu else 2048  # a small product does not fill a GPU
    best = {}
    for policy in arguments.policies:
        keras.config.set_dtype_policy(policy)
        dtype = policy.removeprefix("mixed_")
        peak = matrix_rate(side, dtype)
        for batch in arguments.batches:
            model = classifier.build(
                arguments.backbone, image_size=arguments.size, channels=3
            )
            rate = images_per_second(
                model, batch=batch, size=arguments.size, steps=arguments.steps
            )
            best[policy] = max(rate, best.get(policy, 0))
            share = 3 * costs.multiplications(model) * rate / peak
            print(
                f"ours, {policy}, batch {batch}: {rate:.0f} images/s, "
                f"{share:.0%} of the matrix rate"
            )
    for policy, rate in best.items():
        if "float32" in best and policy != "float32":
            print(f"{policy}: {rate / best['float32']:.2f} times float32")
    if not arguments.torch_python:
        return
    ours = max(best.values())
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
            said = f"{rate:.0f} images/s; ours at best {ours / rate:.2f} times that"
            said = result.get("problem", said)
            print(f"timm, torch.compile, AMP {amp}, batch {batch}: {said}")


if __name__ == "__main__":
    main()
