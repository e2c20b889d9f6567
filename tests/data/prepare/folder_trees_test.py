"""Whatever lies in a raw folder: rows in = rows used + rows dropped with a reason."""

import csv
import dataclasses
import io
import os
import pathlib
import tempfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from nexperia_tf import errors, files
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import summary
from nexperia_tf.data.raw import file_names, listing

ARRANGED = {  # where the class folders lie -> folders that things are put into
    "": ["good", "bad", "good/deep", "Riß", "masks/bad", "unlabelled", "", "bad"],
    "train/": ["train/good", "train/Riß", "test/good", "val", "ground_truth/bad", ""],
    "images/": ["images/good", "images/bad", "images/masks", "masks", ""],
}
HIDDEN_FOLDERS = ["bad/@eaDir", ".hidden", "__MACOSX"]
STEMS = ["0", "1", "a b", "Pr\udcfcfung", "%FC", "=1+1", "a,b", "line\nend", "0_mask"]
ENDINGS = [".png", ".PNG", ".jfif", "", ".bmp", ".txt", ".csv", ".heic"]
KINDS = ["grey", "RGB", "RGBA", "16 bit", "mask", "JPEG", "BMP", "cut off", "text"]
KINDS += ["empty", "link", "broken link", "linked folder", "loop", "pipe"]
LABELS = ["good", "bad", "crack", ""]
CELLS = ["", "0", "3", "-1", "999"]
HIDDEN = ("@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing in a folder, and what a table says of it, if it does."""

    path: str
    kind: str
    label: str
    corner: str
    listed: bool

    @property
    def leaves(self) -> list[str]:
        """The files that lie there, as the listing finds them."""
        followed = self.kind == "linked folder" and not self.is_hidden
        inside = [f"{self.path}/0.png", f"{self.path}/1.png"]
        return inside if followed else [self.path]

    @property
    def named(self) -> bool:
        """Whether a table can name it."""
        no_file = self.kind == "linked folder" or (
            self.is_hidden and self.kind in ("pipe", "loop", "broken link")
        )
        return self.listed and not no_file

    @property
    def is_hidden(self) -> bool:
        parts = self.path.split("/")
        return any(part.startswith(".") or part in HIDDEN for part in parts)


@st.composite
def trees(draw) -> tuple[str, list[Entry]]:
    """Where the classes lie, and up to a dozen things at different places."""
    arranged = draw(st.sampled_from(sorted(ARRANGED)))
    folders = [*ARRANGED[arranged], *HIDDEN_FOLDERS]
    path = st.tuples(*map(st.sampled_from, (folders, STEMS, ENDINGS)))
    path = path.map(lambda parts: f"{parts[0]}/{parts[1]}{parts[2]}".lstrip("/"))
    paths = draw(st.lists(path, max_size=12, unique=True))
    values = [st.sampled_from(v) for v in (KINDS, LABELS, CELLS, [True, False])]
    return arranged, [Entry(path, *draw(st.tuples(*values))) for path in paths]


def _picture(seed: int, kind: str = "grey") -> bytes:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 255, (24, 24, 4), np.uint8)
    grey = Image.fromarray(pixels[..., 0])
    images = {
        "RGB": Image.fromarray(pixels[..., :3]),
        "RGBA": Image.fromarray(pixels),
        "16 bit": Image.fromarray(pixels[..., 0].astype(np.uint16) * 257),
        "mask": Image.fromarray((pixels[..., 0] > 200).astype(np.uint8) * 255),
    }
    content = io.BytesIO()
    format = kind if kind in ("JPEG", "BMP") else "PNG"
    images.get(kind, grey).save(content, format)
    return content.getvalue()[: 60 if kind == "cut off" else None]


def _write(raw: pathlib.Path, nas: pathlib.Path, entry: Entry, seed: int) -> None:
    file = raw / entry.path
    file.parent.mkdir(parents=True, exist_ok=True)
    targets = {
        "link": nas / "0.png",
        "broken link": "nowhere/x.png",
        "linked folder": nas,
        "loop": raw,
    }
    if entry.kind in targets:
        os.symlink(targets[entry.kind], file)
    elif entry.kind == "pipe":
        os.mkfifo(file)
    else:
        texts = {"text": b"BM, a note", "empty": b""}
        file.write_bytes(texts.get(entry.kind) or _picture(seed, entry.kind))


def _labels(raw: pathlib.Path, base: list[str], entries: list[Entry]) -> None:
    corners = ("x1", "y1", "x2", "y2")
    rows = [(p, p.split("/")[-2], *[""] * 4) for p in base]
    rows += [
        (file_names.as_text(e.path), e.label, *[e.corner] * 4)
        for e in entries
        if e.named
    ]
    with open(raw / "labels.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", *corners), *rows])


def _annotations(raw: pathlib.Path, entries: list[Entry]) -> None:
    named = [e for e in entries if e.named]
    rows = [(file_names.as_text(e.path), *[e.corner] * 2, 9, 9) for e in named]
    rows = [row if row[1] else (row[0], *[""] * 4) for row in rows]
    with open(raw / "annotations.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "x1", "y1", "x2", "y2"), *rows])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names and files")
@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(trees(), st.sampled_from(["", "labels.csv", "annotations.csv"]))
def test_rows_in_are_rows_used_and_rows_dropped_with_a_reason(tree, table):
    arranged, entries = tree
    base = [
        f"{arranged}{label}/base{i}.png" for label in ("good", "bad") for i in range(4)
    ]
    with tempfile.TemporaryDirectory() as folder:
        raw, out, nas = (pathlib.Path(folder) / n for n in ("raw", "out", "nas"))
        nas.mkdir()
        for seed, path in enumerate(base):
            _write(raw, nas, Entry(path, "grey", "", "", False), seed)
        for i in range(2):
            (nas / f"{i}.png").write_bytes(_picture(900 + i))
        for seed, entry in enumerate(entries):
            _write(raw, nas, entry, 100 + seed)
        if table == "labels.csv":
            _labels(raw, base, entries)
        if table == "annotations.csv":
            _annotations(raw, entries)
        options = prepare.options_of(fresh=True, workers=1, unboxed="keep")
        there = {*base, *(leaf for entry in entries for leaf in entry.leaves)}
        try:
            prepare.prepare(raw, out, options)
        except errors.BadInput as refused:
            assert "\n" not in str(refused) and not out.exists()
            hypothesis.event(f"refused: {str(refused)[len(folder) :][:110]}")
            return
        _check(raw, out, there)


def _check(raw: pathlib.Path, out: pathlib.Path, there: set[str]) -> None:
    rows = manifest.read(out / "manifest.csv")
    counted = files.read_json(out / prepare.SUMMARY)
    names = [file_names.from_text(row.path) for row in rows]
    assert len(set(names)) == len({row.image_id for row in rows}) == len(rows)
    assert set(names) <= there and all(os.path.lexists(raw / name) for name in names)
    assert len(rows) + sum(counted["left_out"].values()) == len(there)
    others = set(listing.files(raw).named) - {row.path for row in rows}  # as predict's
    assert len(others) == counted["left_out"].get("masks (read as boxes)", 0)
    used = sum(row.used for row in rows)
    assert counted["images"] == len(rows) == used + sum(counted["dropped"].values())
    assert sum(part["images"] for part in counted["splits"].values()) == used
    for row in rows:
        assert row.dropped_because in ("", *manifest.REASONS)
        assert bool(row.split) == row.used
    told = {problem["path"] for problem in counted["problems"]}
    unread = ("unreadable", "unsupported", manifest.NOT_LISTED)
    assert told == {row.path for row in rows if row.dropped_because in unread}
    assert summary.in_words(rows).startswith(f"{len(rows)} images = {used} used + ")
