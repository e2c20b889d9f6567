"""`nexperia promote` and `nexperia rollback`, with real SavedModels and pictures."""

import csv
import json
import re
import shutil

import cv2
import numpy as np
import pytest

from nexperia_tf import files
from nexperia_tf.data.raw import layouts
from nexperia_tf.promotion import golden_set, versions
from nexperia_tf.serving import export, version_folders

RULE = {
    "catch_margin": 0.2,
    "overkill_margin": 0.2,
    "flips_margin": 0.6,
    "repeat": 6,
}


@pytest.fixture
def rule(tmp_path):
    (tmp_path / "rule.json").write_text(json.dumps(RULE))
    return tmp_path / "rule.json"


@pytest.fixture
def line(published, tmp_path):
    """A folder of versions with `old` in force."""
    shutil.copytree(published["old"], tmp_path / "models" / "line" / "1")
    return tmp_path / "models" / "line"


@pytest.fixture
def promote(line, rule, pictures, run_command):
    def run(new, *words):
        asked = ("--models", line, "--rule", rule, "--who", "q", *words)
        if not {"--pictures", "--data"} & {*map(str, words)}:
            asked += ("--pictures", pictures)
        return run_command("promote", new, *asked)

    return run


def history(line):
    with open(line / "versions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_an_equal_model_is_published_with_its_record(
    promote, published, line, pictures, tmp_path, capsys
):
    one = next((pictures / "crack").iterdir())
    golden_set.add(tmp_path / "golden", [one], "defect")
    words = ("--golden", tmp_path / "golden", "--note", "lot 7 came in")
    assert promote(published["alike"], *words) == 0
    shown = capsys.readouterr().out
    assert "passed catch rate" in shown and "FAILED" not in shown
    version = line / "2"
    version_folders.refuse_unvouched(version)
    assert "assets.extra/promotion.json" in (version / files.MANIFEST).read_text()
    told = files.read_json(version / versions.PROMOTION)
    assert told["promoted"] and (told["who"], told["note"]) == ("q", "lot 7 came in")
    assert told["golden"]["pictures"] == 1 and not told["golden"]["changed"]
    assert told["rule"]["catch_margin"] == 0.2
    assert told["new"]["model_sha256"] != told["old"]["model_sha256"]
    rows = layouts.scan(pictures).rows
    assert told["devices"]["defects"] == sum(row.label == "defect" for row in rows)
    # It is what was compared: the same scores, and a server can load it.
    shown = np.zeros((1, 36, 36, 1), np.uint8)
    scores = [
        export.load(each).score_pixels(shown) for each in (version, published["alike"])
    ]
    assert scores[0] == scores[1]
    for path in (versions.RECORD, versions.CARD):
        assert "# " in (version / path).read_text()
    assert not (tmp_path / "models" / "alike-promotion").exists()


def test_the_history_has_a_row_for_each_version(promote, published, line):
    assert promote(published["alike"]) == 0
    first, second = history(line)
    assert (first["version"], first["what"]) == ("1", "published")
    assert (second["version"], second["what"]) == ("2", "promoted")
    assert second["who"] == "q" and second["model"] == str(published["alike"])
    for row in (first, second):
        manifest = line / row["version"] / files.MANIFEST
        assert row["sha256"] == files.sha256(manifest)
    from nexperia_tf.server.models import library

    assert sorted(library.Wholeness(line).whole()) == [1, 2]
    shutil.rmtree(line / "1")
    versions.write_history(line)
    assert [row["version"] for row in history(line)] == ["1", "2"]


def test_a_worse_model_is_not_published_and_why_is_said(
    promote, published, line, tmp_path, capsys
):
    before = sorted(path.name for path in line.iterdir())
    assert promote(published["other"], "--out", tmp_path / "why") == 1
    shown = capsys.readouterr().out
    assert "FAILED" in shown and "Not published: " in shown
    assert sorted(path.name for path in line.iterdir()) == before
    told = files.read_json(tmp_path / "why" / "promotion.json")
    assert not told["promoted"] and told["figures"]["catch"]["value"] <= 0
    assert "| NO |" in (tmp_path / "why" / "promotion.md").read_text()
    # An earlier record is replaced; a folder with other things is not.
    assert promote(published["other"], "--out", tmp_path / "why") == 1
    assert promote(published["other"], "--out", tmp_path / "models") == 2


def test_a_golden_escape_refuses_an_otherwise_equal_model(
    promote, published, line, tmp_path, capsys
):
    pixels = np.full((36, 36), 7, np.uint8)
    cv2.imwrite(str(tmp_path / "claim.png"), pixels)
    score = export.load(published["alike"]).score_pixels(pixels[None, ..., None])
    verdict = "good" if score[1] == ["defect"] else "defect"
    golden_set.add(tmp_path / "golden", [tmp_path / "claim.png"], verdict)
    words = ("--golden", tmp_path / "golden", "--out", tmp_path / "why")
    assert promote(published["alike"], *words) == 1
    assert "Not published: golden set." in capsys.readouterr().out
    (change,) = files.read_json(tmp_path / "why" / "promotion.json")["golden"][
        "changed"
    ]
    assert change["image_id"] == "claim.png"
    assert not (line / "2").exists()


def test_pictures_that_were_trained_on_are_left_out_and_counted(
    promote, published, line, pictures, tmp_path
):
    seen = sorted((pictures / "good").iterdir())[:3]
    hashes = [golden_set.hashes_of(path)[1] for path in seen]
    shutil.copytree(published["alike"], tmp_path / "alike" / "1")
    _learned(tmp_path / "alike" / "1", hashes)
    assert promote(tmp_path / "alike") == 0
    told = files.read_json(line / "2" / versions.PROMOTION)["devices"]
    (reason,) = told["left_out"]
    assert reason.endswith("was trained on, or on a copy or twin")
    assert told["left_out"][reason] == 3
    every = [golden_set.hashes_of(p)[1] for p in (pictures / "good").iterdir()]
    shutil.copytree(published["alike"], tmp_path / "all" / "1")
    _learned(tmp_path / "all" / "1", every)


def _learned(version, hashes):
    from nexperia_tf.runs import training_pictures as known

    lines = tuple(known.Line(each, known.PICTURE, "run") for each in hashes)
    known.write(version / known.EXPORTED, known.TrainingSet(lines))
    files.write_manifest(version)


def test_refused_where_no_good_device_is_left(
    promote, published, pictures, tmp_path, capsys
):
    every = [golden_set.hashes_of(p)[1] for p in (pictures / "good").iterdir()]
    shutil.copytree(published["alike"], tmp_path / "all" / "1")
    _learned(tmp_path / "all" / "1", every)
    assert promote(tmp_path / "all") == 2
    said = capsys.readouterr().err
    assert "0 good devices are left to compare on" in said and said.count("\n") == 1


def _copy(pictures, tmp_path):
    return shutil.copytree(pictures, tmp_path / "copy")


def test_two_labels_for_one_picture_are_refused(
    promote, published, pictures, tmp_path, capsys
):
    folder = _copy(pictures, tmp_path)
    one = next((folder / "good").iterdir())
    shutil.copy(one, folder / "crack" / "again.png")
    assert promote(published["alike"], "--pictures", folder) == 2
    assert "the same picture" in capsys.readouterr().err


def test_a_golden_verdict_that_the_labels_contradict_is_refused(
    promote, published, pictures, tmp_path, capsys
):
    golden_set.add(tmp_path / "g", [next((pictures / "good").iterdir())], "defect")
    assert promote(published["alike"], "--golden", tmp_path / "g") == 2
    assert "labelled good, but golden as defect" in capsys.readouterr().err


def test_an_unreadable_picture_is_refused_by_name(
    promote, published, pictures, tmp_path, capsys
):
    folder = _copy(pictures, tmp_path)
    (folder / "good" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert promote(published["alike"], "--pictures", folder) == 2
    assert "torn.png: " in capsys.readouterr().err


def test_models_that_cannot_be_compared_are_refused_in_one_line(
    promote, published, line, tmp_path, capsys
):
    def said(new, *words):
        assert promote(new, *words) == 2
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1
        return shown

    assert "is the same model as" in said(published["old"])
    assert "is not " in said(published["alike"], "--over", published["other"])
    words = ("--models", tmp_path / "nothing")
    assert "holds no version yet" in said(published["alike"], *words)
    shutil.copytree(published["other"], tmp_path / "older" / "1")
    (tmp_path / "older" / "1" / "assets.extra" / "trained_on.csv").unlink()
    files.write_manifest(tmp_path / "older" / "1")
    assert "nobody knows which pictures" in said(tmp_path / "older")
    words = ("--line", line)
    assert "keeps no pictures of its training" in said(published["alike"], *words)
    shutil.copytree(published["other"], line / "2")
    (line / "2" / "assets.extra" / "nexperia.json").unlink()
    assert "nexperia.json: named by MANIFEST.sha256 but" in said(published["alike"])


def test_the_first_version_is_published_over_a_named_model(
    promote, published, tmp_path
):
    words = ("--models", tmp_path / "new", "--over", published["old"])
    assert promote(published["alike"], *words) == 0
    assert [row["version"] for row in history(tmp_path / "new")] == ["1"]


def test_rollback_publishes_the_version_before_and_says_so(
    promote, published, line, run_command, capsys
):
    assert promote(published["alike"]) == 0
    asked = ("rollback", line, "--who", "q", "--note", "overkill at night")
    assert run_command(*asked) == 0
    assert "which is version 1 again" in capsys.readouterr().out
    version_folders.refuse_unvouched(line / "3")
    for name in ("saved_model.pb", "assets.extra/nexperia.json"):
        assert (line / "3" / name).read_bytes() == (line / "1" / name).read_bytes()
    last = history(line)[-1]
    assert (last["version"], last["what"]) == ("3", "rolled back")
    assert (last["model"], last["over"]) == ("version 1", "version 2")
    assert last["note"] == "overkill at night"
    # The one before what is in force is not the one that was left.
    assert run_command("rollback", line) == 2
    assert "no version before version 1" in capsys.readouterr().err
    assert run_command("rollback", line, "--to", 2) == 0
    assert history(line)[-1]["model"] == "version 2"
    assert files.read_json(line / "4" / versions.PROMOTION)["promoted"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{line}", "--to", "7"), "--to 7: .* holds no such version; there are 1, 2"),
        (("{line}", "--to", "2"), "--to 2: is what .*2 holds already"),
        (("{line}/none",), "holds no version"),
    ],
)
def test_a_rollback_that_cannot_be_is_refused(
    published, line, run_command, capsys, words, said
):
    shutil.copytree(published["alike"], line / "2")
    words = [word.format(line=line) for word in words]
    assert run_command("rollback", *words) == 2
    assert re.search(said, capsys.readouterr().err)
    assert sorted(p.name for p in line.iterdir()) == ["1", "2"]


def test_a_damaged_version_is_not_gone_back_to(published, line, run_command, capsys):
    shutil.copytree(published["alike"], line / "2")
    (line / "1" / "saved_model.pb").write_bytes(b"torn")
    assert run_command("rollback", line) == 2
    assert "differs from its SHA-256" in capsys.readouterr().err
    assert not (line / "3").exists()


def test_with_a_newest_version_half_copied_the_one_to_go_back_to_is_named(
    published, line, run_command, capsys
):
    shutil.copytree(published["alike"], line / "2")
    (line / "3").mkdir()
    assert run_command("rollback", line) == 2
    said = capsys.readouterr().err
    assert f"Restore {line / '3'}, or name another version with --to" in said
    assert run_command("rollback", line, "--to", 1) == 0
    assert (line / "4").is_dir()


def test_with_a_damaged_history_nothing_is_published(
    published, line, run_command, capsys
):
    shutil.copytree(published["alike"], line / "2")
    (line / "versions.csv").write_text("torn")
    assert run_command("rollback", line) == 2
    assert "versions.csv: column 'version' is missing" in capsys.readouterr().err
    assert not (line / "3").exists()


def test_a_run_has_no_history_of_versions(published, tmp_path, run_command, capsys):
    base = tmp_path / "run" / "saved_model"
    shutil.copytree(published["old"], base / "1")
    (tmp_path / "run" / "config.json").write_text("{}")
    for place in (base, base.parent):
        promote = ("promote", published["alike"], "--models", place)
        for words in (("rollback", place), promote):
            assert run_command(*words) == 2
            assert f"{place}: belongs to a run" in capsys.readouterr().err


def test_a_promoted_version_stands_behind_the_one_published_meanwhile(
    published, line, tmp_path
):
    from nexperia_tf import errors

    shutil.copytree(published["other"], line / "2")
    with pytest.raises(errors.BadInput, match="2 has been published meanwhile"):
        versions.copied(published["alike"], line, {}, expect=line / "1")


@pytest.mark.slow
def test_the_test_split_of_records_is_compared_on(
    promote, published, pictures, line, tmp_path
):
    words = ("--data", pictures, "--data-dir", tmp_path / "records")
    rule = {**RULE, "catch_margin": 0.5, "overkill_margin": 0.5, "repeat": 3}
    (tmp_path / "rule.json").write_text(json.dumps(rule))
    assert promote(published["alike"], *words) == 0
    told = files.read_json(line / "2" / versions.PROMOTION)
    (found,) = (tmp_path / "records").glob("*/prepared/manifest.csv")
    from nexperia_tf.data import manifest

    tested = [r for r in manifest.read(found) if r.used and r.split == "test"]
    devices = told["devices"]
    assert devices["defects"] + devices["good"] == len(tested)
    assert told["figures"]["new"]["caught"]["count"] == devices["defects"]
