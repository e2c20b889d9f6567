"""Measures kept between runs, and when they must not be used."""

import contextlib
import gc
import os
import pathlib
import sqlite3
import time
import warnings

import pytest

from nexperia_tf.data.measure import measurement, scan_cache, signature


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "raw" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"some pixels")
    _age(path, seconds=60)
    return path


def _age(path, *, seconds: float) -> None:
    past = time.time_ns() - int(seconds * 1e9)
    os.utime(path, ns=(past, past))


@pytest.fixture
def settled(monkeypatch):
    """The time that a file must have been left alone is over at once."""
    monkeypatch.setattr(scan_cache, "_SETTLED_NS", -1)


def kept(cache, file, measures):
    with scan_cache.Cache.opened(cache) as opened:
        opened.add(file.parent, file.name, scan_cache.stamp(file), measures)


def found(cache, file) -> dict:
    with scan_cache.Cache.opened(cache) as opened:
        return opened.by_stamp(file.parent, {file.name: scan_cache.stamp(file)})


MEASURES = measurement.Measures(
    "ab" * 32, width=3, signature=bytes(signature.SIDE**2), contrast=0.1
)


def test_a_file_left_alone_is_known_by_its_stamp(file, tmp_path, settled):
    kept(tmp_path / "cache", file, MEASURES)
    assert found(tmp_path / "cache", file) == {file.name: MEASURES}


def test_a_file_written_since_is_not(file, tmp_path, settled):
    kept(tmp_path / "cache", file, MEASURES)
    file.write_bytes(b"more pixels")
    assert found(tmp_path / "cache", file) == {}


def test_a_file_that_may_still_change_has_no_stamp(file):
    file.write_bytes(b"just now")
    assert scan_cache.stamp(file) == ""
    assert scan_cache.stamp(file.with_name("gone.png")) == ""


def test_moved_bytes_are_known_by_their_hash(file, tmp_path):
    kept(tmp_path / "cache", file, MEASURES)
    with (
        scan_cache.Cache.opened(tmp_path / "cache") as opened,
        scan_cache.lookup(opened.file) as known,
    ):
        assert known(MEASURES.sha256) == MEASURES
        assert known("cd" * 32) is None


def test_a_folder_that_cannot_be_written_is_done_without(file, tmp_path):
    cache = tmp_path / "cache"
    cache.write_text("a file where the folder should be")
    kept(cache, file, MEASURES)
    assert found(cache, file) == {}


def test_a_damaged_database_is_closed_again(file, tmp_path):
    with scan_cache.Cache.opened(tmp_path / "cache") as opened:
        database = opened.file
    pathlib.Path(database).write_bytes(b"no database" * 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)  # of Python 3.13 and later
        assert found(tmp_path / "cache", file) == {}
        gc.collect()


def test_without_a_cache_nothing_is_known():
    with scan_cache.lookup(None) as known:
        assert known(MEASURES.sha256) is None


DAMAGES = {
    "torn": "UPDATE content SET measures = substr(measures, 1, 40)",
    "of other columns": """UPDATE content SET measures = '{"height": 3, "girth": 4}'""",
    "no object": "UPDATE content SET measures = '[1]'",
    "empty": "UPDATE content SET measures = NULL",
    "with half a thumbnail": "UPDATE content SET signature = substr(signature, 1, 9)",
    "with text for a thumbnail": "UPDATE content SET signature = printf('%4096d', 1)",
    "without their table": "DROP TABLE content",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_rows_that_cannot_be_read_are_measured_again(file, tmp_path, settled, damage):
    cache = tmp_path / "cache"
    kept(cache, file, MEASURES)
    with scan_cache.Cache.opened(cache) as opened:
        database = opened.file
    with contextlib.closing(sqlite3.connect(database)) as changed, changed:
        changed.execute(damage)
    with scan_cache.lookup(database) as known:
        assert known(MEASURES.sha256) is None
    assert found(cache, file) == {}
    kept(cache, file, MEASURES)
    assert found(cache, file) == {file.name: MEASURES}


def test_a_database_that_another_process_holds_is_done_without(file, tmp_path, settled):
    cache = tmp_path / "cache"
    kept(cache, file, MEASURES)
    with scan_cache.Cache.opened(cache) as opened:
        database = opened.file
    with contextlib.closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with scan_cache.lookup(database) as known:
            start = time.monotonic()
            assert [known(MEASURES.sha256) for _ in range(100)] == [None] * 100
            assert time.monotonic() - start < 20  # waits once
        assert found(cache, file) == {}
    assert found(cache, file) == {file.name: MEASURES}


def test_a_database_that_has_gone_is_done_without(tmp_path):
    with scan_cache.lookup(str(tmp_path / "gone.sqlite")) as known:
        assert known(MEASURES.sha256) is None


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "home", homeless)
    assert scan_cache.default_folder() is None
