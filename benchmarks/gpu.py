"""Training on a GPU beside timm on the same card: images/s in each number format.

    python benchmarks/gpu.py --torch-python PYTHON          # on TensorFlow
    KERAS_BACKEND=jax python benchmarks/gpu.py --torch-python PYTHON

Sweeps number formats and batch sizes: images/s of `fit` on uint8 pictures in memory
beside those of timm's steps on a batch that lies on the card already, both also as a
share of the device's own matrix rate in that format. `float32` is the true one, `tf32`
lets the card round products; below them ours is a mixed policy, timm's autocast, and
float16 scales the loss on both sides. `--compiled` adds timm under torch.compile,
`--xla` compiles ours. What does not fit into memory is said so. `--profile FOLDER`
keeps the time by kernel of one step (TensorFlow).
With `--backbone resnext26_32x4d --size 32 --batches 2 --steps 2` it runs anywhere.
"""

import argparse
import dataclasses
import itertools
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from model_timing import Peer, interleaved, machine, matrix_rate, write_profile

from nexperia_tf import sizes
from nexperia_tf.models import classifier, costs
from nexperia_tf.training import losses, optimizers

NAN = float("nan")


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the table: a number format and a batch size."""

    policy: str
    batch: int

    @property
    def number_format(self) -> str:
        return self.policy.removeprefix("mixed_")

    @property
    def keras_policy(self) -> str:
        return "float32" if self.policy == "tf32" else self.policy


def timm_rates(arguments, case: Case) -> dict[str, float]:
    """timm's images per second by job, the median of two rounds after two; or NaN."""
    peer = Peer(
        arguments.torch_python,
        backbone=arguments.backbone,
        batch=case.batch,
        size=arguments.size,
        gpu=1,
        steps=arguments.steps,
        precision=case.number_format,
    )
    names = {"timm": "train"}
    if arguments.compiled:
        names["timm compiled"] = "compiled_train"
    rates = {}
    for name, job in names.items():  # one after the other: both fill the card
        result = interleaved({name: lambda job=job: peer.ask(job)}, 2)[name]
        rates[name] = case.batch * arguments.steps / result["seconds"]
        said = result.get("problem", f"{rates[name]:.0f} images/s")
        print(f"{name}, {case.policy}, batch {case.batch}: {said}", flush=True)
    print(peer.versions, flush=True)
    peer.close()
    return rates


def prepare_backend(case: Case) -> None:
    """Sets the policy, and what products in float32 are rounded to."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(
            case.policy != "float32"
        )
    elif keras.backend.backend() == "jax":
        import jax

        exact = case.policy == "float32"
        jax.config.update(
            "jax_default_matmul_precision", "highest" if exact else "default"
        )
    keras.config.set_dtype_policy(case.keras_policy)


def compiled_model(arguments) -> keras.Model:
    """The network with the optimizer and the loss that `nexperia train` gives it."""
    model = classifier.build(arguments.backbone, image_size=arguments.size, channels=3)
    model.compile(  # which scales the loss of mixed_float16
        optimizers.SGD(0.01, momentum=0.9),
        losses.FocalLoss(),
        jit_compile=arguments.xla or keras.backend.backend() == "jax",
    )
    return model


def our_rate(arguments, case: Case) -> tuple[float, float]:
    """Our images per second, the best of two epochs after one, and work of each."""
    keras.utils.clear_session()
    prepare_backend(case)
    model = compiled_model(arguments)
    rng = np.random.default_rng(0)
    shape = (case.batch * arguments.steps, *arguments.size, 3)
    pixels = rng.integers(0, 256, shape, dtype="uint8")
    labels = (np.arange(len(pixels)) % 5 == 0).astype("float32")
    clock = Clock()
    fit = {"batch_size": case.batch, "verbose": 0, "shuffle": False}
    model.fit(pixels, labels, epochs=3, callbacks=[clock], **fit)
    if arguments.profile:
        one = pixels[: case.batch], labels[: case.batch]
        name = f"{model.name}-{case.policy}-{case.batch}.txt"
        write_profile(lambda: model.fit(*one, **fit), arguments.profile / name)
    # Backwards is two more convolutions for each of the forward pass.
    return len(pixels) / min(clock.seconds[1:]), 3 * costs.multiplications(model)


def highest(rates: dict[Case, float], policy: str) -> float:
    """The best rate of any batch size; NaN where none was measured."""
    measured = [r for case, r in rates.items() if case.policy == policy and r == r]
    return max(measured, default=NAN)


def measured(arguments, case: Case, theirs: dict[str, float]) -> float:
    """Our rate of one case, printed beside timm's; NaN where it cannot run."""
    print(f"ours, {case.policy}, batch {case.batch}:", end=" ")
    try:
        rate, work = our_rate(arguments, case)
    except Exception as error:  # reported beside the other figures
        print(f"{type(error).__name__}: {error}".splitlines()[0], flush=True)
        return NAN
    side = 16384 if on_gpu() else 2048  # a small product does not fill a GPU
    number_format = case.number_format.replace("tf32", "float32")
    peak = matrix_rate(side, number_format)
    said = f"{rate:.0f} images/s, {work * rate / peak:.0%} of the matrix rate"
    for name, other in theirs.items():
        said += f"; {name} {work * other / peak:.0%}, ratio {rate / other:.2f}"
    print(said, flush=True)
    return rate


def on_gpu() -> bool:
    return any("gpu" in device.lower() for device in keras.distribution.list_devices())


def print_best(arguments, ours, theirs) -> None:
    """Prints each number format at its best batch size, as a ratio to the first."""
    first = arguments.policies[0]
    for policy in arguments.policies:
        best = highest(ours, policy)
        said = f"ours {best:.0f}, {best / highest(ours, first):.2f} times {first}"
        for name in sorted({name for rates in theirs.values() for name in rates}):
            rates = {case: row.get(name, NAN) for case, row in theirs.items()}
            other = highest(rates, policy)
            said += f"; {name} {other:.0f}, {other / highest(rates, first):.2f} times"
            said += f"; ratio {best / other:.2f}"
        print(f"{policy} at best: {said}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnext101_32x8d")
    parser.add_argument("--size", type=sizes.Size.of, default="224")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--steps", type=int, default=20, help="steps of an epoch")
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=("float32", "tf32", "mixed_float16", "mixed_bfloat16"),
        default=["tf32", "mixed_float16", "mixed_bfloat16"],
    )
    parser.add_argument("--torch-python", help="interpreter with torch and timm")
    parser.add_argument("--compiled", action="store_true", help="timm compiled, too")
    parser.add_argument("--xla", action="store_true", help="compiles ours")
    parser.add_argument("--profile", type=pathlib.Path)
    arguments = parser.parse_args()
    sweep = list(
        itertools.starmap(
            Case, itertools.product(arguments.policies, arguments.batches)
        )
    )
    theirs = {case: {} for case in sweep}
    if arguments.torch_python:  # first, because ours then takes the card's memory
        theirs = {case: timm_rates(arguments, case) for case in sweep}
    print(machine(), keras.distribution.list_devices())
    ours = {case: measured(arguments, case, theirs[case]) for case in sweep}
    print_best(arguments, ours, theirs)


if __name__ == "__main__":
    main()
