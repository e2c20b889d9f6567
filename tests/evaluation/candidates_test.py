"""A run folder, a SavedModel and a table of scores give the same report."""

import csv
import dataclasses
import json
import types

import cv2
import numpy as np
import pytest

from nexperia_tf import configs, errors, files, predictions
from nexperia_tf.data import manifest
from nexperia_tf.data.records import reading, store
from nexperia_tf.data.source import DataSource
from nexperia_tf.evaluation import candidates, slices
from nexperia_tf.evaluation.report import plots
from nexperia_tf.evaluation.subjects import Baseline, Subject
from nexperia_tf.models import classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export

BACKBONE, SIZE = "resnext26_32x4d", 64
pytestmark = pytest.mark.usefixtures("small_backbone")


def draw(folder):
    """Form `folder`: 24 grey textures a split, half of them with a boxed blot."""
    random = np.random.default_rng(0)
    folder.mkdir()
    header = ["path", "label", "group", "defect_type", "split", "x1", "y1", "x2", "y2"]
    rows = []
    for split in ("train", "validation", "test"):
        for i in range(24):
            # Each validation device is its own group, so that few can set a threshold.
            group = f"{split[:2]}{i if split == 'validation' else i % 4}"
            pixels = random.integers(0, 120, (12, 14), dtype=np.uint8)
            pixels = cv2.resize(pixels, (56, 48))
            row = [f"{split}{i}.png", "good", group, "", split]
            if i % 2:
                x, y, side = (int(n) for n in random.integers((0, 0, 4), (40, 32, 16)))
                pixels[y : y + side, x : x + side] = 250
                row[1:2] = ["defect"]
                row[3:] = ["blot" if i % 4 == 1 else "stain", split]
                row += [x, y, x + side, y + side]
            cv2.imwrite(str(folder / row[0]), pixels)
            rows.append(row + [""] * (len(header) - len(row)))
    files.write_csv(folder / "labels.csv", header, rows)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, small_backbone):
    """A run folder as nexperia train leaves it, of an untrained model."""
    base = tmp_path_factory.mktemp("runs")
    draw(base / "raw")
    config = configs.of(
        backbone=BACKBONE,
        data=str(base / "raw"),
        data_dir=str(base / "data"),
        image_size=SIZE,
    )
    dataset = store.build(config.data)
    folder = base / "untrained"
    folder.mkdir()
    described = configs.to_json(config, {"channels": 1})
    files.write_json(folder / run_folders.CONFIG, described)
    calibration = run_folders.Calibration(temperature=1.3, threshold=0.4)
    run_folders.write_calibration(folder / run_folders.CALIBRATION, calibration)
    model = classifier.build(BACKBONE, image_size=SIZE, channels=1)
    model.save(folder / run_folders.MODEL)
    (folder / "predictions").mkdir()
    for split in ("validation", "test"):
        logits = run_folders.logits_of(model, dataset, split)
        scored = run_folders.table(dataset, split, calibration.scores(logits))
        predictions.write(folder / "predictions" / f"{split}.csv", scored)
    files.write_csv(
        folder / run_folders.HISTORY, ["epoch"], [[1]]
    )  # no epoch was chosen
    files.write_manifest(folder)
    return folder


@pytest.fixture(autouse=True)
def no_drawings(monkeypatch):
    for name in ("roc", "histogram", "reliability", "forest"):
        monkeypatch.setattr(plots, name, lambda *_, **__: "<svg></svg>")


def figures_in(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def reported(run_folder, run_command, tmp_path_factory):
    """The report of the run, and what was stored with it."""
    out = tmp_path_factory.mktemp("report") / "r"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("roc", "histogram", "reliability"):
            patch.setattr(plots, name, lambda *_, **__: "<svg></svg>")
        assert (
            run_command(
                "evaluate",
                run_folder,
                *("--max-escape", ".3", "--max-overkill", ".3"),
                *("--out", out),
            )
            == 0
        )
    return out


@pytest.fixture(scope="module")
def served(run_folder, reported):
    return export.load(run_folder)


@pytest.mark.slow
def test_a_run_is_reported_with_pictures_maps_and_slices(run_folder, reported):
    found = figures_in(reported)
    table = predictions.read(run_folder / "predictions" / "test.csv")
    assert found["n"] == len(table)
    assert found["operating_point"]["calibrated_on"] == "untrained validation"
    # What holds after the command, which has stored the guaranteed threshold.
    now, point = found["in_force"], found["operating_point"]
    assert now["guaranteed"] and now["origin"] == "guaranteed"
    assert now["threshold"] == pytest.approx(point["threshold"], abs=1.1e-5)
    assert now["temperature"] == 1.3 and now["words"] in (
        reported / "report.html"
    ).read_text().replace("\N{NO-BREAK SPACE}", " ")
    sliced = {part["by"] for part in found["slices"]}
    assert {"defect_type", "box_size", "brightness"} <= sliced
    # No group of the test split was trained on.
    assert found["generalisation"]["n_seen"] == 0
    played = found["localisation"]
    assert played["stage"] == "stem"
    assert played["model"]["n"] == played["random"]["n"] == 12
    # Every other device is a defect, so these come from two of the four groups.
    assert played["model"]["groups"] == 2 and played["model"]["pointing"]["low"] is None
    text = (reported / "report.html").read_text()
    assert "No limits: 2 groups are too few to show how groups differ." in text
    assert text.count("data:image/jpeg;base64") == 2 * 24  # photograph and map
    assert "<rect" in text


def test_a_guaranteed_threshold_is_stored_and_exported(run_folder, reported, served):
    threshold = figures_in(reported)["operating_point"]["threshold"]
    stored = run_folders.load(run_folder).calibration
    assert stored.temperature == 1.3
    assert stored.origin == "guaranteed" and "at most 30 % escapes" in stored.words
    assert export.load(run_folder).calibration == stored
    assert threshold - 1.1e-5 < stored.threshold < threshold
    band = figures_in(reported)["band"]
    assert stored.reject_from == pytest.approx(band["reject_from"], abs=3e-5)
    files.verify_manifest(run_folder)
    assert served.facts["threshold"] == stored.threshold
    # The calibration defect that set the threshold is rejected by the served label.
    table = predictions.read(run_folder / "predictions" / "validation.csv")
    name = table.image_id[np.flatnonzero(table.score == threshold)[0]]
    dataset = run_folders.load(run_folder).dataset
    example = reading.examples(dataset, "validation", [name])[name]
    assert served.score_bytes([example.image])[1] == ["defect"]


def test_a_table_with_data_knows_its_pictures(run_folder):
    run = run_folders.load(run_folder)
    table = run_folder / "predictions" / "test.csv"
    opened = candidates.load(table)
    assert opened.subject.name == "untrained"
    opened = dataclasses.replace(opened, dataset=run.dataset)
    opened, note = candidates.with_records(opened)
    assert not note
    assert set(opened.subject.columns) == {"box_size", "brightness"}
    other = dataclasses.replace(
        opened.subject.scored, image_id=[f"x{i}" for i in range(len(table_rows(table)))]
    )
    stranger = dataclasses.replace(opened, subject=Subject(name="x", scored=other))
    _, note = candidates.with_records(stranger)
    assert note.startswith("Pictures are left out")


def table_rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_a_saved_model_scores_the_data_it_is_given(run_folder, served, monkeypatch):
    saved = run_folder / "saved_model"
    run = run_folders.load(run_folder)
    with pytest.raises(errors.BadInput, match="name the dataset with --data"):
        candidates.load(saved)
    dataset = run.dataset
    monkeypatch.setattr(store, "build", lambda data, **_: dataset)
    monkeypatch.setattr(export, "load", lambda folder, **_: served)
    opened = candidates.load(saved, named=DataSource())
    expected = run.predictions("test")
    assert opened.subject.scored.image_id.tolist() == expected.image_id.tolist()
    np.testing.assert_allclose(
        opened.subject.scored.score, expected.score, rtol=0, atol=1e-5
    )
    assert len(opened.subject.calibration) == len(run.predictions("validation"))
    assert opened.subject.name == "untrained"


def test_a_saved_model_says_whose_devices_set_its_threshold(
    run_folder, served, run_command, monkeypatch, tmp_path, capsys
):
    dataset = run_folders.load(run_folder).dataset
    monkeypatch.setattr(store, "build", lambda data, **_: dataset)
    monkeypatch.setattr(export, "load", lambda folder, **_: served)
    argv = (run_folder / "saved_model", "--data", "sample", "--no-heatmaps", "--out")
    assert run_command("evaluate", *argv, tmp_path / "test") == 0
    of = f"{dataset.name} validation, each its own"
    said = f"Threshold in force: set by 12 defects of {of}"
    out = capsys.readouterr().out
    assert said in out and "own escapes prove nothing" not in out
    one = ("--split", "validation")
    assert run_command("evaluate", *argv, tmp_path / "own", *one) == 0
    out = capsys.readouterr().out
    assert said in out
    assert "These are the devices judged here: their own escapes prove nothing." in out


def test_lost_raw_data_costs_the_pictures_not_the_report(
    run_folder, run_command, tmp_path, monkeypatch
):
    def gone(*_, **__):
        raise errors.BadInput("raw: no such folder")

    monkeypatch.setattr(store, "build", gone)
    assert run_command("evaluate", run_folder, "--out", tmp_path / "r") == 0
    found = figures_in(tmp_path / "r")
    assert found["notes"] == [
        "Pictures and image slices are left out: raw: no such folder"
    ]
    assert found["localisation"] is None


def test_unlabelled_pictures_without_a_score_are_named_with_the_reason(tmp_path):
    rows = [
        manifest.Row("test/a", "test/a.bmp", split="unlabelled"),
        manifest.Row("test/b", "test/b.bmp", dropped_because="unreadable"),
        manifest.Row("c", "c.bmp", label_given="good", dropped_because="duplicate"),
    ]
    manifest.write(tmp_path / "manifest.csv", rows)
    dataset = types.SimpleNamespace(prepared=tmp_path)
    opened = candidates.Candidate(subject=None, dataset=dataset)
    assert candidates.unscored(opened) == {"test/b": "unreadable"}


def test_other_labels_judge_the_baseline_too():
    names = ["a", "b", "c", "d"]
    ours, simple = (
        predictions.Predictions(names, [1, 0, 1, 0], score)
        for score in ([0.9, 0.1, 0.8, 0.7], [0.4, 0.3, 0.2, 0.1])
    )
    known = Baseline(simple, model="trees", alone={"darkness": 0.7})
    judged = candidates.Candidate(Subject("run", ours, baseline=known))
    verdicts = {name: (int(name in "ad"), "") for name in names}
    found = candidates.relabelled(judged, "truth.csv", verdicts).subject.baseline
    assert found.scored.label.tolist() == [1, 0, 0, 1]
    assert not found.alone  # they were counted by the labels as given


def test_box_sizes_are_the_largest_boxs_side():
    row = manifest.Row("a", "a.bmp", boxes=[[0, 0, 4, 4], [0, 0, 9, 4]], brightness=50)
    rows = [row, *(manifest.Row(str(i), "", brightness=i) for i in range(7))]
    rows += [manifest.Row(f"b{i}", "", boxes=[[0, 0, i, i]]) for i in range(1, 8)]
    columns = slices.image_columns(rows)
    assert columns["box_size"][0].startswith("large")
    assert columns["box_size"][1] == ""
    assert columns["brightness"][0].startswith("largest")
