"""TFDS's own test of a builder, on each raw form, with devices drawn for it."""

import csv
import os
import pathlib
import shutil
import tempfile
from typing import ClassVar
from unittest import mock

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from datasets.nexperia import nexperia_dataset_builder
from nexperia_tf.data.records import origin, reading, store
from nexperia_tf.data.source import DataSource
from nexperia_tf.sample import command as sample


def _pictures(folder: pathlib.Path, names: list[str], seed: int) -> None:
    random = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (24, 32)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)


class _Form:
    DATASET_CLASS = nexperia_dataset_builder.Builder

    @classmethod
    def setUpClass(cls):
        cls.place = pathlib.Path(tempfile.mkdtemp())
        cls.enterClassContext(
            mock.patch.dict(os.environ, XDG_CACHE_HOME=str(cls.place / "cache"))
        )
        cls.EXAMPLE_DIR = cls.place / "raw"
        cls.draw(cls.EXAMPLE_DIR)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.place)


class FolderTest(_Form, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ("folder",)
    SPLITS: ClassVar = {"train": 8, "validation": 4, "test": 4, "unlabelled": 2}

    @staticmethod
    def draw(raw):
        splits = ["train"] * 8 + ["validation"] * 4 + ["test"] * 4 + ["unlabelled"] * 2
        lines = [["path", "label", "split"]]
        for place, split in enumerate(splits):
            label = "" if split == "unlabelled" else ("good", "defect")[place % 2]
            lines.append([f"{place}.png", label, split])
        _pictures(raw, [name for name, _, _ in lines[1:]], seed=0)
        with open(raw / "labels.csv", "w", newline="") as file:
            csv.writer(file).writerows(lines)


class FirstStageTest(_Form, tfds.testing.DatasetBuilderTestCase):
    BUILDER_CONFIG_NAMES_TO_TEST = ("first_stage",)
    SPLITS: ClassVar = {"train": 28, "validation": 6, "test": 6, "unlabelled": 5}

    @staticmethod
    def draw(raw):
        _pictures(raw, [f"train/good_0/{n:032x}.jpg" for n in range(20)], seed=0)
        _pictures(raw, [f"train/bad_1/{n:032x}.jpg" for n in range(20, 40)], seed=1)
        _pictures(raw, [f"test/all_tests/{n:032x}.jpg" for n in range(5)], seed=2)


class _Sample(_Form):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # What a split holds is the preparation's word: ask it once.
        cls.BUILDER_CONFIG_NAMES_TO_TEST = [cls.CONFIG]
        dataset = store.build(DataSource(cls.EXAMPLE_DIR, cls.place / "data"))
        cls.SPLITS = reading.split_sizes(dataset)


class HandOverTest(_Sample, tfds.testing.DatasetBuilderTestCase):
    CONFIG = "hand_over"

    @staticmethod
    def draw(raw):
        sample.draw(raw, devices=60, layout="hand_over")


class SecondStageTest(_Sample, tfds.testing.DatasetBuilderTestCase):
    CONFIG = "second_stage"

    @staticmethod
    def draw(raw):
        sample.draw(raw, devices=60, layout="second_stage")


class SampleTest(_Sample, tfds.testing.DatasetBuilderTestCase):
    CONFIG = "sample"

    @classmethod
    def setUpClass(cls):
        cls.enterClassContext(mock.patch.object(origin, "SAMPLE_DEVICES", 60))
        super().setUpClass()

    @staticmethod
    def draw(raw):
        sample.draw(raw, devices=60)  # as the config itself draws
