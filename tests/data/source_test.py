"""What names pictures is one thing, and every command that names them heeds all of it.

The folder's good class is not called good, and a column says what belongs together.
"""

import importlib
import json

import cv2
import numpy as np
import pytest

from nexperia_tf import cli, command, errors, files
from nexperia_tf.data import manifest
from nexperia_tf.data.source import NOTHING, DataSource
from nexperia_tf.evaluation.report import plots
from nexperia_tf.models import backbones
from nexperia_tf.study import features, networks

FLAGS = {"data", "data_dir", "unboxed", "good", "group", "depth_range", "max_pixels"}
NAMING_DATA = ("audit", "baseline", "train", "evaluate", "features", "study", "promote")
TRAYS = 12


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Grey noise, every third picture worn; the trays go across the lots."""
    place = tmp_path_factory.mktemp("source")
    (place / "raw").mkdir()
    noise, lines = np.random.default_rng(0), []
    for i in range(6 * TRAYS):
        name, worn = f"{i:02}.png", i % 3 == 0
        pixels = noise.integers(0, 200, (24, 24)).astype(np.uint8) + 55 * worn
        cv2.imwrite(str(place / "raw" / name), pixels)
        box = (2, 2, 9, 9) if worn and i % 2 else ("",) * 4
        kind = "worn" if worn else "fine"
        lines.append((name, kind, f"lot{i % 7}", f"tray{i // 6}", *box))
    header = ("path", "label", "lot", "tray", "x1", "y1", "x2", "y2")
    files.write_csv(place / "raw" / "labels.csv", header, lines)
    return place


@pytest.fixture
def words(place, tmp_path):
    named = ("--data", place / "raw", "--data-dir", tmp_path / "records")
    return (*named, "--good", "fine", "--group", "tray", "--unboxed", "keep")


@pytest.fixture
def rows(tmp_path):
    """The manifest that a command has made, once it has read what it was told to."""

    def read() -> list[manifest.Row]:
        (found,) = (tmp_path / "records").glob("*/prepared/manifest.csv")
        rows = manifest.read(found)
        assert {row.group for row in rows} == {f"tray{i}" for i in range(TRAYS)}
        assert sum(row.label == "good" for row in rows if row.used) == 4 * TRAYS
        # Half of the worn ones have no box; they are kept all the same.
        assert sum(row.label == "defect" for row in rows if row.used) == 2 * TRAYS
        return rows

    return read


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_that_names_data_takes_all_that_belongs_to_it(name):
    module = importlib.import_module(cli.COMMANDS[name][0])
    taken = FLAGS & set(command.flags(module.Arguments))
    if "data" in taken:
        assert taken == FLAGS
    assert ("data" in taken) == (name in NAMING_DATA)


def test_evaluate_reads_the_pictures_of_a_saved_model_as_told(
    publish_tiny, words, rows, run_command, tmp_path, monkeypatch, capsys
):
    for name in ("roc", "histogram", "reliability", "forest"):
        monkeypatch.setattr(plots, name, lambda *_, **__: "<svg></svg>")
    publish_tiny(tmp_path / "model")
    asked = ("evaluate", tmp_path / "model", "--no-heatmaps", "--out", tmp_path / "r")
    assert run_command(*asked, *words[:4]) == 2
    assert "say with --good NAME which" in capsys.readouterr().err
    assert run_command(*asked, *words) == 0
    judged = [row for row in rows() if row.used and row.split == "test"]
    found = json.loads((tmp_path / "r" / "report.json").read_text())
    assert found["n"] == len(judged)
    assert found["n_defect"] == sum(row.label == "defect" for row in judged)
    assert found["auc"]["groups"] == len({row.group for row in judged})


def test_features_reads_them_as_told(words, rows, run_command, tmp_path, monkeypatch):
    shape = backbones.Shape((1,), planes=(4,), stem=4)
    monkeypatch.setitem(backbones.BACKBONES, "tiny", shape)
    network = ("--weights", "none", "--backbone", "tiny", "--image-size", "32")
    out = tmp_path / "features"
    assert run_command("features", *network, *words, "--out", out) == 0
    used = {row.image_id: row for row in rows() if row.used}
    for split in ("train", "validation", "test"):
        found = features.read(out / f"{split}.npz")
        for name, label, group in zip(
            found.image_id, found.label, found.columns["group"]
        ):
            row = used.pop(name)
            assert (row.split, row.group) == (split, group)
            assert label == (row.label == "defect")
    assert not used


def test_all_runs_of_a_study_read_them_as_told(
    words, rows, run_command, tmp_path, monkeypatch
):
    planned = []

    def train(found, out, dataset):
        planned.append(found)
        raise errors.BadInput("enough of it")

    monkeypatch.setattr(networks, "train", train)
    assert run_command("study", *words, "--out", tmp_path / "study") == 2
    rows()
    own = {"good": "fine", "group": "tray", "unboxed": "keep"}
    for step in planned[0].steps:
        told = vars(step.config.data)
        drawn = step.name == networks.plan.PRETRAINED
        expected = vars(DataSource()) if drawn else own
        assert {name: told[name] for name in own} == {n: expected[n] for n in own}
        assert told["data_dir"] == str(tmp_path / "records")
    plan = json.loads((tmp_path / "study" / "plan.json").read_text())
    assert {name: plan[name] for name in own} == own


def test_what_a_table_alone_would_ignore_is_refused(tmp_path, run_command, capsys):
    (tmp_path / "t.csv").write_text("image_id,label,score\na,1,.5\nb,0,.4\n")
    assert run_command("evaluate", tmp_path / "t.csv", "--good", "fine") == 2
    shown = capsys.readouterr().err
    assert "--good fine: has no effect without --data; leave it out" in shown


def test_what_is_named_wins_over_what_is_known():
    known = DataSource("photos", "records", "drop", "fine", "tray")
    assert NOTHING.over(known) == known
    assert DataSource("b", "", good="ok").over(known) == DataSource(
        "b", "records", "drop", "ok", "tray"
    )
