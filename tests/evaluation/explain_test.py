"""`nexperia explain` on a run that was trained by its command."""

import hashlib
import re
import shutil

import cv2
import numpy as np
import pytest

from nexperia_tf import files
from nexperia_tf.runs import neighbours

FLAGS = ("--epochs", 1, "--image-size", 32, "--batch-size", 8, "--augment", "none")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Grey textures, every other one with a blot."""
    folder = tmp_path_factory.mktemp("explain") / "raw"
    random = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 16), ("validation", 8), ("test", 8)):
        for i in range(count):
            pixels = random.integers(40, 130, (32, 32), np.uint8)
            if i % 2:
                pixels[8:20, 8:20] = 250
            name = f"{split}{i}.png"
            rows.append((name, "defect" if i % 2 else "good", split))
            folder.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / name), pixels)
    files.write_csv(folder / "labels.csv", ["path", "label", "split"], rows)
    return folder


@pytest.fixture(scope="module")
def run(raw, small_backbone, few_look_alikes, run_command):
    folder = raw.parent / "run"
    where = ("--data", raw, "--data-dir", raw.parent / "data", "--out", folder)
    assert run_command("train", "--backbone", small_backbone, *where, *FLAGS) == 0
    return folder


def explained(run_command, run, picture, out, *words) -> str:
    assert run_command("explain", run, picture, "--out", out, *words) == 0
    return out.read_text()


@pytest.mark.slow
def test_the_page_holds_verdict_map_look_alikes_and_hashes(
    run, raw, run_command, tmp_path, capsys
):
    text = explained(run_command, run, raw / "train1.png", tmp_path / "why.html")
    said = capsys.readouterr().out
    score = re.search(r"score ([\d.e-]+), threshold", said)[1]
    assert f"Score {score}" in text and "in force" in text.lower()
    assert "has learned from this very picture" in text
    assert hashlib.sha256((raw / "train1.png").read_bytes()).hexdigest() in text
    assert files.sha256(run / "model.keras") in text
    assert "Labelled good" in text and "Labelled defect" in text
    likeness = [float(found) for found in re.findall(r"likeness ([\d.]+)", text)]
    assert len(likeness) == 8 and max(likeness) > 0.999  # itself
    assert text.count("data:image/jpeg;base64") == 2 + 8
    assert not re.search(r'(src|href)="(?!data:)', text)


@pytest.mark.slow
def test_a_new_picture_is_not_called_known_and_a_page_is_not_replaced_unasked(
    run, raw, run_command, tmp_path, capsys
):
    out = tmp_path / "why.html"
    text = explained(run_command, run, raw / "test1.png", out)
    assert "learned from this very picture" not in text
    assert run_command("explain", run, raw / "test1.png", "--out", out) == 2
    assert "why.html" in capsys.readouterr().err and out.read_text() == text
    assert explained(run_command, run, raw / "test1.png", out, "--force")


@pytest.mark.slow
def test_a_run_without_look_alikes_says_so(run, raw, run_command, tmp_path):
    older = shutil.copytree(run, tmp_path / "older")
    (older / neighbours.NEIGHBOURS).unlink()
    files.write_manifest(older)
    text = explained(run_command, older, raw / "test0.png", tmp_path / "why.html")
    assert "This run has kept none" in text


@pytest.mark.slow
def test_what_cannot_be_explained_is_one_line(run, raw, run_command, tmp_path, capsys):
    torn = tmp_path / "torn.png"
    torn.write_bytes((raw / "test0.png").read_bytes()[:200])
    out = tmp_path / "why.html"
    for picture, said in (
        (torn, "torn.png: "),
        (tmp_path / "no.png", "no.png: No such file"),
        (raw, "name a picture"),
    ):
        assert run_command("explain", run, picture, "--out", out) == 2
        shown = capsys.readouterr().err
        assert said in shown and shown.strip().count("\n") == 0
    assert not out.exists()
