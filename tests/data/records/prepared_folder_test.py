import dataclasses
import json
import shutil

import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.data import manifest
from nexperia_tf.data.records import reading, store
from nexperia_tf.data.source import DataSource


@pytest.fixture
def prepared(class_folders, run_command, tmp_path):
    """A raw folder of 24 pictures and what the command made of it."""
    raw, out = class_folders(), tmp_path / "prepared"
    words = ("--good", "good", "--seed", "3", "--workers", "1")
    assert run_command("prepare", raw, "--out", out, *words) == 0
    return out


def test_records_hold_what_was_prepared(prepared, tmp_path):
    dataset = store.build(DataSource(prepared, tmp_path / "data"))
    rows = [row for row in manifest.read(prepared / "manifest.csv") if row.used]
    for split, count in reading.split_sizes(dataset).items():
        mine = [row for row in rows if row.split == split]
        found = reading.metadata(dataset, split)
        assert len(mine) == count
        assert sorted(found["image_id"]) == [row.image_id for row in mine]
    for name in ("manifest.csv", "summary.json"):
        assert (dataset.prepared / name).read_bytes() == (prepared / name).read_bytes()
    records = sorted(path.stat().st_mtime_ns for path in dataset.folder.iterdir())
    assert store.build(DataSource(prepared, tmp_path / "data")) == dataset
    after = sorted(path.stat().st_mtime_ns for path in dataset.folder.iterdir())
    assert after == records  # made once
    assert store.of_manifest(prepared / "manifest.csv", tmp_path / "data") == dataset


def _changed(raw):
    (raw / "good/00.png").write_bytes((raw / "good/01.png").read_bytes())


def _added(raw):
    shutil.copy(raw / "ng/03.png", raw / "ng/99.png")


CHANGES = {
    "good/00.png: has changed since": _changed,
    "ng/03.png: is gone since": lambda raw: (raw / "ng/03.png").unlink(),
    "ng/99.png: is new since": lambda raw: shutil.copy(
        raw / "ng/03.png", raw / "ng/99.png"
    ),
    "raw, which is gone": shutil.rmtree,
}


@pytest.mark.parametrize("built", [False, True])
def test_stale_pictures_end_in_one_line_and_2(
    prepared, run_command, tmp_path, capsys, built
):
    raw, whole, data = tmp_path / "raw", tmp_path / "whole", tmp_path / "data"
    if built:
        store.build(DataSource(prepared, data))
    shutil.copytree(raw, whole)
    for words, change in CHANGES.items():
        change(raw)
        argv = ("--data", prepared, "--data-dir", data, "--out", tmp_path / "x")
        assert run_command("train", *argv) == 2
        shown = capsys.readouterr().err.strip().splitlines()[-1]
        assert words in shown and "prepare" in shown and str(raw) in shown
        assert not (tmp_path / "x").exists()
        shutil.rmtree(raw, ignore_errors=True)
        shutil.copytree(whole, raw)


def test_what_is_settled_cannot_be_asked_again(prepared, run_command, tmp_path, capsys):
    data = tmp_path / "data"
    argv = ("--data", prepared, "--data-dir", data, "--out", tmp_path / "x")
    assert run_command("train", *argv, "--calibration-share", ".2") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is prepared already; leave --calibration-share out" in said
    assert not data.exists()


def test_what_it_was_prepared_with_may_be_said_again(prepared, tmp_path):
    """As a run says that is judged on it: it was read so, too."""
    named = DataSource(prepared, tmp_path / "data")
    same = dataclasses.replace(named, good="good", unboxed="keep")
    assert store.build(same) == store.build(named)
    with pytest.raises(errors.BadInput, match="prepared already; leave --good out"):
        store.build(dataclasses.replace(named, good="ng"))


def test_a_raw_folder_may_hold_files_of_such_names(class_folders, tmp_path):
    raw = class_folders()
    (raw / "manifest.csv").write_text("a,b\n1,2\n")
    (raw / "summary.json").write_text(json.dumps({"raw": "no"}))
    dataset = store.build(DataSource(raw, tmp_path / "data"))
    assert np.sum(list(reading.split_sizes(dataset).values())) == 24
