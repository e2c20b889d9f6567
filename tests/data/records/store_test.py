import csv
import logging
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.utils import gcs_utils

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest
from nexperia_tf.data.measure import scan_cache
from nexperia_tf.data.records import builder, origin, reading, store
from nexperia_tf.data.source import DataSource

ROOT = pathlib.Path(__file__).parents[3]
FORMATS = ("bmp", "png", "jpg")
BOX = [3.0, 4.0, 20.0, 12.0]
SIZES = {"train": 24, "validation": 12, "test": 8, "unlabelled": 4}
HEADER = ["path", "label", "group", "defect_type", "split", "x1", "y1", "x2", "y2"]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Keeps the preparation's measures out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """48 grey pictures of three formats in lots of four; every third is a defect."""
    folder = tmp_path_factory.mktemp("raw") / "devices"
    folder.mkdir()
    lines = [line(folder, place) for place in range(48)]
    write_labels(folder, lines)
    return folder


def line(folder: pathlib.Path, place: int, *, channels: int = 1) -> list:
    """Draws a picture and gives its line of labels.csv."""
    random = np.random.default_rng(place)
    shape = (30, 40) if channels == 1 else (30, 40, channels)
    pixels = random.integers(0, 256, shape).astype(np.uint8)
    name = f"{place:02}.{FORMATS[place % 3]}"
    Image.fromarray(pixels).save(folder / name)
    lot = place // 4
    split = ("train", "train", "validation", "test")[lot % 4]
    if lot == 11:
        return [name, "", f"lot{lot}", "", "unlabelled", "", "", "", ""]
    if place % 3:
        return [name, "good", f"lot{lot}", "", split, "", "", "", ""]
    return [name, "defect", f"lot{lot}", "scratch", split, *BOX]


def write_labels(folder: pathlib.Path, lines: list) -> None:
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([HEADER, *lines])


@pytest.fixture(scope="module")
def dataset(raw, tmp_path_factory):
    return store.build(DataSource(raw, tmp_path_factory.mktemp("data")))


@pytest.fixture
def no_prepare(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the folder was prepared again")

    monkeypatch.setattr(origin.prepare, "prepare", refuse)


def every_record(dataset: store.Dataset) -> list[dict]:
    splits = reading.split_sizes(dataset)
    return [r for s in splits for r in reading.load(dataset, s).as_numpy_iterator()]


def test_a_record_keeps_the_bytes_of_its_file(dataset, raw):
    files = {path.stem: path.read_bytes() for path in raw.iterdir()}
    assert all(
        r["image"] == files[r["image_id"].decode()] for r in every_record(dataset)
    )


def test_the_records_are_what_the_manifest_keeps(dataset):
    rows = manifest.read(dataset.prepared / "manifest.csv")
    kept = {row.image_id: row for row in rows if row.used}
    found = {r["image_id"].decode(): r for r in every_record(dataset)}
    assert set(found) == set(kept)
    for image_id, record in found.items():
        row = kept[image_id]
        for name in ("group", "lot", "machine", "defect_type"):
            assert record[name].decode() == getattr(row, name)
        assert record["boxes"].tolist() == row.boxes
        assert record["label"] == (
            labels.NAMES.index(row.label) if row.label else labels.UNLABELLED
        )


def test_each_device_is_in_the_split_it_was_given(dataset):
    sizes = reading.split_sizes(dataset)
    assert sizes == SIZES
    lots = set(reading.metadata(dataset, "validation")["group"])
    assert lots == {"lot2", "lot6", "lot10"}


def test_unlabelled_devices_carry_minus_one(dataset):
    assert set(reading.metadata(dataset, "unlabelled")["label"]) == {-1}


def test_metadata_stands_in_record_order(dataset):
    columns = reading.metadata(dataset, "train")
    loaded = list(reading.load(dataset, "train").as_numpy_iterator())
    assert [r["image_id"].decode() for r in loaded] == columns["image_id"].tolist()
    assert [r["label"] for r in loaded] == columns["label"].tolist()


def test_metadata_has_the_columns_asked_for_and_unpacks_no_picture(
    dataset, monkeypatch
):
    whole = reading.metadata(dataset, "test")
    assert tuple(whole) == reading.COLUMNS
    reading._metadata.cache_clear()
    asked, load = [], reading.load

    def spied(dataset, split, *, only=()):
        records = load(dataset, split, only=only)
        asked.append(set(records.element_spec))
        return records

    monkeypatch.setattr(reading, "load", spied)
    for _ in range(2):  # the second answer is kept from the first
        part = reading.metadata(dataset, "test", ["label", "lot"])
        assert {k: v.tolist() for k, v in part.items()} == {
            name: whole[name].tolist() for name in ("label", "lot")
        }
    assert asked == [{"label", "lot"}]


def test_the_deprecations_that_tfds_calls_itself_are_kept_off(dataset):
    absl, lines = logging.getLogger("absl"), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    absl.addHandler(handler)
    try:
        with pytest.MonkeyPatch.context() as patch:  # whatever was logged before
            patch.setattr("absl.logging._log_counter_per_token", {})
            reading.load(dataset, "test", only=("label",))
        absl.warning("`Other.dtype` is deprecated")
    finally:
        absl.removeHandler(handler)
    assert lines == ["`Other.dtype` is deprecated"]


def test_a_split_is_always_read_in_the_same_order(dataset):
    first, second = (reading.metadata(dataset, "train")["image_id"] for _ in range(2))
    assert first.tolist() == second.tolist()
    assert first.tolist() != sorted(first)  # good and defect stand mixed


def test_examples_give_pictures_and_boxes(dataset, raw):
    defect = "12"
    found = reading.examples(dataset, "test", [defect])
    assert found[defect].image == (raw / "12.bmp").read_bytes()
    assert found[defect].boxes == [BOX]
    assert found[defect].label == labels.POSITIVE


def test_records_load_by_name_from_any_folder(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    devices = tfds.load(dataset.name, data_dir=dataset.data_dir, split="test")
    pixels = {d["image_id"].numpy(): d["image"].numpy() for d in devices}
    assert len(pixels) == 8
    assert all(p.shape == (30, 40, 1) for p in pixels.values())


def test_nothing_asks_the_network(raw, tmp_path, no_network, monkeypatch):
    def refuse(path):
        raise AssertionError(f"{path} was asked for")

    # TFDS's cloud probe does not go through Python's sockets.
    monkeypatch.setattr(gcs_utils, "exists", refuse)
    dataset = store.build(DataSource(raw, tmp_path))
    assert len(tfds.load(dataset.name, data_dir=tmp_path / dataset.data_dir)) == 4


def test_a_second_call_builds_nothing(dataset, raw, no_prepare):
    assert store.build(DataSource(raw, dataset.data_dir.parent)) == dataset
    assert store.build(DataSource(f"folder:{raw}", dataset.data_dir.parent)) == dataset


def test_the_same_content_elsewhere_builds_nothing(dataset, raw, tmp_path, no_prepare):
    copy = shutil.copytree(raw, tmp_path / raw.name, copy_function=shutil.copyfile)
    assert store.build(DataSource(copy, dataset.data_dir.parent)) == dataset


def test_other_content_or_options_are_built_apart(dataset, raw, tmp_path):
    kept = store.build(DataSource(raw, dataset.data_dir.parent, unboxed="keep"))
    copy = shutil.copytree(raw, tmp_path / raw.name)
    (copy / "01.png").write_bytes((copy / "04.png").read_bytes())
    changed = store.build(DataSource(copy, dataset.data_dir.parent))
    assert len({dataset.data_dir, kept.data_dir, changed.data_dir}) == 3


@pytest.fixture
def settled(monkeypatch):
    """Files count as old enough for their time stamps to be told apart."""
    monkeypatch.setattr(scan_cache, "_SETTLED_NS", 0)


def _content(dataset: store.Dataset) -> dict[str, str]:
    """What stands in the records by the name of each picture."""
    rows = manifest.read(dataset.prepared / "manifest.csv")
    return {row.path: row.sha256 for row in rows}


def _swap(one: pathlib.Path, other: pathlib.Path) -> None:
    """Exchanges two files, whose size and time of change stay as they were."""
    stat = one.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    beside = one.with_name("beside")
    one.rename(beside)
    other.rename(one)
    beside.rename(other)
    assert one.stat().st_size == other.stat().st_size
    assert one.stat().st_mtime_ns == other.stat().st_mtime_ns == stat.st_mtime_ns


def _overwrite(one: pathlib.Path, other: pathlib.Path) -> None:
    """Other content in the same file, its time of change put back."""
    stat = one.stat()
    one.write_bytes(other.read_bytes())
    os.utime(one, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", [_swap, _overwrite])
def test_other_content_of_equal_size_and_time_is_seen(change, raw, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    one, other = tmp_path / "raw" / "00.bmp", tmp_path / "raw" / "06.bmp"
    os.utime(one, ns=(0, other.stat().st_mtime_ns))
    before = store.build(DataSource(tmp_path / "raw", tmp_path / "data"))
    change(one, other)
    after = store.build(DataSource(tmp_path / "raw", tmp_path / "data"))
    assert after.folder != before.folder
    assert _content(after)["00.bmp"] == _content(before)["06.bmp"]


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_that_leads_elsewhere_is_seen(kind, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("good", "old", "new"):
        (tmp_path / name).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 256, (30, 40), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.bmp")
            os.utime(tmp_path / name / f"{i}.bmp", ns=(0, 0))
    raw = tmp_path / "raw"
    shutil.copytree(tmp_path / "good", raw / "good")

    def lead(place: str) -> None:
        names = [f"scratch/{i}.bmp" for i in range(12)] if kind == "file" else []
        for name in names or ["scratch"]:
            link = raw / name
            link.parent.mkdir(exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(tmp_path / name.replace("scratch", place))

    lead("old")
    before = store.build(DataSource(raw, tmp_path / "data"))
    lead("new")
    after = store.build(DataSource(raw, tmp_path / "data"))
    assert after.folder != before.folder
    assert _content(after)["scratch/0.bmp"] != _content(before)["scratch/0.bmp"]
    # A link around in a circle is not followed for ever.
    (raw / "good" / "around").symlink_to(raw)
    assert origin.content(raw, origin.Config("folder"))


def test_a_decision_beside_the_raw_folder_counts_as_content(raw, tmp_path):
    copy = shutil.copytree(raw, tmp_path / "place" / raw.name)
    before = store.build(DataSource(copy, tmp_path / "data"))
    (tmp_path / "place" / "decisions.csv").write_text(
        "path,decision,value\n01.png,drop,\n"
    )
    after = store.build(DataSource(copy, tmp_path / "data"))
    sizes = [sum(reading.split_sizes(d).values()) for d in (before, after)]
    assert sizes == [48, 47]


def test_an_interrupted_build_leaves_nothing(raw, tmp_path, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(builder.Nexperia, "_generate_examples", stop)
    with pytest.raises(KeyboardInterrupt):
        store.build(DataSource(raw, tmp_path))
    assert not any(tmp_path.iterdir())


def test_a_build_that_another_process_finished_first_is_taken(
    raw, tmp_path, monkeypatch
):
    publish = store.files.publish

    def late(beside, path):
        if path.parent == tmp_path:
            shutil.copytree(beside, path)
        publish(beside, path)

    monkeypatch.setattr(store.files, "publish", late)
    dataset = store.build(DataSource(raw, tmp_path))
    assert reading.split_sizes(dataset)["train"] == 24
    assert [path.name for path in tmp_path.iterdir()] == [dataset.data_dir.name]


def test_a_file_changed_under_way_is_refused(dataset, raw, tmp_path):
    row = manifest.read(dataset.prepared / "manifest.csv")[0]
    copy = shutil.copytree(raw, tmp_path / raw.name)
    with open(copy / row.path, "ab") as file:
        file.write(b"!")
    with pytest.raises(errors.BadInput, match=f"{row.path}: changed since"):
        builder.example(copy, row)


def test_one_channel_for_grey_three_when_one_picture_is_colour(dataset, raw, tmp_path):
    assert reading.channels(dataset) == 1
    copy = shutil.copytree(raw, tmp_path / raw.name)
    line(copy, 1, channels=3)
    assert reading.channels(store.build(DataSource(copy, tmp_path / "data"))) == 3


def test_the_sample_is_drawn_once(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(origin, "SAMPLE_DEVICES", 60)
    dataset = store.build(DataSource("sample", tmp_path))
    assert dataset.name == "nexperia/sample"
    assert {"train", "test"} <= set(reading.split_sizes(dataset))
    monkeypatch.setattr(origin.sample, "draw", None)
    assert store.build(DataSource("sample", tmp_path)) == dataset


def test_bad_input_is_named_in_one_line(dataset, raw, tmp_path):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(errors.BadInput, match="nowhere: no such folder; give a raw"):
        store.build(DataSource(nowhere, tmp_path))
    with pytest.raises(errors.BadInput, match="lies in the raw folder"):
        store.build(DataSource(raw, raw / "data"))
    with pytest.raises(errors.BadInput, match=r"no images in split 'gold'; .*test \(8"):
        reading.load(dataset, "gold")
    with pytest.raises(errors.BadInput, match="no image '99' in split 'test'"):
        reading.examples(dataset, "test", ["99"])
    assert not nowhere.exists() and not (raw / "data").exists()


@pytest.mark.slow
def test_the_shell_builds_what_loads_anywhere(raw, tmp_path):
    tfds_command = pathlib.Path(sys.executable).with_name("tfds")
    done = subprocess.run(
        [
            *(tfds_command, "build", ROOT / "datasets/nexperia", "--config", "folder"),
            *("--manual_dir", raw, "--data_dir", tmp_path),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    sets = tfds.load("nexperia/folder", data_dir=tmp_path)
    assert {split: len(examples) for split, examples in sets.items()} == SIZES
