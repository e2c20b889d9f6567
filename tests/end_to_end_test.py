"""Every stage on a small drawn folder: raw pictures in, verdicts out."""

import csv
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from nexperia_tf import predictions, preprocess
from nexperia_tf.data.records import reading
from nexperia_tf.models import backbones
from nexperia_tf.runs import neighbours, run_folders
from nexperia_tf.sample import command as sample
from nexperia_tf.serving import export
from nexperia_tf.statistics import calibration

pytestmark = pytest.mark.usefixtures("no_network", "few_look_alikes")

ROOT = pathlib.Path(__file__).parents[1]
TINY = ("--backbone", "resnext26_32x4d", "--image-size", "32", "--batch-size", "8")
TINY += ("--recipe", "plain")


@pytest.fixture(scope="module")
def raw(few_look_alikes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample") / "raw"
    sample.draw(folder, devices=160, seed=1)
    return folder


@pytest.fixture(scope="module")
def run_folder(raw, run_command, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    argv = ["--data", raw, "--data-dir", out.parent / "data", "--out", out]
    assert run_command("train", *argv, *TINY, "--epochs", "2") == 0
    return out


def test_a_run_folder_holds_everything_of_the_contract(run_folder):
    for name in [
        "config.json",
        "environment.json",
        "history.csv",
        "metrics.json",
        "predictions/validation.csv",
        "predictions/test.csv",
        "checkpoints",
        "model.keras",
        "calibration.json",
        "neighbours.npz",
        "familiar.npz",
        "drift.npz",
        "saved_model/1/saved_model.pb",
        "tensorboard",
        "MANIFEST.sha256",
    ]:
        assert (run_folder / name).exists(), name
    listed = subprocess.run(
        ["sha256sum", "-c", "--quiet", "MANIFEST.sha256"], cwd=run_folder, check=False
    )
    assert listed.returncode == 0
    with open(run_folder / "history.csv") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


NOISE = re.compile(
    r"^[IWEF]\d{4,} |absl|deprecated|cudart|oneDNN|CUDA|TensorFlow binary|rebuild",
    re.IGNORECASE | re.MULTILINE,
)
EPOCH = re.compile(
    r"epoch 1/1  loss \d?\.\d{4}  AUC [01]?\.\d{4}  overkill \d+\.\d % at TPR \.991, "
    r"\d+\.\d % at \.995  [\d.]+ images/s  \* best"
)


LOGGED = {
    "sample": ("sample", "OUT", "--devices", "30"),
    "prepare": ("prepare", "RAW", "--out", "OUT"),
    "train": ("train", "--data", "RAW", *TINY, "--epochs", "1", "--out", "OUT"),
    "evaluate": ("evaluate", "RUN", "--no-heatmaps", "--out", "OUT"),
    "predict": ("predict", "RUN", "RAW", "--out", "OUT"),
    "export": ("export", "--run", "RUN", "--out", "OUT"),
    "features": ("features", "RUN", "--out", "OUT"),
    "forest": ("forest", "FEATURES", "--trees", "10", "--out", "OUT"),
}
LOGGED["deterministic"] = (*LOGGED["train"], "--deterministic")
# What shows how far a long step is, where there is no terminal.
PROGRESS = {
    "sample": "Drawing pictures: ",
    "prepare": "Reading pictures: ",
    "predict": "Scoring pictures: ",
    "features": "Computing features, test: ",
    "forest": "Growing forests: ",
}


@pytest.fixture(scope="module")
def logged_places(raw, run_folder, run_command, tmp_path_factory):
    features = tmp_path_factory.mktemp("features") / "of_run"
    assert run_command("features", run_folder, "--out", features) == 0
    return {"RAW": raw, "RUN": run_folder, "FEATURES": features}


TRAINING = {"train", "deterministic"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in TRAINING else [])
        for name in LOGGED
    ],
)
def test_a_log_holds_what_this_project_says_no_library_and_no_bar(
    name, logged_places, tmp_path
):
    places = logged_places | {"OUT": tmp_path / "out"}
    words = [str(places.get(word, word)) for word in LOGGED[name]]
    if words[0] == "train":
        words += ["--data-dir", str(places["RUN"].parent / "data")]
    # As a shell starts it: what this process was told of logs is not passed on.
    hushed = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
    shell = {key: value for key, value in os.environ.items() if key not in hushed}
    done = subprocess.run(
        [sys.executable, "-m", "nexperia_tf", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=shell,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
    assert not NOISE.search(done.stdout), done.stdout
    assert "━" not in done.stdout and "\x1b" not in done.stdout
    assert PROGRESS.get(name, "") in done.stdout
    if words[0] == "train":
        assert EPOCH.search(done.stdout), done.stdout


def test_counts_reconcile_from_raw_to_records(raw, run_folder):
    dataset = run_folders.load(run_folder).dataset
    with open(dataset.prepared / "manifest.csv") as file:
        rows = list(csv.DictReader(file))
    pictures = [p for p in raw.rglob("*") if p.suffix in (".bmp", ".jpg", ".png")]
    assert len(rows) == len(pictures)
    used = [row for row in rows if not row["dropped_because"]]
    assert len(used) == sum(reading.split_sizes(dataset).values())
    assert all(row["split"] for row in used)


def test_pipeline_model_and_saved_model_agree(raw, run_folder):
    run = run_folders.load(run_folder)
    scored = predictions.read(run_folder / "predictions" / "test.csv")
    served = export.load(run_folder)
    rows = reading.examples(run.dataset, "test", list(scored.image_id))
    contents = [rows[name].image for name in scored.image_id][:100]
    by_bytes, words = served.score_bytes(contents)
    np.testing.assert_allclose(by_bytes, scored.score[:100], atol=1e-5)
    assert words == run_folders.verdicts(by_bytes, run.calibration.threshold)
    images = [preprocess.decode(tf.constant(content), 1) for content in contents]
    boxed = np.stack([preprocess.letterbox(image, 32) for image in images])
    logits = run.model().predict(boxed, verbose=0).ravel()
    scores = run.calibration.scores(logits)
    np.testing.assert_allclose(scores, by_bytes, atol=1e-5)
    pixels = served.signature("image_pixels")(image_pixels=images[0][None])
    np.testing.assert_allclose(pixels["score"], by_bytes[:1], atol=1e-5)


def test_the_saved_model_describes_pictures_as_the_run_keeps_them(
    run_folder, tmp_path, run_command, capsys
):
    run, served = run_folders.load(run_folder), export.load(run_folder)
    kept = neighbours.of_version(served.folder)
    names = list(kept.image_id[:20])
    rows = reading.examples(run.dataset, "train", names)
    boxed = preprocess.batch([rows[name].image for name in names], 32, 1)
    features = served.features(boxed).numpy()
    np.testing.assert_allclose(features, kept.features[:20], rtol=2e-3, atol=1e-3)
    for most in (10, 0):
        argv = ("--run", run_folder, "--out", tmp_path / f"{most}")
        assert run_command("export", *argv, "--look-alikes", most) == 0
        taken = neighbours.of_version(tmp_path / f"{most}" / "1")
        assert (len(taken.label) if taken else 0) == most
        assert ("small and with their names" in capsys.readouterr().out) == bool(most)


def test_the_calibration_is_fitted_on_validation_and_baked_in(run_folder):
    run = run_folders.load(run_folder)
    logits = run_folders.logits_of(run.model(), run.dataset, "validation")
    scored = run.predictions("validation")
    found, fitted = run.calibration, calibration.fit(logits, scored.label)
    assert found.temperature != 1 and found.offset != 0
    assert found.temperature == pytest.approx(fitted.temperature, 1e-4)
    assert found.offset == pytest.approx(fitted.offset, abs=1e-4)
    assert export.load(run_folder).calibration == run.calibration
    expected = run.calibration.scores(logits)
    np.testing.assert_allclose(scored.score, expected, atol=1e-6)


def test_the_graph_forces_no_xla_on_a_server(run_folder):
    graph = saved_model_pb2.SavedModel()
    graph.ParseFromString((export.find(run_folder) / "saved_model.pb").read_bytes())
    functions = graph.meta_graphs[0].graph_def.library.function
    assert functions
    assert not [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]


def test_a_foreign_process_gets_the_same_verdicts(raw, run_folder, tmp_path):
    scored = predictions.read(run_folder / "predictions" / "test.csv")
    files = [next(raw.glob(f"{name}.*")) for name in scored.image_id[:20]]
    program = (
        "import sys, json, tensorflow as tf\n"
        "serve = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "images = [open(name, 'rb').read() for name in sys.argv[2:]]\n"
        "answer = serve(image_bytes=tf.constant(images))\n"
        "print(json.dumps(answer['score'].numpy().tolist()))\n"
        "assert not [m for m in sys.modules if m.startswith('nexperia')]\n"
    )
    command = [sys.executable, "-c", program, str(export.find(run_folder))]
    shown = subprocess.run(
        command + [str(file) for file in files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    scores = json.loads(shown.stdout.splitlines()[-1])
    np.testing.assert_allclose(scores, scored.score[:20], atol=1e-5)


def test_evaluate_reports_given_and_true_labels(run_folder, raw, run_command, tmp_path):
    given, true = tmp_path / "given", tmp_path / "true"
    assert run_command("evaluate", run_folder, "--out", given) == 0
    labels = raw / "truth.csv"
    assert run_command("evaluate", run_folder, "--labels", labels, "--out", true) == 0
    for out in (given, true):
        report = json.loads((out / "report.json").read_text())
        assert 0 <= report["auc"]["low"] <= report["auc"]["value"]
        assert report["auc"]["value"] <= report["auc"]["high"] <= 1
        assert report["n"] == len(predictions.read(run_folder / "predictions/test.csv"))
        assert (out / "report.html").stat().st_size > 10_000
        again = report["repeatability"]
        assert again["threshold"] == report["in_force"]["threshold"]
        kinds = {row["kind"]: row["n"] for row in again["kinds"]}
        assert sum(kinds.values()) == again["n"] <= report["n"]
        good = report["n"] - report["n_defect"]
        assert kinds["good"] == min(100, good) and len(again["changes"]) == 10


def test_predict_gives_a_row_for_every_file(run_folder, run_command, tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    pixels, _ = sample.device(1, 0)
    Image.fromarray(pixels).save(folder / "a.bmp")
    Image.fromarray(pixels).save(folder / "sub" / "b.png")
    (folder / "cut.bmp").write_bytes((folder / "a.bmp").read_bytes()[:5000])
    (folder / "empty.png").touch()
    out = tmp_path / "scores.csv"
    command = "predict"
    assert run_command(command, run_folder, folder, "--out", out) == 0
    with open(out) as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["a.bmp", "cut.bmp", "empty.png", "sub/b.png"]
    assert rows["a.bmp"]["score"] == rows["sub/b.png"]["score"]
    assert rows["a.bmp"]["threshold"] == "0.5"
    for name in ("cut.bmp", "empty.png"):
        assert rows[name]["problem"] and not rows[name]["score"]


def test_resume_of_a_complete_run_changes_nothing(run_folder, run_command):
    before = hashlib.sha256((run_folder / "MANIFEST.sha256").read_bytes()).digest()
    assert run_command("train", "--resume", "--out", run_folder) == 0
    after = hashlib.sha256((run_folder / "MANIFEST.sha256").read_bytes()).digest()
    assert before == after


LABELS = {"OK": "good", "NG_scratch": "defect", "NG_chip": "defect"}


@pytest.fixture(scope="module")
def colour_folder(tmp_path_factory):
    """Discs on grey; a good one is green, a bad one of the same brightness is red."""
    folder = tmp_path_factory.mktemp("colour") / "raw"
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:48, :64]
    for name, count in [("OK", 80), ("NG_scratch", 40), ("NG_chip", 40)]:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(90, 110, (48, 64, 3)).astype(np.uint8)
            x, y = rng.integers(16, 48), rng.integers(14, 34)
            disc = (xx - x) ** 2 + (yy - y) ** 2 < 300
            # Both have luma 111, so a grey model could not tell them apart.
            pixels[disc] = (30, 174, 0) if name == "OK" else (255, 60, 0)
            Image.fromarray(pixels).save(folder / name / f"{i:03}.png")
    return folder


@pytest.mark.slow
def test_colour_decides_where_only_colour_differs(
    colour_folder, run_command, tmp_path, monkeypatch
):
    # Colour needs no depth: one narrow block a stage learns it in seconds.
    shape = backbones.Shape((1, 1, 1, 1), planes=(16, 32, 64, 128), stem=16)
    monkeypatch.setitem(backbones.BACKBONES, "resnext26_32x4d", shape)
    out = tmp_path / "run"
    argv = ["--data", colour_folder, "--good", "OK", "--data-dir", tmp_path / "data"]
    argv += ["--out", out, "--epochs", "6", "--augment", "none"]
    argv += ["--learning-rate", "5e-3"]
    assert run_command("train", *argv, *TINY) == 0
    assert json.loads((out / "config.json").read_text())["run"]["channels"] == 3
    assert run_command("evaluate", out, "--out", tmp_path / "report") == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["auc"]["value"] > 0.95
    scores = tmp_path / "scores.csv"
    pictures = colour_folder
    assert run_command("predict", out, pictures, "--out", scores) == 0
    with open(scores) as file:
        rows = list(csv.DictReader(file))
    right = [row["label"] == LABELS[row["path"].split("/")[0]] for row in rows]
    assert len(rows) == 160
    assert np.mean(right) > 0.9


def test_a_grey_model_refuses_to_drop_colour(
    run_folder, colour_folder, run_command, tmp_path, capsys
):
    out = tmp_path / "scores.csv"
    folder = colour_folder / "OK"
    assert run_command("predict", run_folder, folder, "--out", out) == 0
    said = "80 not scored: 80 x is in colour, but the model has only seen grey pictures"
    assert said in capsys.readouterr().out
    with open(out) as file:
        assert all("colour" in row["problem"] for row in csv.DictReader(file))


def _one_class(folder: pathlib.Path):
    (folder / "good").mkdir(parents=True)
    for i in range(4):
        Image.fromarray(np.full((20, 20), 40 + i, np.uint8)).save(
            folder / "good" / f"{i}.png"
        )


def _missing_file(folder: pathlib.Path):
    folder.mkdir()
    (folder / "labels.csv").write_text("path,label\nnone.png,good\n")


BAD_FOLDERS = {
    "missing": lambda folder: None,
    "empty": lambda folder: folder.mkdir(),
    "one class": _one_class,
    "labels.csv names a missing file": _missing_file,
}


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_bad_data_is_one_line_and_leaves_nothing(kind, run_command, tmp_path, capsys):
    BAD_FOLDERS[kind](tmp_path / "raw")
    out, data = tmp_path / "out", tmp_path / "data"
    argv = ["--data", tmp_path / "raw", "--out", out, "--data-dir", data]
    assert run_command("train", *argv, *TINY) == 2
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("error: ") and "\n" not in shown
    assert (
        str(tmp_path / "raw") in shown or "labels.csv" in shown or "manifest" in shown
    )
    assert not out.exists()
    assert not list(data.glob(".*partial")) if data.exists() else True


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--backbone", "resnet51"], "resnet51"),
        (["--out", "/proc/no/run"], "cannot be written"),
        (["--out", "."], "exists already"),
        (["--config", "nothing"], "unknown; choose one of demo"),
        (["--resume"], "no run to resume"),
        (["--epochs", "many"], "--epochs"),
        (["--weights", "nothing.safetensors"], "nothing.safetensors"),
    ],
)
def test_bad_flags_are_one_line(argv, words, raw, run_command, tmp_path, capsys):
    always = ["--data", raw, "--data-dir", tmp_path / "data", "--out", tmp_path / "x"]
    assert run_command("train", *always, *TINY, *argv) == 2
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("error: ") and "\n" not in shown
    assert words in shown
