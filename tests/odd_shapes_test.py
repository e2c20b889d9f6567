"""Pictures of any shape, from the raw folder to the last table of scores."""

import csv

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import files, predictions
from nexperia_tf.data import manifest

# Width and height; a line scan, a strip, single pixels.
SHAPES = ((80, 600), (60, 4000), (4000, 60), (1, 1), (2, 3), (10, 40_000), (64, 64))
EACH = 4  # of a shape, in each class


def draw(raw):
    """Good parts in grey noise, and worn ones that are brighter; two are flat."""
    for kind, low in (("good", 20), ("worn", 120)):
        (raw / kind).mkdir(parents=True)
        for number, (width, height) in enumerate(SHAPES):
            for i in range(EACH):
                noise = np.random.default_rng((low, number, i))
                pixels = noise.integers(low, low + 90, (height, width)).astype(np.uint8)
                name = f"{width}x{height}_{i}.{('png', 'bmp', 'tif')[i % 3]}"
                Image.fromarray(pixels).save(raw / kind / name)
        flat = np.full((50, 70), low, np.uint8)
        Image.fromarray(flat).save(raw / kind / "flat.png")
    return raw


def scores_of(table):
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert not {row["problem"] for row in rows} - {""}
    return {row["path"]: float(row["score"]) for row in rows}


@pytest.mark.slow
def test_every_shape_goes_from_prepare_to_the_last_score(
    small_backbone, run_command, tmp_path
):
    raw = draw(tmp_path / "raw")
    count = 2 * (EACH * len(SHAPES) + 1)
    prepared, run = tmp_path / "prepared", tmp_path / "run"
    assert run_command("prepare", raw, "--out", prepared) == 0
    rows = manifest.read(prepared / "manifest.csv")
    assert len(rows) == count == len({row.path for row in rows})
    assert {row.dropped_because for row in rows} <= {"", "duplicate"}
    # Of the single pixels two may be of one level; all else is used.
    assert all("1x1" in row.path for row in rows if not row.used)
    argv = ("--data", prepared, "--data-dir", tmp_path / "data", "--out", run)
    argv += ("--backbone", small_backbone, "--image-size", 64, "--batch-size", 8)
    assert run_command("train", *argv, "--recipe", "plain", "--epochs", 2) == 0
    splits = files.read_json(run / "config.json")["run"]["splits"]
    assert sum(splits.values()) == sum(row.used for row in rows)
    report = tmp_path / "report"
    assert run_command("evaluate", run, "--out", report) == 0  # with its heat maps
    assert files.read_json(report / "report.json")["n"] == splits["test"]
    assert run_command("export", "--run", run, "--out", tmp_path / "model") == 0
    tables = []
    for model in (run, tmp_path / "model"):
        table = tmp_path / f"{model.name}.csv"
        assert run_command("predict", model, raw, "--out", table) == 0
        tables.append(scores_of(table))
    assert tables[0] == tables[1] and len(tables[0]) == count
    path_of = {row.image_id: row.path for row in rows}
    scored = predictions.read(run / "predictions" / "test.csv")
    np.testing.assert_allclose(
        [tables[0][path_of[name]] for name in scored.image_id], scored.score, atol=1e-6
    )
