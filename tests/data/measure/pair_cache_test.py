"""What was found of pairs is found again, by the same code only."""

import os
import time
import types

import pytest

from nexperia_tf.data.measure import pair_cache


@pytest.fixture
def code(tmp_path) -> types.ModuleType:
    """A module that decides something."""
    module = types.ModuleType("code")
    module.__file__ = str(tmp_path / "code.py")
    (tmp_path / "code.py").write_text("LIMIT = 1")
    return module


def test_what_was_found_is_found_again(tmp_path, code):
    with pair_cache.Pairs.opened(tmp_path / "cache", [code]) as pairs:
        assert pairs.get(b"key") is None
        pairs.add(b"key", "found")
        pairs.add(b"none", b"")
    with pair_cache.Pairs.opened(tmp_path / "cache", [code]) as pairs:
        assert pairs.get(b"key") == "found"
        assert pairs.get(b"none") == b""


def test_other_code_looks_again(tmp_path, code):
    with pair_cache.Pairs.opened(tmp_path / "cache", [code]) as pairs:
        pairs.add(b"key", "found")
    (tmp_path / "code.py").write_text("LIMIT = 2")
    with pair_cache.Pairs.opened(tmp_path / "cache", [code]) as pairs:
        assert pairs.get(b"key") is None


def test_what_other_code_kept_long_ago_is_removed(tmp_path, code):
    old, recent = (tmp_path / f"pairs-{name}.sqlite" for name in ("old", "recent"))
    for path, days in ((old, 31), (recent, 29)):
        path.touch()
        then = time.time() - days * 86400
        os.utime(path, (then, then))
    with pair_cache.Pairs.opened(tmp_path, [code]):
        assert recent.exists() and not old.exists()


def test_many_are_kept_before_the_end(tmp_path, code):
    with pair_cache.Pairs.opened(tmp_path / "cache", [code]) as pairs:
        for number in range(1024):
            pairs.add(b"%d" % number, "found")
        with pair_cache.Pairs.opened(tmp_path / "cache", [code]) as others:
            assert others.get(b"1023") == "found"


def test_without_a_folder_nothing_is_kept(code):
    with pair_cache.Pairs.opened(None, [code]) as pairs:
        pairs.add(b"key", "found")
        assert pairs.get(b"key") is None


def test_code_without_its_source_keeps_nothing(tmp_path, code):
    code.__file__ = str(tmp_path / "gone.py")
    with pair_cache.Pairs.opened(tmp_path / "cache", [code]) as pairs:
        pairs.add(b"key", "found")
        assert pairs.get(b"key") is None


def test_a_damaged_file_is_done_without(tmp_path, code):
    with pair_cache.Pairs.opened(tmp_path, [code]) as pairs:
        pairs.add(b"key", "found")
    (file,) = tmp_path.glob("pairs-*.sqlite")
    file.write_bytes(b"no database" * 1000)
    with pair_cache.Pairs.opened(tmp_path, [code]) as pairs:
        pairs.add(b"key", "found")
        assert pairs.get(b"key") is None
