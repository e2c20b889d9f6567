import os
import pathlib

import pytest

from nexperia_tf.data.measure import measurement, scan


@pytest.fixture
def raw(class_folders):
    raw = class_folders()
    (raw / "ng/broken.bmp").write_bytes(b"BM and nothing else")
    (raw / "ng/empty.bmp").touch()
    return raw


def _paths(raw):
    return sorted(p.relative_to(raw).as_posix() for p in raw.rglob("*.*"))


def _settle(monkeypatch):
    monkeypatch.setattr("nexperia_tf.data.measure.scan_cache._SETTLED_NS", -1)


def _count_decodes(monkeypatch) -> list:
    decoded = []
    original = measurement.measure

    def counted(content, **options):
        decoded.append(content)
        return original(content, **options)

    monkeypatch.setattr(measurement, "measure", counted)
    return decoded


def test_a_damaged_file_has_a_problem_and_the_pass_goes_on(raw):
    found = scan.measure(raw, _paths(raw), workers=1)
    problems = {path: m.problem for path, m in found.items() if m.problem}
    assert problems == {"ng/broken.bmp": "unreadable", "ng/empty.bmp": "unreadable"}
    assert len(found) == 26 and found["good/00.png"].width == 48


def test_a_file_that_vanished_is_unreadable(raw):
    found = scan.measure(raw, ["good/gone.png"], workers=1)["good/gone.png"]
    assert (found.problem, found.message) == (
        "unreadable",
        "cannot be opened: No such file or directory",
    )


def test_any_order_and_number_of_workers_measure_the_same(raw):
    paths = _paths(raw)
    assert scan.measure(raw, paths, workers=1) == scan.measure(
        raw, paths[::-1], workers=2
    )


def test_a_second_pass_decodes_only_what_is_new(raw, tmp_path, monkeypatch):
    decoded = _count_decodes(monkeypatch)
    _settle(monkeypatch)
    cache = tmp_path / "cache"
    first = scan.measure(raw, _paths(raw), workers=1, cache=cache)
    assert len(decoded) == 26
    (raw / "good/00.png").rename(raw / "good/moved.png")
    (raw / "good/new.png").write_bytes(b"\x89PNG and more")
    second = scan.measure(raw, _paths(raw), workers=1, cache=cache)
    assert decoded[26:] == [b"\x89PNG and more"]
    assert second["good/moved.png"] == first["good/00.png"]


def test_the_cache_may_be_named_from_here(raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    decoded = _count_decodes(monkeypatch)
    for _ in range(2):
        scan.measure(raw, ["good/00.png"], workers=1, cache=pathlib.Path("cache"))
    assert len(decoded) == 1


def test_a_file_changed_in_place_is_read_again(raw, tmp_path, monkeypatch):
    _settle(monkeypatch)
    cache = tmp_path / "cache"
    file, other = raw / "good/00.png", raw / "good/01.png"
    before = scan.measure(raw, ["good/00.png"], workers=1, cache=cache)
    file.write_bytes(other.read_bytes())
    after = scan.measure(raw, ["good/00.png"], workers=1, cache=cache)
    assert before["good/00.png"].sha256 != after["good/00.png"].sha256


def test_swapped_files_of_equal_size_and_time_are_read_again(
    raw, tmp_path, monkeypatch
):
    _settle(monkeypatch)
    a, b = raw / "good/a.bmp", raw / "good/b.bmp"
    a.write_bytes(b"BM one")
    b.write_bytes(b"BM two")
    for file in (a, b):
        os.utime(file, ns=(1, 1))
    names = ["good/a.bmp", "good/b.bmp"]
    before = scan.measure(raw, names, workers=1, cache=tmp_path / "cache")
    a.rename(raw / "good/c.bmp")
    b.rename(a)
    (raw / "good/c.bmp").rename(b)
    after = scan.measure(raw, names, workers=1, cache=tmp_path / "cache")
    assert before["good/a.bmp"] == after["good/b.bmp"] != after["good/a.bmp"]


def test_a_damaged_cache_costs_time_only(raw, tmp_path):
    cache = tmp_path / "cache"
    first = scan.measure(raw, _paths(raw), workers=1, cache=cache)
    for file in cache.iterdir():
        file.write_bytes(b"no database at all, but longer than a header" * 99)
    assert scan.measure(raw, _paths(raw), workers=1, cache=cache) == first
    blocked = tmp_path / "file"
    blocked.touch()
    assert scan.measure(raw, _paths(raw), workers=1, cache=blocked) == first
