"""Training on a GPU through Keras, by default on JAX, beside timm with torch.compile.

    KERAS_BACKEND=jax python benchmarks/gpu.py --torch-python python

Sweeps precisions and batch sizes: images/s of `fit` on uint8 pictures in memory beside
those of timm's steps on a batch that lies on the card already, both also as a share of
the device's own matrix rate in that precision. Below float32 (TF32 where the card has
it) ours is a mixed policy, timm's autocast, and float16 scales the loss on both sides.
What does not fit into memory is said so. TensorFlow need not be installed. With
`--backbone resnext50_32x4d --size 32 --batches 2 --steps 2` it runs anywhere.
"""

import argparse
import itertools
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from model_timing import Peer, interleaved, machine, matrix_rate

from nexperia_tf.models import classifier, costs
from nexperia_tf.training import losses


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def timm_rate(arguments, policy: str, batch: int) -> float:
    """timm's images per second, the median of three epochs after two; or NaN."""
    peer = Peer(
        arguments.torch_python,
        backbone=arguments.backbone,
        batch=batch,
        size=arguments.size,
        gpu=1,
        steps=arguments.steps,
        precision=policy.removeprefix("mixed_"),
    )
    jobs = {"timm": lambda: peer.ask("compiled_train")}
    result = interleaved(jobs, 3)["timm"]
    rate = batch * arguments.steps / result["seconds"]
    said = result.get("problem", f"{rate:.0f} images/s")
    print(f"timm, {policy}, batch {batch}: {said} ({peer.versions})", flush=True)
    peer.close()
    return rate


def our_rate(arguments, policy: str, batch: int) -> tuple[float, float]:
    """Our images per second, the best of three epochs after one, and work of each."""
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    model = classifier.build(arguments.backbone, image_size=arguments.size, channels=3)
    rng = np.random.default_rng(0)
    shape = (batch * arguments.steps, arguments.size, arguments.size, 3)
    pixels = rng.integers(0, 256, shape, dtype="uint8")
    labels = (np.arange(len(pixels)) % 5 == 0).astype("float32")
    model.compile(  # which scales the loss of mixed_float16
        keras.optimizers.SGD(0.01, momentum=0.9),
        losses.FocalLoss(),
        jit_compile=keras.backend.backend() == "jax",
    )
    clock = Clock()
    model.fit(pixels, labels, batch, epochs=4, verbose=0, callbacks=[clock])
    # Backwards is two more convolutions for each of the forward pass.
    work = 3 * costs.multiplications(model)
    return len(pixels) / min(clock.seconds[1:]), work


def highest(rates: dict[tuple, float], policy: str) -> float:
    """The best rate of any batch size; NaN where none was measured."""
    found = [r for (name, _), r in rates.items() if name == policy and r == r]
    return max(found, default=float("nan"))


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
    sweep = list(itertools.product(arguments.policies, arguments.batches))
    theirs, ours = {}, {}
    if arguments.torch_python:  # first, because JAX then takes the card's memory
        theirs = {case: timm_rate(arguments, *case) for case in sweep}
    print(machine(), keras.distribution.list_devices())
    on_gpu = any("gpu" in device for device in keras.distribution.list_devices())
    side = 16384 if on_gpu else 2048  # a small product does not fill a GPU
    for policy, batch in sweep:
        print(f"ours, {policy}, batch {batch}:", end=" ")
        try:
            rate, work = our_rate(arguments, policy, batch)
        except Exception as error:  # reported beside the other figures
            print(f"{type(error).__name__}: {error}".splitlines()[0], flush=True)
            continue
        ours[policy, batch] = rate
        peak = matrix_rate(side, policy.removeprefix("mixed_"))
        said = f"{rate:.0f} images/s, {work * rate / peak:.0%} of the matrix rate"
        if other := theirs.get((policy, batch)):
            said += f"; timm {work * other / peak:.0%}, ratio {rate / other:.2f}"
        print(said, flush=True)
    for policy in arguments.policies:
        best = highest(ours, policy)
        said = f"ours {best:.0f}, {best / highest(ours, 'float32'):.2f} times float32"
        if theirs:
            other = highest(theirs, policy)
            gain = other / highest(theirs, "float32")
            said += f"; timm {other:.0f}, {gain:.2f} times; ratio {best / other:.2f}"
        print(f"{policy} at best: {said}")


if __name__ == "__main__":
    main()
