"""Claim: batches come at least 1.5 times as fast as from a PyTorch DataLoader.

The same BMP, PNG and JPEG files of drawn devices (275 x 267, grey) become augmented
batches of 64 pictures of 224 x 224: here by nexperia_tf.data.input.batching, there by a
DataLoader with Pillow and two workers (pipeline_peer.py). The sides take turns, the
best of three rounds counts. Beside it stand images per second of CPU time, which other
work on the machine hardly changes. Then the share of a training step spent waiting for
its batch is measured. About ten minutes on two cores:

    python benchmarks/pipeline.py --torch-python PATH/TO/python

`--torch-python` names a Python with torch, Pillow and numpy (`pip install torch`).
Without it the peer is Keras' own way, `image_dataset_from_directory` and augmentation
layers, on pictures that are decoded in every epoch; it reads no BMP as grey.
"""

import csv
import dataclasses
import pathlib
import subprocess
import tempfile
import time

import cv2

from nexperia_tf import command
from nexperia_tf.data.source import DataSource

SIZE, BATCH = 224, 64
FORMATS = ("bmp", "png", "jpg")
PEER = pathlib.Path(__file__).with_name("pipeline_peer.py")


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Compares the input pipeline with a PyTorch DataLoader."""

    torch_python: str = ""
    """A Python that has torch, Pillow and numpy; without it Keras is the peer."""
    devices: int = 1500
    """Drawn devices; about nine in ten are left after cleaning."""
    seconds: float = 8.0
    """Time of one measurement."""
    rounds: int = 3
    """Measurements of each side; the best counts."""
    steps: int = 20
    """Training steps of which is measured how long they wait for their batch."""


def main(arguments: Arguments) -> None:
    """Prints images per second and ratios."""
    with tempfile.TemporaryDirectory() as place:
        command.import_tensorflow()
        raws = draw(pathlib.Path(place), arguments.devices)
        peer_name = "DataLoader" if arguments.torch_python else "Keras"
        print(
            f"{'files':6}{'pictures':>10}{'pipeline':>10}{peer_name:>12}{'ratio':>8}"
            f"{'of CPU time':>16}{peer_name:>12}{'ratio':>8}"
        )
        for name, raw in raws.items():
            if name == "bmp" and not arguments.torch_python:
                continue  # Keras reads none as grey
            dataset = built(raw)
            for cache in ("none", "memory") if arguments.torch_python else ("none",):
                compare(arguments, name, raw, dataset, cache)
        waiting(dataset, arguments.steps)


def draw(place: pathlib.Path, devices: int) -> dict[str, pathlib.Path]:
    """The same pictures as BMP, PNG and JPEG, each a raw folder of its own."""
    from nexperia_tf.sample import command as sample

    sample.draw(place / "drawn", devices=devices)
    files = sorted((place / "drawn").rglob("*.bmp"))
    pictures = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]
    pictures = [p for p in pictures if p is not None]
    raws = {}
    for name in FORMATS:
        raws[name] = place / name
        raws[name].mkdir()
        lines = [("path", "label", "split")]
        for i, picture in enumerate(pictures):
            cv2.imwrite(str(raws[name] / f"{i}.{name}"), picture)
            lines.append((f"{i}.{name}", ("good", "defect")[i % 2], "train"))
        with open(raws[name] / "labels.csv", "w", newline="") as file:
            csv.writer(file).writerows(lines)
    return raws


def built(raw: pathlib.Path):
    """Records of a raw folder; what preparation drops leaves the folder, too."""
    from nexperia_tf.data import manifest
    from nexperia_tf.data.records import store

    dataset = store.build(DataSource(raw, raw.parent / "data"))
    for row in manifest.read(dataset.prepared / "manifest.csv"):
        if not row.used:
            (raw / row.path).unlink()
    return dataset


def compare(arguments: Arguments, name: str, raw, dataset, cache: str) -> None:
    ours, peers = [], []
    for _ in range(arguments.rounds):
        batches, steps = shown(dataset, SIZE, BATCH, cache)
        ours.append(rate(batches, steps, arguments.seconds))
        if arguments.torch_python:
            peers.append(peer(arguments, raw, memory=cache == "memory"))
        else:
            peers.append(rate(*by_keras(raw), arguments.seconds))
    kept = "kept" if cache == "memory" else "decoded"
    (one, cpu), (other, other_cpu) = (map(max, zip(*x)) for x in (ours, peers))
    print(
        f"{name:6}{kept:>10}{one:10,.0f}{other:12,.0f}{one / other:8.2f}"
        f"{cpu:16,.0f}{other_cpu:12,.0f}{cpu / other_cpu:8.2f}",
        flush=True,
    )


def rate(batches, steps: int, seconds: float) -> tuple[float, float]:
    """Images per second of time and of CPU time, after one epoch to warm up."""
    for _ in range(steps):
        next(batches)
    count, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        batch = next(batches)
        count += len(batch["label"] if isinstance(batch, dict) else batch)
    return count / (time.perf_counter() - start), count / (time.process_time() - cpu)


def shown(dataset, size: int, batch_size: int, cache: str) -> tuple:
    """Batches without end, and how many there are in an epoch."""
    from nexperia_tf.data.input import balance, batching, order, pictures
    from nexperia_tf.data.records import reading

    labels = reading.metadata(dataset, "train", ("label",))["label"]
    shuffled = order.Order(batch_size, 0, balance.Balance.of(labels))
    kept = pictures.Pictures(size, 1, cache)
    return iter(
        batching.training(dataset, kept, shuffled, epochs=1_000_000)
    ), shuffled.steps


def by_keras(raw: pathlib.Path) -> tuple:
    """The same of Keras: letterboxed, turned, shifted, mirrored, brightened."""
    import keras
    import tensorflow as tf

    read = keras.utils.image_dataset_from_directory(
        raw,
        labels=None,
        color_mode="grayscale",
        batch_size=BATCH,
        image_size=(SIZE, SIZE),
        pad_to_aspect_ratio=True,
        verbose=False,
    )
    layers = keras.layers
    changed = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(10 / 360),
            layers.RandomTranslation(0.05, 0.05),
            layers.RandomBrightness(0.06),
            layers.RandomContrast(0.2),
        ]
    )
    batches = read.map(lambda images: changed(images, training=True), tf.data.AUTOTUNE)
    return iter(batches.repeat().prefetch(2)), len(read)


def peer(arguments: Arguments, raw: pathlib.Path, *, memory: bool) -> tuple:
    words = [arguments.torch_python, PEER, raw, SIZE, BATCH, arguments.seconds]
    words += ["--memory"] if memory else []
    done = subprocess.run(
        [str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True
    )
    return tuple(map(float, done.stdout.split()))


def waiting(dataset, steps: int) -> None:
    """Share of the time of training steps that goes by before the batch is there."""
    import keras

    from nexperia_tf.models import classifier

    model = classifier.build("resnext26_32x4d", image_size=128, channels=1)
    model.compile("adamw", keras.losses.BinaryCrossentropy(from_logits=True))
    for cache in ("none", "memory"):
        batches, _ = shown(dataset, 128, 32, cache)
        first = next(batches)
        model.train_on_batch(first["image"], first["label"])  # traces
        waited, start = 0.0, time.perf_counter()
        for _ in range(steps):
            before = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - before
            model.train_on_batch(batch["image"], batch["label"])
        share = waited / (time.perf_counter() - start)
        print(
            f"waiting, resnext26_32x4d at 128 px, cache {cache}: {share:.2%} of a step"
        )


if __name__ == "__main__":
    command.run(main, Arguments)
