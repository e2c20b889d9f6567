"""Folders as they are on people's disks, from preparing to the records."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from nexperia_tf import files, predictions
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.records import origin, prepared_folder, reading, store
from nexperia_tf.data.source import DataSource


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keeps the preparation's measures out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _draw(folder: pathlib.Path, count: int, *, start: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        seed = [i, *os.fsencode(folder.name)]
        pixels = np.random.default_rng(seed).integers(0, 255, (48, 48), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def _built(raw: pathlib.Path, data_dir: pathlib.Path) -> tuple[pathlib.Path, int]:
    dataset = store.build(DataSource(data=str(raw), data_dir=str(data_dir)))
    return dataset.folder, sum(reading.split_sizes(dataset).values())


def _linked(raw: pathlib.Path, nas: pathlib.Path) -> pathlib.Path:
    raw.mkdir(parents=True)
    for name in ("good", "defect"):
        (raw / name).symlink_to(nas / name)
    return raw


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes and links of these")
def test_class_folders_that_are_links_are_known_by_what_they_lead_to(tmp_path):
    _draw(tmp_path / "nas/good", 10)
    _draw(tmp_path / "nas/defect", 8)
    os.mkfifo(tmp_path / "nas/good/pipe.png")
    raw = _linked(tmp_path / "raw", tmp_path / "nas")
    (raw / "gone").symlink_to("nowhere")
    first, count = _built(raw, tmp_path / "data")
    assert count == 18
    _draw(tmp_path / "nas/good", 10, start=10)
    _draw(tmp_path / "nas/defect", 8, start=8)
    second, count = _built(raw, tmp_path / "data")
    assert count == 36 and second != first
    _draw(tmp_path / "nas2/good", 9)
    _draw(tmp_path / "nas2/defect", 6)
    third = _linked(tmp_path / "other/raw", tmp_path / "nas2")
    folder, count = _built(third, tmp_path / "data")
    assert count == 15 and folder not in (first, second)


@pytest.mark.parametrize("extra", [2, 400])
def test_bmp_files_with_bytes_behind_their_rows_make_records(tmp_path, extra):
    _draw(tmp_path / "raw/good", 10)
    _draw(tmp_path / "raw/defect", 8)
    for path in list((tmp_path / "raw").rglob("*.png")):
        Image.open(path).save(path.with_suffix(".bmp"))
        with open(path.with_suffix(".bmp"), "ab") as file:
            file.write(bytes(extra))
        path.unlink()
    folder, count = _built(tmp_path / "raw", tmp_path / "data")
    assert count == 18
    for split in ("train", "validation", "test"):
        for image in _decoded(folder, split):
            assert image.shape == (48, 48, 1)


def _decoded(folder: pathlib.Path, split: str) -> list[np.ndarray]:
    """Pictures as TFDS gives them to any other program."""
    dataset = tfds.builder_from_directory(folder).as_dataset(split=split)
    return [example["image"].numpy() for example in dataset]


def test_a_class_that_was_saved_with_alpha_is_used(tmp_path):
    _draw(tmp_path / "raw/good", 10)
    _draw(tmp_path / "raw/defect", 8)
    for path in (tmp_path / "raw/defect").iterdir():
        Image.open(path).convert("RGBA").save(path)
    rows = prepare.prepare(tmp_path / "raw", tmp_path / "prepared")
    assert all(row.used and row.mode == "L" for row in rows)
    counted = files.read_json(tmp_path / "prepared/summary.json")
    assert counted["converted"] == {"alpha PNG": 8}


def test_a_file_that_cannot_be_opened_counts_as_content_too(tmp_path, monkeypatch):
    _draw(tmp_path / "raw/good", 2)
    config = origin.Config("folder", layout="folder")
    before = origin.content(tmp_path / "raw", config)
    sha256 = files.sha256

    def refusing(path):  # permissions do not hold for root
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied", str(path))
        return sha256(path)

    monkeypatch.setattr(files, "sha256", refusing)
    refused = origin.content(tmp_path / "raw", config)
    assert refused == origin.content(tmp_path / "raw", config) != before


def test_a_nas_and_its_thumbnails_are_the_pictures_alone(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "prepared"
    for name, count in (("good", 12), ("defect", 8)):
        _draw(raw / name, count)
        for i in range(count):
            thumbnail = raw / name / "@eaDir" / f"{i}.png" / "SYNOPHOTO_THUMB_M.jpg"
            thumbnail.parent.mkdir(parents=True)
            Image.open(raw / name / f"{i}.png").resize((24, 24)).save(thumbnail)
    rows = prepare.prepare(raw, out, prepare.options_of(fresh=True))
    assert len(rows) == 20 and all(row.used for row in rows)
    summary = files.read_json(out / "summary.json")
    assert summary["left_out"] == {"@eaDir": 20}
    assert "@eaDir 20" in (out / "report.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_are_not_utf8_go_through_to_scores_in_a_stated_form(tmp_path):
    raw = tmp_path / os.fsdecode(b"M\xfcller")
    _draw(raw / "good", 12)
    _draw(raw / os.fsdecode(b"Sp\xe4ne"), 8)
    for i in (0, 1, 2):
        new = f"Pr\udcfcfung{i}.png"
        (raw / "good" / f"{i}.png").rename(raw / "good" / new)
    (raw / "good/3.png").rename(raw / "good/%FC.png")
    out = tmp_path / "prepared"
    rows = prepare.prepare(raw, out, prepare.options_of(fresh=True))
    assert all(row.used for row in rows)
    read = manifest.read(out / "manifest.csv")
    assert [(r.path, r.defect_type) for r in read] == [
        (r.path, r.defect_type) for r in rows
    ]
    assert {row.defect_type for row in rows} == {"", "Sp%E4ne"}
    prepared_folder.read(out).check()
    dataset = store.build(DataSource(data=str(out), data_dir=str(tmp_path / "data")))
    folder, count = _built(raw, tmp_path / "again")
    assert count == 20 and folder.is_relative_to(tmp_path / "again")
    ids = set()
    for split in reading.split_sizes(dataset):
        names = reading.metadata(dataset, split)["image_id"]
        labels = reading.metadata(dataset, split)["label"]
        table = predictions.Predictions(names, labels, np.linspace(0, 1, len(names)))
        predictions.write(tmp_path / f"{split}.csv", table)
        ids.update(predictions.read(tmp_path / f"{split}.csv").image_id)
    assert ids == {row.image_id for row in rows}
    assert {"good/Pr%FCfung0", "good/%25FC", "Sp%E4ne/0"} <= ids
