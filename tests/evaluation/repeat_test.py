"""`nexperia repeat` on folders of pictures, with a real SavedModel."""

import csv

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.evaluation import repeatability

ALL = 1 + len(repeatability.CHANGES)


@pytest.fixture(scope="module")
def model(publish_tiny, tmp_path_factory):
    return publish_tiny(tmp_path_factory.mktemp("repeat") / "model")


@pytest.fixture
def folder(tmp_path):
    """Two good pictures, two defects of one kind, one file that is no picture."""
    rng = np.random.default_rng(0)
    for name in ("OK/a", "OK/b", "scratch/c", "scratch/d"):
        path = tmp_path / "parts" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 36), np.uint8)).save(path)
    (tmp_path / "parts/OK/broken.png").write_bytes(b"no picture")
    return tmp_path / "parts"


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_change_and_counts_by_kind(folder, model, run_command, capsys):
    out = folder.parent / "repeat.csv"
    assert run_command("repeat", model, folder, "--out", out) == 0
    rows = rows_of(out)
    assert list(rows[0]) == ["path", "kind", "change", "score", "label", "flipped"]
    assert len(rows) == 4 * ALL
    assert {row["change"] for row in rows} == {"as it is", *repeatability.CHANGES}
    assert {row["path"]: row["kind"] for row in rows} == {
        "OK/a.png": "good",
        "OK/b.png": "good",
        "scratch/c.png": "scratch",
        "scratch/d.png": "scratch",
    }
    first = {row["path"]: row["label"] for row in rows if row["change"] == "as it is"}
    for row in rows:
        assert row["flipped"] == str(int(row["label"] != first[row["path"]]))
        assert row["label"] == ("defect" if float(row["score"]) >= 0.5 else "good")
    shown = capsys.readouterr().out
    assert "good: " in shown and "scratch: " in shown
    assert "not scored: OK/broken.png" in shown
    assert (
        f"of 4 verdicts at threshold 0.5 flip under at least one of {ALL - 1}" in shown
    )


def test_pictures_as_they_are_score_as_predict_scores_them(folder, model, run_command):
    table, scores = folder.parent / "repeat.csv", folder.parent / "scores.csv"
    run_command("repeat", model, folder, "--out", table)
    run_command("predict", model, folder, "--out", scores)
    expected = {
        row["path"]: float(row["score"]) for row in rows_of(scores) if row["score"]
    }
    found = {
        row["path"]: float(row["score"])
        for row in rows_of(table)
        if row["change"] == "as it is"
    }
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_folder_without_classes_a_threshold_and_a_limit(
    folder, model, run_command, capsys
):
    out = folder.parent / "repeat.csv"
    words = ("--threshold", ".999999", "--limit", 2, "--out", out)
    assert run_command("repeat", model, folder / "scratch", *words) == 0
    rows = rows_of(out)
    assert len(rows) == 2 * ALL and {row["kind"] for row in rows} == {""}
    assert "verdicts at threshold 1 flip" in capsys.readouterr().out


def test_bad_input_is_one_line_and_nothing_is_replaced(
    folder, model, run_command, capsys
):
    out = folder.parent / "repeat.csv"
    out.write_text("mine")
    broken = folder.parent / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no picture")
    for words, said in (
        ((model, folder, "--out", out), "exists already"),
        ((model, broken), "no picture could be read; a.png"),
        ((model, folder, "--good", "fine"), "fine"),
        ((folder, folder), "holds no SavedModel"),
        ((model, folder / "none"), "no such folder"),
    ):
        assert run_command("repeat", *words) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len([line for line in lines if "error" in line]) == 1
        assert said in lines[-1]
    assert out.read_text() == "mine"
    assert run_command("repeat", model, folder, "--out", out, "--force") == 0
    assert len(rows_of(out)) == 4 * ALL
