"""What a data folder is named by: the content of its raw folder, and how it is used."""

import os
import pathlib

import pytest

from nexperia_tf import files
from nexperia_tf.data import manifest
from nexperia_tf.data.measure import scan_cache
from nexperia_tf.data.prepare import kept_splits
from nexperia_tf.data.records import origin

CONFIG = origin.Config("folder", layout="folder")


@pytest.fixture
def raw(class_folders):
    return class_folders()


def unchanged(raw):
    pass


def touched(raw):
    os.utime(raw / "ng" / "01.png", (1, 1))


def thumbnails(raw):
    (raw / "Thumbs.db").write_bytes(b"any")


def one_byte(raw):
    path = raw / "ng" / "01.png"
    path.write_bytes(path.read_bytes() + b"\0")


def renamed(raw):
    (raw / "ng" / "01.png").rename(raw / "ng" / "99.png")


def told_beside(raw):
    (raw.parent / "decisions.csv").write_text("path,decision,value\n")


def tabled(raw):
    (raw / "annotations.csv").write_text("path,x1,y1,x2,y2\n")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (unchanged, True),
        (touched, True),
        (thumbnails, True),
        (one_byte, False),
        (renamed, False),
        (told_beside, False),
        (tabled, False),
    ],
)
def test_content_is_all_that_decides_what_records_hold(raw, change, same):
    before = origin.content(raw, CONFIG)
    change(raw)
    assert (origin.content(raw, CONFIG) == before) is same


@pytest.mark.parametrize(
    "options",
    [
        {"good": "good"},
        {"group": "lot"},
        {"unboxed": "keep"},
        {"max_pixels": 9},
        {"calibration_share": 0.1},
        {"depth_range": (1.0, 2.0)},
    ],
)
def test_other_options_are_other_records(raw, options):
    changed = origin.Config("folder", layout="folder", **options)
    assert origin.content(raw, changed) != origin.content(raw, CONFIG)
    stated = changed.to_prepare()
    (name,) = options
    groups = (stated.reading, stated.splitting)
    (value,) = [vars(group)[name] for group in groups if name in vars(group)]
    assert value == options[name]
    assert stated.splitting.keep_splits == kept_splits.NONE


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of a name's change")
def test_a_stamp_stands_for_the_content_once_files_have_settled(raw, monkeypatch):
    assert origin.stamp(raw, CONFIG) == ""  # they may change within a clock's tick
    monkeypatch.setattr(scan_cache, "_SETTLED_NS", 0)
    before = origin.stamp(raw, CONFIG)
    assert before and before == origin.stamp(raw, CONFIG)
    path = raw / "ng" / "01.png"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    stat = path.stat()
    path.write_bytes(content)  # of equal size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # and of equal time
    assert origin.stamp(raw, CONFIG) != before


def test_splits_that_are_kept_are_in_the_name():
    row = manifest.Row("a", path="a.png", pixel_sha256="0", split="train")
    kept = kept_splits.Kept(pathlib.Path("x"), (row,))
    row = manifest.Row("a", path="a.png", pixel_sha256="0", split="test")
    others = kept_splits.Kept(pathlib.Path("x"), (row,))
    names = {origin.named("content", keep) for keep in (None, kept, others)}
    assert len(names) == 3 and "content" in names


def test_whoever_was_slower_takes_what_is_there(tmp_path):
    with origin.unless_another_was_quicker(tmp_path):
        raise FileExistsError("by another process")
    nothing = origin.unless_another_was_quicker(tmp_path / "nothing")
    with pytest.raises(OSError, match="no room"), nothing:
        raise OSError("no room")


def test_a_preparation_is_written_with_the_options_of_its_config(raw, tmp_path):
    config = origin.Config("folder", layout="folder", calibration_share=0.2)
    origin.write_prepared(raw, tmp_path / "out", config, None)
    summary = files.read_json(tmp_path / "out" / "summary.json")
    assert summary["options"]["calibration_share"] == 0.2
    assert "calibration" in summary["splits"]
