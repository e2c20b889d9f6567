import os
import pathlib
import socket

import hypothesis
import pytest
from hypothesis import strategies as st

from nexperia_tf.data.raw import file_names, listing

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def _write(folder: pathlib.Path, *names: str, content: bytes = PNG) -> pathlib.Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_file_counts_whatever_its_name_ends_with(tmp_path):
    names = ["a.jpg", "b.JPEG", "c.jfif", "d.jpe", "deep/er/e.heic", "f", "g.jpg_large"]
    assert listing.files(_write(tmp_path, *names)).files == names


def test_what_computers_write_beside_pictures_is_left_out_with_its_count(tmp_path):
    left_out = ["good/@eaDir/1.png/THUMB_M.jpg", "good/@eaDir/2.png/THUMB_M.jpg"]
    left_out += ["Thumbs.db", "good/desktop.ini", "__MACOSX/good/._1.png"]
    left_out += ["good/._1.png", ".ipynb_checkpoints/1-checkpoint.png", ".git/HEAD"]
    found = listing.files(_write(tmp_path, "good/1.png", "good/2.png", *left_out))
    assert found.files == ["good/1.png", "good/2.png"]
    assert found.left_out == {
        ".ipynb_checkpoints": 1,
        "@eaDir": 2,
        "Thumbs.db": 1,
        "__MACOSX": 1,
        "desktop.ini": 1,
        "hidden": 2,
    }
    assert listing.in_words(found.left_out).startswith(
        "left out as no pictures: .ipynb_checkpoints 1, @eaDir 2,"
    )


def test_a_table_or_text_is_left_out_unless_a_picture_stands_in_it(tmp_path):
    _write(tmp_path, "a.txt", "b.csv", content=b"BM notes on the first lot")
    _write(tmp_path, "empty.json", content=b"")
    found = listing.files(_write(tmp_path, "c.txt", "d.CSV"))
    assert found.files == ["c.txt", "d.CSV"]
    assert found.left_out == {"tables and texts": 3}


def test_links_are_followed_and_loops_end(tmp_path):
    _write(tmp_path / "nas", "good/1.png", "2.png")
    raw = _write(tmp_path / "raw", "own.png")
    os.symlink(tmp_path / "nas/good", raw / "good")
    os.symlink(tmp_path / "nas/2.png", raw / "two.png")
    os.symlink("..", raw / "good/up")
    os.symlink(raw, raw / "good/top")
    os.symlink("/", raw / "all")
    found = listing.files(raw)
    assert found.files == ["good/1.png", "good/up/2.png", "own.png", "two.png"]
    again = "is a link back to a folder that it lies in, and is not followed"
    assert found.problems == {"all": again, "good/up/good": again, "good/top": again}


def test_folders_that_all_link_to_each_other_are_listed_in_time(tmp_path):
    for name in map(str, range(12)):
        _write(tmp_path, f"{name}/a.png")
    for name in map(str, range(12)):
        for other in map(str, range(12)):
            os.symlink(tmp_path / other, tmp_path / name / other)
    found = listing.files(tmp_path)
    assert {f"{name}/a.png" for name in range(12)} <= set(found.files)
    assert len(found.files) <= 12 * listing._MOST_VISITS
    assert any("more than 64 times" in why for why in found.problems.values())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_what_is_no_file_has_a_problem_and_is_not_opened(tmp_path):
    _write(tmp_path, "1.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.symlink("/dev/zero", tmp_path / "zero.png")
    os.symlink("gone/x.png", tmp_path / "broken.png")
    os.symlink("self", tmp_path / "self")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "socket"))
        found = listing.files(tmp_path)
    assert found.files == ["1.png"]
    assert found.problems == {
        "broken.png": "is a link to gone/x.png, which cannot be opened "
        "(No such file or directory)",
        "pipe.png": "is a named pipe, which holds no picture",
        "self": "is a link to self, which cannot be opened "
        "(Too many levels of symbolic links)",
        "socket": "is a socket, which holds no picture",
        "zero.png": "is a device, which holds no picture",
    }


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    _write(tmp_path, "good/1.png", "locked/2.png", ".locked/3.png")
    scandir = os.scandir

    def refusing(path):  # permissions do not hold for root
        if pathlib.Path(path).name.endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = listing.files(tmp_path)
    assert found.files == ["good/1.png"]
    assert found.problems == {
        "locked": "the folder cannot be opened: Permission denied"
    }


def test_files_below_a_folder_are_not_those_of_a_longer_name(tmp_path):
    names = ["a-b/1.png", "a.png", "a/1.png", "a/z/2.png", "a0/1.png"]
    found = listing.files(_write(tmp_path, *names))
    assert found.below("a") == ["a/1.png", "a/z/2.png"]
    assert found.below("") == sorted(names)
    assert found.folders_in() == ["a", "a-b", "a0"]
    assert found.folders_in("a") == ["z"]


def test_a_name_written_by_hand_is_found_but_not_outside(tmp_path):
    _write(tmp_path / "raw", "good/a.png", "good/Pr\u00fcfung.png", ".h/b.png", "%FC")
    _write(tmp_path, "x.png")
    found = listing.files(tmp_path / "raw")
    assert found.find("good\\a.png") == found.find("./good//a.png") == "good/a.png"
    assert found.find("good/Pru\u0308fung.png") == "good/Pr\u00fcfung.png"
    assert found.find(".h/b.png") == ".h/b.png"
    assert found.find("%FC") == found.find("%25FC") == "%25FC"
    outside = ["../x.png", "good/../../x.png", str(tmp_path / "x.png"), "C:/x.png"]
    assert [found.find(text) for text in [*outside, "gone.png"]] == [None] * 5


@hypothesis.given(st.binary(max_size=12), st.binary(max_size=12))
@hypothesis.example(b"Pr\xfcfung.png", b"Pr%FCfung.png")
@hypothesis.example(b"%25", b"%")
@hypothesis.example(b"%\xfc", b"%%FC")
def test_a_names_form_in_tables_is_text_and_leads_back(one, other):
    texts = []
    for name in (one, other):
        name = name.decode("utf-8", "surrogateescape")
        texts.append(text := file_names.as_text(name))
        assert text.encode("utf-8").decode("utf-8").isprintable() or not text.isascii()
        assert file_names.from_text(text) == name
    assert (texts[0] == texts[1]) == (one == other)
