"""Records read back: in one order, by column, by name."""

import logging

import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.data import manifest
from nexperia_tf.data.records import reading, store
from nexperia_tf.data.source import DataSource


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    from PIL import Image

    place = tmp_path_factory.mktemp("reading")
    for i in range(40):
        pixels = np.random.default_rng(i).integers(0, 256, (24, 24), np.uint8)
        path = place / "raw" / ("good" if i % 4 else "worn") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return store.build(DataSource(place / "raw", place / "data"))


def rows(dataset):
    return {
        row.image_id: row
        for row in manifest.read(dataset.prepared / "manifest.csv")
        if row.used
    }


def test_sizes_are_those_of_the_manifest(dataset):
    counted = {}
    for row in rows(dataset).values():
        counted[row.split] = counted.get(row.split, 0) + 1
    assert reading.split_sizes(dataset) == counted
    assert reading.channels(dataset) == 1


def test_columns_have_the_order_of_the_records_and_cannot_be_changed(dataset):
    columns = reading.metadata(dataset, "train", ["image_id", "label", "defect_type"])
    records = list(reading.load(dataset, "train").as_numpy_iterator())
    assert columns["image_id"].tolist() == [r["image_id"].decode() for r in records]
    assert columns["label"].tolist() == [r["label"] for r in records]
    kinds = [rows(dataset)[name].defect_type for name in columns["image_id"]]
    assert columns["defect_type"].tolist() == kinds
    with pytest.raises(ValueError, match="read-only"):
        columns["label"][0] = 7


def test_what_is_not_asked_for_is_not_read(dataset):
    (record,) = reading.load(dataset, "test", only=["label"]).take(1)
    assert record.keys() == {"label"}


def test_the_order_is_the_same_each_time(dataset):
    names = [
        [r["image_id"] for r in reading.load(dataset, "train").as_numpy_iterator()]
        for _ in range(2)
    ]
    assert names[0] == names[1] and len(set(names[0])) == len(names[0])


def test_a_split_without_images_names_those_there_are(dataset):
    size = reading.split_sizes(dataset)["train"]
    for asked in (reading.load, reading.files_of, reading.metadata):
        with pytest.raises(
            errors.BadInput, match=rf"'unlabelled'; .* train \({size}\)"
        ):
            asked(dataset, "unlabelled")


def test_devices_are_found_by_name_with_their_bytes(dataset):
    wanted = sorted(n for n, row in rows(dataset).items() if row.split == "test")[:2]
    found = reading.examples(dataset, "test", wanted)
    assert sorted(found) == wanted
    for name, example in found.items():
        row = rows(dataset)[name]
        assert example.defect_type == row.defect_type
        raw = dataset.data_dir.parent.parent / "raw" / row.path
        assert example.image == raw.read_bytes()
    with pytest.raises(errors.BadInput, match="no image 'nobody' in split 'test'"):
        reading.examples(dataset, "test", [*wanted, "nobody"])


def test_only_tfds_own_deprecation_is_not_shown():
    def shown(text):
        record = logging.LogRecord("absl", logging.WARNING, "", 0, text, (), None)
        return reading._is_news(record)

    assert not shown("`FeatureConnector.dtype` is deprecated. Please change your code")
    assert shown("the disk is full")
