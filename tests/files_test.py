import random

import pytest

from nexperia_tf import errors, files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    files.write_text(path, "old")
    monkeypatch.setattr(files.os, "fsync", _full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _full_disk(*_):
    raise OSError(28, "No space left on device")


def test_a_new_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "run"
    with pytest.raises(RuntimeError), files.new_folder(target) as beside:
        (beside / "half.txt").write_text("half")
        raise RuntimeError
    assert not target.exists()
    assert list(tmp_path.iterdir()) == []
    with files.new_folder(target) as beside:
        (beside / "whole.txt").write_text("whole")
        assert not target.exists()
    assert (target / "whole.txt").read_text() == "whole"


def test_an_existing_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kept").touch()
    with (
        pytest.raises(errors.BadInput, match="run: exists already"),
        files.new_folder(tmp_path / "run"),
    ):
        pass
    assert (tmp_path / "run" / "kept").exists()


@pytest.mark.parametrize("place", ["file.txt/run", "/proc/run"])
def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path, place):
    (tmp_path / "file.txt").touch()
    with pytest.raises(errors.BadInput, match="cannot be written"):
        files.check_writable(tmp_path / place)


def test_every_single_bit_flip_is_detected(tmp_path):
    rng = random.Random(0)
    content = rng.randbytes(2000)
    (tmp_path / "model.bin").write_bytes(content)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "state.json").write_text("{}")
    files.write_manifest(tmp_path)
    files.verify_manifest(tmp_path)
    for _ in range(100):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        (tmp_path / "model.bin").write_bytes(damaged)
        with pytest.raises(errors.BadInput, match=r"model\.bin: differs"):
            files.verify_manifest(tmp_path)


def test_one_file_can_be_verified_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    files.write_manifest(tmp_path)
    (tmp_path / "b").write_text("x")
    files.verify_manifest(tmp_path, only="a")
    with pytest.raises(errors.BadInput, match="b: differs"):
        files.verify_manifest(tmp_path, only="b")
    with pytest.raises(errors.BadInput, match="names no c"):
        files.verify_manifest(tmp_path, only="c")


def test_a_missing_file_is_detected(tmp_path):
    (tmp_path / "a").touch()
    files.write_manifest(tmp_path)
    (tmp_path / "a").unlink()
    with pytest.raises(errors.BadInput, match="a: named by MANIFEST.sha256"):
        files.verify_manifest(tmp_path)


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path):
    files.write_json(tmp_path / "x.json", {"auc": 0.5})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"auc": float("nan")})
    assert files.read_json(tmp_path / "x.json") == {"auc": 0.5}


@pytest.mark.parametrize("text", ["[1]", "{", ""])
def test_what_is_no_json_object_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(errors.BadInput, match=r"x\.json"):
        files.read_json(tmp_path / "x.json")
