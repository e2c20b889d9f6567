import collections
import csv
import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.raw import listing
from nexperia_tf.sample import command as sample

pytestmark = pytest.mark.usefixtures("few_look_alikes")

FILES = ["duplicates.csv", "manifest.csv", "report.html", "summary.json"]


@pytest.fixture(scope="module")
def drawn(few_look_alikes, tmp_path_factory) -> pathlib.Path:
    """A raw folder of form hand_over with every planted fault."""
    raw = tmp_path_factory.mktemp("drawn") / "raw"
    sample.draw(raw, devices=260, seed=3)
    return raw


@pytest.fixture(scope="module")
def prepared(drawn):
    out = drawn.parent / "prepared"
    before = _fingerprint(drawn)
    prepare.prepare(drawn, out, prepare.options_of(workers=1, fresh=True))
    assert _fingerprint(drawn) == before  # raw data is only read
    return out


def _fingerprint(folder: pathlib.Path) -> dict:
    return {
        str(p): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest())
        for p in folder.rglob("*")
        if p.is_file()
    }


def _table(path: pathlib.Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _truth(drawn) -> dict[str, dict[str, str]]:
    return {row["image_id"]: row for row in _table(drawn / "truth.csv")}


def _summary(out) -> dict:
    return json.loads((out / "summary.json").read_text("utf-8"))


def test_every_file_is_a_row_and_the_counts_reconcile(drawn, prepared):
    assert sorted(p.name for p in prepared.iterdir()) == FILES
    rows = manifest.read(prepared / "manifest.csv")
    assert {row.image_id for row in rows} == set(_truth(drawn))
    summary = _summary(prepared)
    assert summary["images"] == len(rows)
    assert summary["images"] == summary["used"] + sum(summary["dropped"].values())
    counts = (part["images"] for part in summary["splits"].values())
    assert sum(counts) == summary["used"]
    assert set(summary["dropped"]) <= set(manifest.REASONS)
    for row in rows:
        assert bool(row.split) == row.used


def test_planted_faults_are_dropped_for_their_reason(drawn, prepared):
    truth = _truth(drawn)
    reasons = collections.defaultdict(collections.Counter)
    for row in manifest.read(prepared / "manifest.csv"):
        reasons[truth[row.image_id]["kind"]][row.dropped_because] += 1
    for kind in ("truncated", "empty_file", "text_file"):
        assert set(reasons[kind]) == {"unreadable"}
    assert set(reasons["zero_box"]) == {"invalid_box"}
    assert set(reasons["unboxed"]) == {"no_annotation"}
    assert set(reasons["no_device"]) == {"not_a_device"}
    assert set(reasons["byte_copy"]) <= {"", "duplicate", "label_conflict"}
    assert reasons["device"]["not_a_device"] + reasons[""]["not_a_device"] == 0


def test_no_lot_and_no_pair_stands_in_two_splits(prepared):
    rows = manifest.read(prepared / "manifest.csv")
    split_of = {row.path: row.split for row in rows if row.used}
    for pair in _table(prepared / "duplicates.csv"):
        places = {split_of.get(pair["path_a"]), split_of.get(pair["path_b"])} - {None}
        assert len(places) < 2
    leaks = _summary(prepared)["leaks"]
    assert leaks["before"]["groups_in_several_splits"] > 0
    assert leaks["after"]["groups_in_several_splits"] == 0
    assert leaks["after"]["duplicate_pairs"] == leaks["after"]["twin_pairs"] == 0


def test_no_order_of_files_and_no_number_of_workers_changes_a_byte(
    drawn, prepared, tmp_path, monkeypatch
):
    original = listing._entries

    def shuffled(folder):
        found = list(original(folder))
        random.Random(0).shuffle(found)
        return found

    monkeypatch.setattr(listing, "_entries", shuffled)
    out = tmp_path / "again"
    prepare.prepare(drawn, out, prepare.options_of(workers=2, cache=tmp_path / "cache"))
    for name in ("manifest.csv", "duplicates.csv"):
        assert (out / name).read_bytes() == (prepared / name).read_bytes()


def test_tensorflow_is_not_imported():
    script = (
        "import sys; import nexperia_tf.data.prepare.command; "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def _labels(raw: pathlib.Path, lines: dict[str, str], header: str) -> None:
    body = "".join(f"{path},{line}\n" for path, line in lines.items())
    (raw / "labels.csv").write_text(f"path,{header}\n{body}")


def test_names_that_look_like_formulas_are_kept_as_they_are(
    class_folders, picture, tmp_path, run_command
):
    names = ("=cmd.bmp", "+1.png", "-2.png", "@x.png", "=HYPERLINK(1).png")
    class_folders()
    pictures = {f"good/{name}": picture(50 + n) for n, name in enumerate(names)}
    raw = class_folders(pictures)
    table = raw / "decisions.csv"
    table.write_text("path,decision,value\ngood/=cmd.bmp,relabel,defect\n")
    out = tmp_path / "out"
    assert run_command("prepare", raw, "--out", out) == 0
    rows = {row["path"]: row for row in _table(out / "manifest.csv")}
    assert pictures.keys() < rows.keys()
    cells = rows["good/=cmd.bmp"]
    assert (cells["image_id"], cells["label"]) == ("good/=cmd", "defect")
    assert (raw / cells["path"]).is_file()


def _given(class_folders, picture) -> pathlib.Path:
    """Ten pictures in given splits; one picture stands in train and in test."""
    pictures = {f"i/{n}.png": picture(n) for n in range(10)}
    pictures["i/9.png"] = pictures["i/0.png"]
    raw = class_folders(pictures)
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    labels = ["good", "bad"] * 3 + ["good", "bad", "bad", "good"]
    lines = {p: f"{la},{s}" for p, la, s in zip(pictures, labels, splits)}
    _labels(raw, lines, "label,split")
    return raw


def test_given_splits_are_kept_audited_and_repaired_when_asked(
    class_folders, picture, tmp_path
):
    raw = _given(class_folders, picture)
    rows = prepare.prepare(raw, tmp_path / "audited", prepare.options_of(fresh=True))
    assert collections.Counter(row.split for row in rows) == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    summary = _summary(tmp_path / "audited")
    assert summary["given_splits"] and summary["leaks"]["after"]["duplicate_pairs"] == 1
    assert any("--repair" in note for note in summary["notes"])
    (pair,) = _table(tmp_path / "audited" / "duplicates.csv")
    assert (pair["kind"], pair["cross_split_before"]) == ("byte", "1")
    rows = prepare.prepare(
        raw, tmp_path / "repaired", prepare.options_of(fresh=True, repair=True)
    )
    gone = {row.path: row.duplicate_of for row in rows if not row.used}
    assert gone == {"i/0.png": "i/9"}
    after = _summary(tmp_path / "repaired")["leaks"]["after"]
    assert after["duplicate_pairs"] == 0


def test_calibration_is_a_split_given_or_cut(
    class_folders, picture, tmp_path, run_command
):
    pictures = {f"i/{n}.png": picture(n) for n in range(24)}
    raw = class_folders(pictures)
    given = ["train", "validation", "calibration", "test"] * 6
    lines = {
        p: f"{'good' if n % 8 < 4 else 'bad'},{given[n]}"
        for n, p in enumerate(pictures)
    }
    _labels(raw, lines, "label,split")
    rows = prepare.prepare(raw, tmp_path / "given", prepare.options_of(fresh=True))
    found = collections.Counter((row.split, row.label) for row in rows)
    assert found["calibration", "good"] == found["calibration", "defect"] == 3
    argv = (raw, "--out", tmp_path / "cut", "--calibration-share", ".15")
    command = "prepare"
    assert run_command(command, *argv) == 2  # the column names them already
    assert not (tmp_path / "cut").exists()
    (raw / "labels.csv").unlink()
    for n, path in enumerate(pictures):
        place = raw / ("good" if n % 8 < 4 else "bad") / f"{n}.png"
        place.parent.mkdir(exist_ok=True)
        (raw / path).rename(place)
    (raw / "i").rmdir()
    assert run_command(command, *argv) == 0
    counts = _summary(tmp_path / "cut")["splits"]
    assert counts["calibration"]["good"] and counts["calibration"]["defect"]
    report = (tmp_path / "cut" / "report.html").read_text()
    assert '<th colspan="2">calibration</th>' in report


def test_a_person_wins_over_the_machine(class_folders, picture, tmp_path):
    raw = class_folders()
    twice = {"good/twice.png": "good/00.png", "ng/also.png": "good/01.png"}
    for copy, original in twice.items():
        (raw / copy).write_bytes((raw / original).read_bytes())
    rows = prepare.prepare(raw, tmp_path / "machine", prepare.options_of(fresh=True))
    reasons = {row.path: row.dropped_because for row in rows if not row.used}
    assert reasons == {
        "good/twice.png": "duplicate",
        "good/01.png": "label_conflict",
        "ng/also.png": "label_conflict",
    }
    (tmp_path / "decisions.csv").write_text(
        "path,decision,value\ngood/twice,not_a_duplicate,good/00\n"
        "good/01,relabel,defect\ngood/05,drop,\n"
    )
    rows = prepare.prepare(raw, tmp_path / "person", prepare.options_of(fresh=True))
    reasons = {row.path: row.dropped_because for row in rows if not row.used}
    assert reasons == {"good/05.png": "decision", "ng/also.png": "duplicate"}
    applied = _summary(tmp_path / "person")["decisions"]["applied"]
    assert applied == {"drop": 1, "not_a_duplicate": 1, "relabel": 1}


def test_folds_are_written_beside_the_manifest(class_folders, tmp_path):
    raw = class_folders()
    prepare.prepare(raw, tmp_path / "out", prepare.options_of(fresh=True, folds=3))
    table = _table(tmp_path / "out" / "folds.csv")
    assert len(table) == 24 and {row["fold"] for row in table} == set("123")


def test_a_second_run_uses_what_the_first_one_measured(class_folders, tmp_path):
    raw = class_folders()
    outs = [tmp_path / name for name in ("one", "two")]
    for out in outs:
        prepare.prepare(raw, out, prepare.options_of(cache=tmp_path / "cache"))
    one, two = ((out / "manifest.csv").read_bytes() for out in outs)
    assert one == two


_PICTURE = strategies.tuples(
    strategies.integers(0, 11),  # which photograph
    strategies.sampled_from(["same", "png", "brighter", "shifted"]),
    strategies.sampled_from(["good", "bad"]),
    strategies.sampled_from(["lot1", "lot2", "lot3", "lot4", ""]),
)


@pytest.mark.slow
@hypothesis.settings(max_examples=12, deadline=None)
@hypothesis.given(strategies.lists(_PICTURE, min_size=12, max_size=24))
def test_no_verified_pair_crosses_the_splits_of_any_folder(pictures):
    pictures = [
        *pictures,
        (100, "same", "good", "lot5"),
        (101, "same", "bad", "lot6"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        raw, out = pathlib.Path(folder) / "raw", pathlib.Path(folder) / "out"
        raw.mkdir()
        lines = {}
        for i, (photograph, change, label, lot) in enumerate(pictures):
            path = f"{i:02}.{'png' if change == 'png' else 'bmp'}"
            Image.fromarray(_changed(photograph, change)).save(raw / path)
            lines[path] = f"{label},{lot}"
        _labels(raw, lines, "label,group")
        rows = prepare.prepare(raw, out, prepare.options_of(fresh=True, workers=1))
        split_of = {row.path: row.split for row in rows if row.used}
        for pair in _table(out / "duplicates.csv"):
            ends = {split_of.get(pair["path_a"]), split_of.get(pair["path_b"])}
            assert len(ends - {None}) < 2
        assert all(row.dropped_because in ("", *manifest.REASONS) for row in rows)


def _changed(photograph: int, change: str) -> np.ndarray:
    coarse = np.random.default_rng(photograph).integers(30, 200, (12, 12))
    pixels = np.kron(coarse, np.ones((8, 8)))
    if change == "brighter":
        pixels = pixels * 1.15
    if change == "shifted":
        pixels = np.roll(pixels, 2, axis=1)
    return pixels.clip(0, 255).astype(np.uint8)


# --- bad input ---------------------------------------------------------------------

COMMAND = "prepare"


def test_the_command_prints_what_came_of_it(
    class_folders, tmp_path, run_command, capsys
):
    raw, out = class_folders(), tmp_path / "out"
    assert run_command(COMMAND, raw, "--out", out, "--fresh") == 0
    printed = capsys.readouterr().out
    assert "24 images = 24 used + 0 dropped" in printed
    assert str(out / "report.html") in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing", "--out", "out"], "no such folder"),
        (["empty", "--out", "out"], "the folder is empty"),
        (["one", "--out", "out"], "only good images found"),
        (["raw", "--out", "taken"], "exists already"),
        (["raw", "--out", "raw/out"], "lies inside the raw folder"),
        (["raw", "--out", "file/out"], "file/out"),
        (["raw", "--out", "out", "--unboxed", "maybe"], "--unboxed"),
        (["raw", "--out", "out", "--group", "wafer"], "--group wafer"),
        (["raw", "--out", "out", "--folds", "99"], "--folds 99"),
        (["raw", "--out", "out", "--decisions", "none.csv"], "none.csv"),
        (["broken", "--out", "out"], "none of its 2 files is a readable image"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing_behind(
    class_folders, tmp_path, run_command, capsys, monkeypatch, words, message
):
    class_folders()
    for folder in ("empty", "taken", "one/good", "broken/good", "broken/ng"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("file", "one/good/a.png", "broken/good/a.png", "broken/ng/b.png"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run_command(COMMAND, *words, "--fresh") == 2
    captured = capsys.readouterr()
    (line,) = [x for x in captured.err.splitlines() if x.startswith("error: ")]
    assert message in line and "Traceback" not in captured.err
    assert sorted(tmp_path.rglob("*")) == before


def test_cleaning_that_leaves_one_class_is_refused(class_folders, tmp_path):
    raw = class_folders()
    (raw / "annotations.csv").write_text("path,x1,y1,x2,y2\n")
    lines = {f"ng/{i:02}.png": "defect,,,," for i in range(12)}
    lines |= {f"good/{i:02}.png": "good,,,," for i in range(12)}
    _labels(raw, lines, "label,x1,y1,x2,y2")
    with pytest.raises(errors.BadInput, match="no defect picture is left"):
        prepare.prepare(raw, tmp_path / "out", prepare.options_of(fresh=True))
    prepare.prepare(
        raw, tmp_path / "out", prepare.options_of(fresh=True, unboxed="keep")
    )


def test_rows_of_decisions_that_name_nothing_are_told(
    class_folders, tmp_path, run_command, capsys
):
    raw = class_folders()
    lines = "good/0O.png,drop,\nng/03.png,drop,\n"  # the letter O
    (raw / "decisions.csv").write_text(f"path,decision,value\n{lines}")
    out = tmp_path / "out"
    assert run_command("prepare", raw, "--out", out) == 0
    said = "decisions: 1 row names no picture that is there: good/0O.png"
    assert f"warning: {said}" in capsys.readouterr().out
    summary = _summary(out)
    assert summary["decisions"]["unmatched"] == ["good/0O.png"]
    assert summary["decisions"]["applied"] == {"drop": 1}
    assert said in (out / "report.html").read_text("utf-8")
