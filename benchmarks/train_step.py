"""One training step on a CPU: ours beside timm's on PyTorch and stock Keras.

    python benchmarks/train_step.py --torch-python VENV/bin/python

Same network, batch, size and optimizer (SGD with momentum), run in turn; medians. Sides
that are not asked for or not installed are left out. `--bfloat16` adds our step under
mixed_bfloat16, and timm's under autocast, eager and compiled. Memory is the peak of the
first step above what the process held before it, weights and optimizer included.
`--profile FOLDER` writes the time by kernel of one step of each side as text.
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from model_timing import (
    Peer,
    interleaved,
    machine,
    matrix_rate,
    timed,
    write_profile,
)

from nexperia_tf import sizes
from nexperia_tf.models import classifier, convolution, costs
from nexperia_tf.training import optimizers


def training_step(
    model: keras.Model, batch: int, size: sizes.Size, kind=optimizers.SGD
):
    """A compiled step on one fixed batch; returns the loss."""
    optimizer = kind(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)
    images = tf.random.uniform((batch, *size, 3), 0, 255)
    labels = tf.range(batch)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        variables = [variable.value for variable in model.trainable_variables]
        optimizer.apply(tape.gradient(loss, variables), model.trainable_variables)
        return loss

    step.get_concrete_function()  # traced before anything is measured
    return lambda: float(step())


def stock(model: keras.Model) -> keras.Model:
    """The same network with Keras's own grouped convolution and batch norm."""

    def copy(layer):
        config = layer.get_config()
        if isinstance(layer, convolution.Convolution):
            config["padding"] = "same"
            return keras.layers.Conv2D.from_config(config)
        if isinstance(layer, keras.layers.BatchNormalization):
            return keras.layers.BatchNormalization.from_config(config)
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=copy)


def _network(arguments: argparse.Namespace, policy: str) -> keras.Model:
    keras.config.set_dtype_policy(policy)
    try:
        return classifier.build(
            arguments.backbone, image_size=arguments.size, channels=3, classes=1000
        )
    finally:
        keras.config.set_dtype_policy("float32")


def _print_ratios(results: dict[str, dict]) -> None:
    """How many times as fast our step in bfloat16 is as each other one."""
    ours = results["ours in bfloat16"]
    for name, result in results.items():
        if result is not ours and "problem" not in result:
            rate, by_cpu = (
                result[unit] / ours[unit] for unit in ("seconds", "cpu_seconds")
            )
            print(f"ours in bfloat16 / {name}: {rate:.2f}, by CPU time {by_cpu:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnext50_32x4d")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=sizes.Size.of, default="224")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true", help="both formats")
    parser.add_argument("--torch-python", help="interpreter with torch and timm")
    parser.add_argument("--stock", action="store_true", help="stock Keras at batch 2")
    parser.add_argument("--profile", type=pathlib.Path)
    arguments = parser.parse_args()
    batch, size = arguments.batch, arguments.size

    model = _network(arguments, "float32")
    step = training_step(model, batch, size)
    jobs, peer, lower = {"ours": timed(step)}, None, None
    if arguments.bfloat16:
        rounded = _network(arguments, "mixed_bfloat16")
        jobs["ours in bfloat16"] = timed(training_step(rounded, batch, size))
    if arguments.torch_python:
        knobs = {"backbone": model.name, "batch": batch, "size": size}
        peer = Peer(arguments.torch_python, **knobs)
        jobs["timm"] = lambda: peer.ask("train")
        if arguments.bfloat16:
            lower = Peer(arguments.torch_python, precision="bfloat16", **knobs)
            jobs["timm in bfloat16"] = lambda: lower.ask("train")
            jobs["timm in bfloat16, compiled"] = lambda: lower.ask("compiled_train")
    print(machine(), peer.versions if peer else "")
    results = interleaved(jobs, arguments.rounds)
    # Backwards is two more convolutions for each of the forward pass.
    work = 3 * costs.multiplications(model) * batch
    gemm = matrix_rate()
    for name, result in results.items():
        if "problem" in result:
            print(f"{name}: not measured ({result['problem']})")
            continue
        print(
            f"{name}: {batch / result['seconds']:.2f} images/s, "
            f"{work / result['seconds'] / gemm:.0%} of the matrix rate, "
            f"{result['cpu_seconds']:.2f} CPU seconds a step, "
            f"{(result['bytes'] or 0) / batch / 2**20:.0f} MiB per image"
        )
    print(f"matrix rate: {2 * gemm / 1e9:.0f} GFLOP/s")
    if arguments.bfloat16:
        _print_ratios(results)
    if lower:
        lower.close()
    if peer:
        for unit, word in {"seconds": "rate", "cpu_seconds": "by CPU time"}.items():
            ratio = results["timm"][unit] / results["ours"][unit]
            print(f"ours / timm, {word}: {ratio:.2f}")
        if arguments.profile:
            arguments.profile.mkdir(parents=True, exist_ok=True)
            path = arguments.profile / f"{model.name}-timm.txt"
            path.write_text(
                f"{machine()} {peer.versions}\n{peer.ask('profile')['text']}\n"
            )
        peer.close()
    if arguments.stock:
        slow = training_step(stock(model), 2, size, keras.optimizers.SGD)
        pair = {
            "ours at batch 2": timed(training_step(model, 2, size)),
            "stock": timed(slow),
        }
        pair = interleaved(pair, 1)
        for unit in ("seconds", "cpu_seconds"):
            ratio = pair["stock"][unit] / pair["ours at batch 2"][unit]
            print(f"stock Keras takes {ratio:.0f} times the {unit} at batch 2")
        if arguments.profile:
            write_profile(slow, arguments.profile / f"{model.name}-stock.txt")
    if arguments.profile:
        write_profile(step, arguments.profile / f"{model.name}.txt")


if __name__ == "__main__":
    main()
