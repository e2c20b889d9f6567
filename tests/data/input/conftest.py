import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import preprocess
from nexperia_tf.data.input import balance, batching, changes, order, pictures
from nexperia_tf.data.records import reading, store
from nexperia_tf.data.source import DataSource

SPLITS = ["train"] * 46 + ["validation"] * 10 + ["unlabelled"] * 3


@dataclasses.dataclass(frozen=True)
class Sides:
    """What the records of these tests hold."""

    size: int = 32
    batch: int = 8
    epochs: int = 3
    steps: int = 5  # 46 devices to train on, six of them left over in each epoch
    good: int = 34


@pytest.fixture(scope="session")
def sides():
    return Sides()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Grey pictures wider than high; every fourth is a defect."""
    place = tmp_path_factory.mktemp("pipeline")
    (place / "raw").mkdir()
    random = np.random.default_rng(0)
    lines = [["path", "label", "split"]]
    for i, split in enumerate(SPLITS):
        pixels = random.integers(0, 256, (36, 48)).astype(np.uint8)
        Image.fromarray(pixels).save(place / "raw" / f"{i:02}.png")
        label = "defect" if i % 4 == 0 else "good"
        lines.append([f"{i:02}.png", label if split != "unlabelled" else "", split])
    with open(place / "raw/labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        return store.build(DataSource(place / "raw", place / "data"))


@pytest.fixture(scope="session")
def truth(dataset):
    """The labels of the training devices, in the order of their records."""
    return reading.metadata(dataset, "train", ("label",))["label"]


@pytest.fixture(scope="session")
def ordered(sides):
    """Makes the order of training devices from their labels."""

    def make(labels, *, batch_size=sides.batch, seed=7, **counted) -> order.Order:
        return order.Order(batch_size, seed, balance.Balance.of(labels, **counted))

    return make


@pytest.fixture(scope="session")
def training(dataset, truth, sides, ordered):
    """Makes the training batches: dicts of arrays."""

    def make(
        dataset=dataset,
        *,
        counted=None,
        changed=None,
        cache="auto",
        size=sides.size,
        batch_size=sides.batch,
        seed=7,
        epochs=sides.epochs,
        start=(0, 0),
        **options,
    ) -> list[dict[str, np.ndarray]]:
        labels = reading.metadata(dataset, "train", ("label",))["label"]
        batches = batching.training(
            dataset,
            pictures.Pictures(size, 1, cache),
            ordered(labels, batch_size=batch_size, seed=seed, **(counted or {})),
            epochs=epochs,
            changes=changes.Changes(**(changed or {})),
            start=order.Position(*start),
            **options,
        )
        return list(batches.as_numpy_iterator())

    return make


@pytest.fixture(scope="session")
def straight(training):
    """All batches of an unbroken training."""
    return training()


@pytest.fixture(scope="session")
def letterboxed(dataset, sides):
    """Gives the pictures of a split in the order of its records."""

    def decoded(split) -> list[np.ndarray]:
        records = reading.load(dataset, split, only=("image",)).as_numpy_iterator()
        images = [preprocess.decode(record["image"], 1) for record in records]
        return [preprocess.letterbox(image, sides.size).numpy() for image in images]

    return decoded


@pytest.fixture(scope="session")
def assert_same():
    def check(batches, expected):
        assert len(batches) == len(expected)
        for batch, other in zip(batches, expected):
            assert batch.keys() == other.keys()
            for name in batch:
                np.testing.assert_array_equal(batch[name], other[name])

    return check
