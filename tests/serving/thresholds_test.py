"""One threshold is in force, and every command that uses it says the same of it."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, files, predictions
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import kept_splits
from nexperia_tf.evaluation.report import plots
from nexperia_tf.models import backbones
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export, thresholds

DEFAULT = "threshold 0.5 (default, not guaranteed)"
SHAPE = backbones.Shape((1,), planes=(4,), stem=4)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Noise, of which the defective half is a little brighter."""
    raw = tmp_path_factory.mktemp("raw") / "raw"
    noise = np.random.default_rng(0)
    for name, low in (("good", 0), ("defect", 6)):
        (raw / name).mkdir(parents=True)
        for i in range(60):
            pixels = noise.integers(low, 180 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(raw / name / f"{i}.png")
    return raw


@pytest.fixture(scope="module")
def trained(raw, run_command, tmp_path_factory):
    """A run that stopped early, and what train printed; then what --resume did."""
    out = tmp_path_factory.mktemp("runs") / "a"
    argv = ["--backbone", "tiny", "--data", raw, "--data-dir", out.parent / "data"]
    argv += ["--image-size", 32, "--batch-size", 8, "--epochs", 9, "--patience", 1]
    argv += ["--recipe", "plain", "--learning-rate", "1e-9", "--out", out]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "tiny", SHAPE)
        assert run_command("train", *argv) == 0
    return out


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy, whose threshold may be changed."""
    for name in ("roc", "histogram", "reliability"):
        monkeypatch.setattr(plots, name, lambda *_, **__: "<svg></svg>")
    shutil.copytree(trained, tmp_path / "a")
    return tmp_path / "a"


@pytest.fixture
def evaluate(run, run_command, tmp_path, capsys):
    """Evaluates the run; returns exit code, what it printed, report.json."""

    def evaluated(*argv, of=run):
        out = tmp_path / f"report{len(list(tmp_path.iterdir()))}"
        capsys.readouterr()
        argv = (of, "--no-heatmaps", *argv, "--out", out)
        code = run_command("evaluate", *argv)
        path = out / "report.json"
        found = json.loads(path.read_text()) if path.is_file() else {}
        return code, capsys.readouterr(), found

    return evaluated


@pytest.fixture
def table(run_command, tmp_path, raw, capsys):
    """Runs predict; returns what it printed and the rows."""

    def predicted(model, *argv):
        out = tmp_path / "scores.csv"
        capsys.readouterr()
        argv = (model, raw, "--out", out, "--force", *argv)
        assert run_command("predict", *argv) == 0
        with open(out) as file:
            return capsys.readouterr().out, list(csv.DictReader(file))

    return predicted


def one_line(shown) -> str:
    (line,) = shown.err.strip().splitlines()
    assert line.startswith("error: ")
    return line


def test_train_says_why_it_stopped_and_what_is_in_force(
    trained, run_command, capsys, monkeypatch
):
    # Also where --resume finds the run complete.
    monkeypatch.setitem(backbones.BACKBONES, "tiny", SHAPE)
    assert run_command("train", "--resume", "--out", trained) == 0
    shown = capsys.readouterr().out
    epochs = json.loads((trained / run_folders.METRICS).read_text())["epochs"]
    assert epochs["trained"] == epochs["best"] + 1 < 9 == epochs["planned"]
    stopped = f"Stopped after epoch {epochs['trained']} of 9: nothing improved for 1 "
    assert f"{stopped}epoch (--patience 1)" in shown
    assert f"best of {epochs['trained']} epochs" in shown
    assert f"In force: {DEFAULT}" in shown


def test_the_best_validation_auc_is_called_the_best_of_its_epochs(trained, evaluate):
    metrics = json.loads((trained / run_folders.METRICS).read_text())
    words = metrics["validation"]["epoch"]
    assert words == f"best of {metrics['epochs']['trained']} epochs"
    assert "epoch" not in metrics["test"]
    _, shown, found = evaluate("--split", "validation")
    assert f"their AUC is the {words} and reads high" in shown.out
    assert any(words in note for note in found["notes"])
    assert "reads high" not in evaluate("--split", "test")[1].out


def test_evaluate_tells_the_threshold_in_force_from_the_proposed_one(run, evaluate):
    _, shown, found = evaluate()
    now, point = found["in_force"], found["operating_point"]
    scored = predictions.read(run / "predictions" / "test.csv")
    escaped = int(np.sum(scored.score[scored.label == 1] < 0.5))
    overkill = int(np.sum(scored.score[scored.label == 0] >= 0.5))
    assert now["escape_rate"]["count"] == escaped
    assert now["overkill_rate"]["count"] == overkill
    line = f"In force: {DEFAULT}; {escaped} of {now['escape_rate']['of']} defects"
    assert line in shown.out
    asked = re.search(
        r"Proposed: ([.\d]+), not guaranteed, stored by: nexperia evaluate (\S+) "
        r"--set-threshold ([.\d]+)\n",
        shown.out,
    )
    assert float(asked[1]) == pytest.approx(point["threshold"], rel=1e-3)
    assert asked[2] == str(run)
    # The command that is printed stores it.
    code, shown, found = evaluate("--set-threshold", asked[3])
    assert code == 0 and found["in_force"]["origin"] == "set"
    assert found["in_force"]["threshold"] == float(asked[3])


def test_predict_and_export_say_what_evaluate_says(run, table, run_command, capsys):
    shown, rows = table(run)
    assert f"In force: {DEFAULT}" in shown
    assert {row["threshold"] for row in rows} == {"0.5"}
    assert run_command("export", "--run", run) == 0
    assert f"In force: {DEFAULT}" in capsys.readouterr().out


def test_a_threshold_that_was_set_is_in_force_everywhere(run, evaluate, table):
    code, shown, found = evaluate("--set-threshold", ".3")
    words = "threshold 0.3 (set by hand, not guaranteed)"
    assert code == 0 and words in shown.out
    assert found["in_force"]["words"] == words and not found["in_force"]["guaranteed"]
    in_force = run_folders.load(run).calibration
    assert (in_force.threshold, in_force.origin) == (0.3, "set")
    assert export.find(run).name == "2" and export.load(run).calibration == in_force
    files.verify_manifest(run)
    said, rows = table(run)
    assert f"In force: {words}" in said
    assert {row["threshold"] for row in rows} == {"0.3"}
    verdicts = ["defect" if float(row["score"]) >= 0.3 else "good" for row in rows]
    assert [row["label"] for row in rows] == verdicts
    # And so does whoever serves it.
    assert evaluate()[2]["in_force"]["words"] == words


@pytest.mark.parametrize("tpr", ["1", ".8"])
def test_a_catch_rate_gives_the_highest_threshold_that_has_it(run, evaluate, tpr):
    code, shown, _ = evaluate("--set-threshold", f"tpr={tpr}")
    assert code == 0
    in_force = run_folders.load(run).calibration
    validation = predictions.read(run / "predictions" / "validation.csv")
    defects = validation.score[validation.label == 1]
    caught = int(np.sum(defects >= in_force.threshold))
    assert caught / len(defects) >= float(tpr)
    next_higher = defects[defects > in_force.threshold + 1e-5].min()
    assert np.mean(defects > next_higher) < float(tpr)
    assert in_force.origin == "target"
    words = f"(tpr={float(tpr):g} on a validation: {caught} of {len(defects)} defects, "
    assert f"{words}not guaranteed)" in shown.out
    assert export.load(run).calibration == in_force


def test_a_catch_rate_on_devices_that_were_trained_on_says_so(run, evaluate, tmp_path):
    rows = [row for row in kept_splits.rows_of(run) if row.split == "train"]
    names, label = [row.image_id for row in rows], [i % 2 for i in range(len(rows))]
    table = predictions.Predictions(names, label, np.linspace(0.1, 0.9, len(rows)))
    predictions.write(tmp_path / "learned.csv", table)
    given = ("--calibration", tmp_path / "learned.csv", "--set-threshold", "tpr=.95")
    code, shown, _ = evaluate(*given)
    said = f"{len(rows)} of the calibration devices, or their twins, were trained on"
    assert code == 0
    assert f"{said}, not guaranteed" in shown.out
    assert f"{said}, so they can certify nothing" in shown.out
    assert run_folders.load(run).calibration.basis.endswith(said)


def test_one_device_that_nobody_knows_does_not_hide_those_trained_on(
    run, evaluate, tmp_path
):
    rows = [row for row in kept_splits.rows_of(run) if row.split == "train"]
    names = [*(row.image_id for row in rows), "elsewhere"]
    label = [i % 2 for i in range(len(names))]
    table = predictions.Predictions(names, label, np.linspace(0.1, 0.9, len(names)))
    predictions.write(tmp_path / "learned.csv", table)
    given = ("--calibration", tmp_path / "learned.csv", "--max-escape", ".2")
    code, shown, found = evaluate(*given)
    said = (
        f"{len(rows)} of the calibration devices, or their twins, were trained on; "
        "whether 1 of the calibration devices was trained on is not known"
    )
    assert code == 2 and said in one_line(shown)
    assert found["operating_point"]["seen_in_training"] == len(rows)
    assert found["operating_point"]["unlisted"] == 1


def test_a_table_can_have_a_threshold_of_its_own(run, table):
    shown, rows = table(run, "--threshold", ".6")
    assert "In this table: threshold 0.6 (for this table, not guaranteed)" in shown
    assert f"the model's own: {DEFAULT}" in shown
    verdicts = ["defect" if float(row["score"]) >= 0.6 else "good" for row in rows]
    assert [row["label"] for row in rows] == verdicts
    assert {row["threshold"] for row in rows} == {"0.6"}
    assert run_folders.load(run).calibration.threshold == 0.5
    scores = sorted(float(row["score"]) for row in rows)
    # At a score that comes up, as the SavedModel itself would decide.
    _, rows = table(run, "--threshold", repr(scores[50]))
    assert sum(row["label"] == "defect" for row in rows) == len(rows) - 50


@pytest.mark.parametrize("asked", ["0", "1", "-.2", "nan", "tpr=1.1", "tpr=", "high"])
def test_nonsense_is_refused_in_one_line(run, evaluate, run_command, capsys, asked):
    before = (run / run_folders.CALIBRATION).read_bytes()
    code, shown, _ = evaluate("--set-threshold", asked)
    assert code == 2 and f"--set-threshold {asked}: a score between" in one_line(shown)
    assert (run / run_folders.CALIBRATION).read_bytes() == before
    argv = ("--threshold", asked, "--out", run.parent / "x.csv")
    assert run_command("predict", run, run, *argv) == 2
    assert "error: " in capsys.readouterr().err


def test_records_that_lie_elsewhere_are_found_where_one_says(
    run, trained, raw, evaluate, tmp_path
):
    config = json.loads((run / run_folders.CONFIG).read_text())
    moved = {"data": str(run / "gone"), "data_dir": str(run.parent / "nowhere")}
    files.write_json(run / run_folders.CONFIG, config | moved)
    files.write_manifest(run)
    _, _, found = evaluate()
    (note,) = found["notes"]
    assert note.startswith("Pictures and image slices are left out: ")
    code, _, found = evaluate("--data-dir", trained.parent / "data")
    assert code == 0 and found["notes"] == []
    assert "brightness" in {part["by"] for part in found["slices"]}
    # Where records are gone and pictures have moved, new ones keep the run's splits.
    shutil.copytree(raw, tmp_path / "moved")
    named = ("--data", tmp_path / "moved", "--data-dir", tmp_path / "records")
    code, _, found = evaluate(*named)
    assert code == 0 and found["notes"] == []
    (made,) = (tmp_path / "records").glob("moved-*/prepared/manifest.csv")
    splits = {row.path: row.split for row in manifest.read(made)}
    before = manifest.read(run / run_folders.PICTURES)
    assert splits == {row.path: row.split for row in before}


def test_golden_devices_and_slices_are_judged_at_the_threshold_in_force(
    run, evaluate, tmp_path
):
    table = predictions.read(run / "predictions" / "test.csv")
    lowest = int(np.argmin(table.score))
    (tmp_path / "golden.txt").write_text(f"{table.image_id[lowest]}\n")
    below, above = table.score[lowest] / 2, (table.score[lowest] + 1) / 2
    golden = ("--golden", tmp_path / "golden.txt")
    for threshold, code in ((above, 1), (below, 0)):
        found = evaluate("--set-threshold", f"{threshold:.6g}", *golden)
        assert found[0] == code
        report = found[2]
        assert report["judged_at"]["in_force"]
        assert report["judged_at"]["threshold"] == pytest.approx(threshold, rel=1e-5)
        assert len(report["golden"]["escaped"]) == code
        at = f"threshold in force ({threshold:.4g})"
        assert (f"lies below the {at}" in found[1].out) == bool(code)
        sliced = [s for s in report["slices"] if s["by"] == "brightness"]
        escaped = sum(
            (table.label == 1) & (table.score < report["judged_at"]["threshold"])
        )
        assert sum(part["escapes"] for part in sliced) == escaped


def test_an_only_epoch_is_no_best_of_several():
    for monitor in ("auc", "partial_auc", "last"):
        kept = run_folders.KeptEpoch(1, monitor)
        assert str(kept) == "only epoch" and not kept.selected


def test_what_cannot_be_changed_says_so(run, evaluate, run_command, capsys, raw):
    code, shown, _ = evaluate("--set-threshold", ".3", "--max-escape", ".1")
    assert code == 2 and "--set-threshold and --max-escape" in one_line(shown)
    code, shown, _ = evaluate("--set-threshold", ".3", of=export.find(run))
    assert code == 2 and "a SavedModel's threshold is baked in" in one_line(shown)
    scores = run / "predictions" / "test.csv"
    code, shown, _ = evaluate("--set-threshold", ".3", of=scores)
    assert code == 2 and "keeps no threshold" in one_line(shown)
    argv = (run, run, "--set-threshold", ".3", "--out", run.parent / "x")
    assert run_command("evaluate", *argv) == 2
    assert "takes one RUN. Received 2" in one_line(capsys.readouterr())
    argv = (run, raw, "--threshold", "tpr=.9", "--out", run.parent / "x.csv")
    assert run_command("predict", *argv) == 2
    assert "nexperia evaluate RUN --set-threshold tpr=.9" in one_line(
        capsys.readouterr()
    )
    assert run_folders.load(run).calibration.threshold == 0.5
    assert export.find(run).name == "1"


def test_a_run_and_its_savedmodel_that_differ_do_not_decide(
    run, evaluate, run_command, capsys, raw
):
    path = run / run_folders.CALIBRATION
    files.write_json(path, files.read_json(path) | {"threshold": 0.2})
    out = run.parent / "scores.csv"
    assert run_command("predict", run, raw, "--out", out) == 2
    line = one_line(capsys.readouterr())
    assert "its threshold is 0.2, but" in line and "has 0.5 baked in" in line
    assert not out.exists()
    _, shown, found = evaluate()
    assert "Warning: " in shown.out and "has 0.5 baked in" in shown.out
    assert any("baked in" in note for note in found["notes"])
    argv = (run, run, "--out", run.parent / "ensemble")
    assert run_command("ensemble", *argv) == 2
    assert "has 0.5 baked in" in one_line(capsys.readouterr())
    remedy = line.partition("nexperia ")[2].split()
    assert run_command(*remedy) == 0
    assert run_command("predict", run, raw, "--out", out) == 0


def test_a_failed_export_leaves_the_threshold_as_it_was(run, evaluate, monkeypatch):
    def fails(*_, **__):
        raise errors.BadInput("the disk is full")

    monkeypatch.setattr(export, "publish", fails)
    code, shown, _ = evaluate("--set-threshold", ".3")
    assert code == 2 and "the disk is full" in one_line(shown)
    assert run_folders.load(run).calibration.threshold == 0.5
    assert export.disagreement(run_folders.load(run)) == ""


def test_rates_and_scores_are_told_apart():
    assert thresholds.asked("tpr=1", flag="--x") == thresholds.Wanted(tpr=1.0)
    assert thresholds.asked(" .25", flag="--x") == thresholds.Wanted(threshold=0.25)
