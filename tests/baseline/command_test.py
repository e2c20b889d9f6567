import itertools
import re

import numpy as np
from PIL import Image

from nexperia_tf import files, predictions


def _draw(raw, *, darker, counts=(26, 22), shape=(40, 52), channels=3, seed=0):
    """Noise in OK and NG; that of NG is darker."""
    random = np.random.default_rng(seed)
    for name, count, shade in zip(("OK", "NG"), counts, (0, darker)):
        (raw / name).mkdir(parents=True)
        for i in range(count):
            size = shape if channels == 1 else (*shape, channels)
            pixels = random.integers(90 - shade, 200 - shade, size).astype(np.uint8)
            Image.fromarray(pixels).save(raw / name / f"{i}.png")
    return raw


def _baseline(run_command, raw, *words):
    return run_command(
        "baseline", raw, "--data-dir", raw.parent / "data", "--good", "OK", *words
    )


def test_darkness_decides_and_evaluate_reads_the_scores(tmp_path, run_command, capsys):
    raw = _draw(tmp_path / "raw", darker=60)
    out = tmp_path / "scores.csv"
    assert _baseline(run_command, raw, "--out", out) == 0
    printed = capsys.readouterr().out
    assert re.search(r"darkness +1\.0000", printed)
    assert "nearest neighbour" in printed and "overkill" in printed
    assert "…" not in printed  # of a long name no figure is cut off
    table = predictions.read(out)
    assert table.labelled and np.all((table.score >= 0) & (table.score <= 1))
    assert run_command("evaluate", out, "--out", tmp_path / "report") == 0
    assert files.read_json(tmp_path / "report/report.json")["auc"]["value"] == 1
    (summary,) = (tmp_path / "data").glob("*/prepared/summary.json")
    found = files.read_json(summary)
    assert found["probe"]["auc_by_look"]["darkness"] == 1
    assert any(note.startswith("Darkness alone: AUC 1.00") for note in found["notes"])
    assert "<td>darkness</td>" in summary.with_name("report.html").read_text()
    first = out.read_bytes()
    assert _baseline(run_command, raw, "--out", out) == 0
    assert out.read_bytes() == first


def test_a_table_without_a_place_is_refused_before_anything_is_read(
    tmp_path, run_command, capsys
):
    for out in (tmp_path, tmp_path / "nowhere" / "scores.csv"):
        assert run_command("baseline", tmp_path / "raw", "--out", out) == 2
        assert f"--out {out}: name a table" in capsys.readouterr().err


def test_odd_shapes_in_a_tiny_folder_are_scored(tmp_path, run_command, capsys):
    shapes = itertools.cycle([(1, 1), (1, 300), (300, 2), (40, 30), (3, 3)])
    for name, levels in (("OK", range(0, 240, 20)), ("NG", range(9, 160, 20))):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for level, shape in zip(levels, shapes):
            pixels = np.full(shape, level, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "raw" / name / f"{level}.png")
    assert _baseline(run_command, tmp_path / "raw") == 0
    assert "training pictures" in capsys.readouterr().out


def test_without_a_test_split_validation_is_written(tmp_path, run_command, capsys):
    raw = _draw(tmp_path / "raw", darker=40, counts=(12, 8))
    rows = ["path,label,split"]
    for name, label in (("OK", "good"), ("NG", "defect")):
        for i, path in enumerate(sorted((raw / name).iterdir())):
            split = "train" if i % 2 else "validation"
            rows.append(f"{name}/{path.name},{label},{split}")
    (raw / "labels.csv").write_text("\n".join(rows))
    out = tmp_path / "scores.csv"
    data = ("--data-dir", tmp_path / "data", "--out", out)
    assert run_command("baseline", raw, *data) == 0
    printed = capsys.readouterr().out
    assert "(validation, 10 devices)" in printed
    assert len(predictions.read(out)) == 10
    assert run_command("baseline", raw, *data, "--split", "test") == 2
    assert "no images in split 'test'" in capsys.readouterr().err
