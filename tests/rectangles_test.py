"""Strips of 3 : 1, from their raw folder to an ensemble's scores, on a rectangle."""

import csv
import re

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, files, predictions, preprocess, sizes
from nexperia_tf.data import manifest
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export, members
from nexperia_tf.study import features
from nexperia_tf.training import finish, image_size

pytestmark = pytest.mark.slow

SIZE = sizes.Size(96, 32)
SPLITS = ["train"] * 4 + ["validation", "test"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Grey noise; every third picture has a bright spot with a box around it."""
    folder = tmp_path_factory.mktemp("strips") / "raw"
    folder.mkdir()
    noise = np.random.default_rng(0)
    lines = [["path", "label", "split", "x1", "y1", "x2", "y2"]]
    for i in range(72):
        pixels = noise.integers(60, 120, (270, 90)).astype(np.uint8)
        box = ["", "", "", ""]
        if i % 3 == 0:
            x, y = noise.integers(0, 60), noise.integers(0, 240)
            pixels[y : y + 30, x : x + 30] = 250
            box = [x, y, x + 30, y + 30]
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
        label = "good" if i % 3 else "defect"
        lines.append([f"{i:02}.png", label, SPLITS[i // 3 % 6], *box])
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


@pytest.fixture(scope="module")
def train(raw, small_backbone, run_command, tmp_path_factory):
    """Trains a run of that name: `train("first", "--epochs", 2)` is its folder."""
    place = tmp_path_factory.mktemp("runs")

    def run(name, *words, code=0):
        argv = ["--data", raw, "--data-dir", place / "data", "--out", place / name]
        argv += ["--backbone", small_backbone, "--batch-size", 8, "--deterministic"]
        argv += ["--recipe", "plain"]
        assert run_command("train", *argv, *words) == code
        return place / name

    return run


@pytest.fixture(scope="module")
def first(train):
    """Of drawn defects and their map first, so that these see a rectangle, too."""
    words = ("--drawn", 0.5, "--drawn-only", "--drawn-map", 1, "--drawn-look", "cracks")
    return train("first", "--image-size", SIZE, "--epochs", 1, *words)


@pytest.fixture(scope="module")
def second(train, first):
    """Goes on from the first with the given defects."""
    words = ("--init", first, "--learning-rate", 3e-3, "--seed", 1, "--flip", "both")
    return train("second", "--image-size", SIZE, "--epochs", 6, *words)


def test_what_is_written_names_both_sides(second):
    stored = files.read_json(second / run_folders.CONFIG)["pictures"]["image_size"]
    assert stored == "96x32"
    run = run_folders.load(second)
    assert run.image_size == SIZE
    assert run.model().input.shape == (None, *SIZE, 1)
    served = export.load(second)
    assert served.facts["image_size"] == "96x32" and served.image_size == SIZE


def test_files_pixels_and_training_give_one_score(second, raw, run_command, tmp_path):
    table = predictions.read(second / "predictions" / "test.csv")
    served = export.load(second)
    contents = [(raw / f"{name}.png").read_bytes() for name in table.image_id]
    of_bytes, _ = served.score_bytes(contents)
    np.testing.assert_allclose(of_bytes, table.score, atol=1e-5)
    pixels = np.stack([preprocess.decode(c, 1).numpy() for c in contents])
    of_pixels, _ = served.score_pixels(pixels)  # 270x90
    np.testing.assert_allclose(of_pixels, of_bytes, atol=1e-6)
    boxed = np.stack([preprocess.letterbox_pixels(p, SIZE) for p in pixels])
    np.testing.assert_allclose(served.score_pixels(boxed)[0], of_bytes, atol=1e-6)
    out = tmp_path / "scores.csv"
    assert run_command("predict", second, raw, "--out", out) == 0
    with open(out) as file:
        score_of = {row["path"]: float(row["score"]) for row in csv.DictReader(file)}
    of_files = [score_of[f"{name}.png"] for name in table.image_id]
    np.testing.assert_allclose(of_files, of_bytes, atol=1e-5)
    assert np.ptp(of_files) > 1e-3


def test_a_report_plays_the_pointing_game_on_the_rectangle(
    second, run_command, tmp_path
):
    argv = ("evaluate", second, "--stage", "stage1", "--out", tmp_path / "report")
    assert run_command(*argv) == 0
    found = files.read_json(tmp_path / "report" / "report.json")["localisation"]
    # A box of 30 x 30 on 270 x 90; one fills no pixel of the rectangle alone.
    assert found["model"]["n"] == 4
    assert found["model"]["area"] == pytest.approx(30 * 30 / (270 * 90), rel=0.4)


def test_an_ensemble_of_rectangles_is_their_mean_and_takes_no_others(
    first, second, raw, publish_tiny, run_command, tmp_path
):
    argv = ("ensemble", first, second, "--out", tmp_path / "both")
    assert run_command(*argv) == 0
    both = export.load(tmp_path / "both")
    assert both.facts["image_size"] == "96x32"
    contents = [(raw / f"{i:02}.png").read_bytes() for i in range(9)]
    alone = [export.load(run).score_bytes(contents)[0] for run in (first, second)]
    np.testing.assert_allclose(
        both.score_bytes(contents)[0], np.mean(alone, axis=0), atol=1e-6
    )
    lying = publish_tiny(tmp_path / "lying", image_size="32x96")
    with pytest.raises(errors.BadInput, match="its image_size is 32x96, but .* 96x32"):
        members.open_members([first, lying])


def test_features_are_as_large_as_the_rectangle(second, run_command, tmp_path):
    argv = ("features", second, "--stage", "stage4", "--split", "test")
    assert run_command(*argv, "--out", tmp_path / "features") == 0
    found = features.read(tmp_path / "features" / "test.npz")
    assert found.values.shape == (12, 3 * 1 * 32)
    facts = files.read_json(tmp_path / "features" / features.FACTS)
    assert facts["image_size"] == "96x32"


def test_without_the_flag_the_shape_follows_the_pictures_and_is_kept(
    train, monkeypatch, capsys
):
    def stopped(*_, **__):
        raise errors.BadInput("stopped before the end")

    monkeypatch.setattr(image_size, "AREA", 96 * 96)
    with monkeypatch.context() as patch:
        patch.setattr(finish, "finish", stopped)
        out = train("auto", "--epochs", 1, code=2)
    said = capsys.readouterr().out
    assert re.search(
        r"^pictures are shown at 160x64, 1[67] % of it bars; the smallest 5 % of the "
        r"boxes at most 1[78]\.\d pixels narrow\.$",
        said,
        re.MULTILINE,
    )
    # Resumed where the rule is another one, the run keeps its size.
    monkeypatch.setattr(image_size, "AREA", 64 * 64)
    train("auto", "--epochs", 1, "--resume")
    run = run_folders.load(out)
    assert run.config.pictures.image_size == "160x64"
    assert run.model().input.shape == (None, 160, 64, 1)
    rows = manifest.read(out / run_folders.PICTURES)
    assert {(row.height, row.width) for row in rows} == {(270, 90)}
