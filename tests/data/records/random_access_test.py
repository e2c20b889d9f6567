import csv

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.data.records import builder, random_access, reading, store
from nexperia_tf.data.source import DataSource


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Thirty pictures, which TFDS writes to three files."""
    place = tmp_path_factory.mktemp("records")
    (place / "raw").mkdir()
    random = np.random.default_rng(0)
    lines = [["path", "label", "split"]]
    for i in range(30):
        pixels = random.integers(0, 256, (16, 16 + i)).astype(np.uint8)
        Image.fromarray(pixels).save(place / "raw" / f"{i:02}.png")
        lines.append([f"{i:02}.png", "defect" if i % 4 == 0 else "good", "train"])
    with open(place / "raw/labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        built = store.build(DataSource(place / "raw", place / "data"))
    several = tfds.download.DownloadConfig(num_shards=3, try_download_gcs=False)
    again = builder.Nexperia(
        data_dir=place / "several",
        config=built.name.partition("/")[2],
        raw=place / "raw",
        prepared=built.prepared,
    )
    again.download_and_prepare(download_config=several)
    return store.Dataset(built.name, place / "several", built.prepared)


def test_records_of_several_files_are_read_by_their_place_in_load(dataset):
    assert len(reading.files_of(dataset, "train")) == 3
    images = random_access.Images(dataset, "train")
    records = reading.load(dataset, "train", only=("image",)).as_numpy_iterator()
    expected = [record["image"] for record in records]
    assert len(images) == len(expected) > 20  # the others are copies, or too alike
    assert images.read(range(len(images))) == expected
    assert images.read([17, 3, 17]) == [expected[17], expected[3], expected[17]]


def test_a_split_without_images_is_named(dataset):
    with pytest.raises(errors.BadInput, match="no images in split 'test'"):
        random_access.Images(dataset, "test")


def damaged(dataset, folder, change) -> store.Dataset:
    """The same records, of whose first file some bytes are others."""
    copy = store.Dataset(dataset.name, folder, dataset.prepared)
    copy.folder.mkdir(parents=True)
    for path in dataset.folder.iterdir():
        (copy.folder / path.name).write_bytes(path.read_bytes())
    (first, *_) = sorted(copy.folder.glob("*.tfrecord*"))
    first.write_bytes(change(first.read_bytes()))
    return copy


@pytest.mark.parametrize("at", [0, 8, 400, -1])
def test_every_flipped_bit_is_found_as_tensorflow_finds_it(dataset, tmp_path, at):
    def flip(content):
        content = bytearray(content)
        content[at] ^= 4
        return bytes(content)

    broken = damaged(dataset, tmp_path / "data", flip)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(reading.files_of(broken, "train")))
    with pytest.raises(errors.BadInput, match="tfrecord.* is damaged; delete .*data "):
        random_access.Images(broken, "train").read(range(20))


@pytest.mark.parametrize("kept", [-1, 5])
def test_a_file_cut_short_is_refused_when_it_is_opened(dataset, tmp_path, kept):
    broken = damaged(dataset, tmp_path / "data", lambda content: content[:kept])
    with pytest.raises(errors.BadInput, match="record at byte .* is damaged"):
        random_access.Images(broken, "train")
