"""Trainings on folds, from the command line, and the audit of them."""

import csv

import pytest

from nexperia_tf import files
from nexperia_tf.runs import run_folders

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory, run_command, small_backbone, wrongly_labelled):
    folder = tmp_path_factory.mktemp("folds")
    raw = wrongly_labelled(folder / "raw", boxed=True)
    words = ("--data", raw, "--data-dir", folder / "data", "--image-size", 32)
    words += ("--backbone", small_backbone, "--recipe", "plain", "--weights", "none")
    words += ("--epochs", 2, "--batch-size", 8, "--drawn", 0.5, "--drawn-map", 1)
    for number in (1, 2):
        fold = ("--fold", f"{number}/2", "--out", folder / f"fold-{number}")
        assert run_command("train", *words, *fold) == 0
    return folder / "fold-1", folder / "fold-2"


def test_each_run_has_held_out_the_other_ones_pictures(runs):
    tables = [run_folders.load(run).predictions("test") for run in runs]
    first, second = (set(table.image_id) for table in tables)
    assert not first & second and len(first | second) == 70
    assert run_folders.load(runs[0]).config.data.fold == "1/2"
    dataset = run_folders.load(runs[1]).dataset
    assert "folds" in dataset.data_dir.parts


def test_a_run_of_a_fold_is_resumed_as_any_other(runs, run_command, capsys):
    assert run_command("train", "--resume", "--out", runs[0]) == 0
    assert "complete already" in capsys.readouterr().out


def test_the_audit_joins_them_and_shows_their_maps(runs, run_command, tmp_path):
    assert run_command("audit", *runs, "--out", tmp_path / "out") == 0
    facts = files.read_json(tmp_path / "out/audit.json")
    assert facts["method"] == "runs" and facts["pictures"] == 70
    assert facts["runs"] == ["fold-1", "fold-2"] and facts["not_held_out"] == 0
    page = (tmp_path / "out/review.html").read_text()
    assert '"heatmap": "data:image/jpeg;base64,' in page


def test_a_fold_that_is_missing_or_named_twice_is_said(
    runs, run_command, tmp_path, capsys
):
    words = ("--method", "runs", "--out", tmp_path / "out")
    assert run_command("audit", runs[0], *words) == 0
    facts = files.read_json(tmp_path / "out/audit.json")
    left_out = f"{facts['not_held_out']} of 70 labelled pictures"
    assert facts["not_held_out"] > 0 and left_out in capsys.readouterr().out
    assert run_command("audit", runs[0], runs[0], "--out", tmp_path / "twice") == 2
    assert "fold-1: is named twice" in capsys.readouterr().err


def test_features_of_one_run_are_doubted_and_said_so(
    runs, run_command, tmp_path, capsys
):
    assert run_command("audit", runs[0], "--out", tmp_path / "out") == 0
    assert "note: The network has learned" in capsys.readouterr().out
    facts = files.read_json(tmp_path / "out/audit.json")
    assert facts["method"] == "features" and facts["folds"] == 5
    with open(tmp_path / "out/suspects.csv", newline="") as file:
        kinds = {row["kind"] for row in csv.DictReader(file)}
    # Two epochs show a network no place: boxes that its map misses are there.
    assert {"suspect", "box"} <= kinds


def test_a_fold_that_is_none_is_refused(run_command, capsys):
    for fold in ("3/2", "0/2", "1/1", "half"):
        assert run_command("train", "--fold", fold) == 2
        assert f"--fold {fold}" in capsys.readouterr().err
