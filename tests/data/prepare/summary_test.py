"""Counts of a preparation, and the lines made of them."""

import pathlib
import re
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nexperia_tf import files, labels
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import prepared, summary
from nexperia_tf.data.raw import raw_folder

ROWS = st.lists(
    st.builds(
        lambda label, split, reason: manifest.Row(
            image_id="a",
            path="a.png",
            label=label,
            split="" if reason else split,
            dropped_because=reason,
        ),
        st.sampled_from(labels.NAMES),
        st.sampled_from(manifest.SPLITS),
        st.sampled_from(["", "", *manifest.REASONS]),
    )
)


@given(ROWS)
def test_images_are_used_plus_dropped_with_a_reason(rows):
    used = sum(map(len, summary.by_split(rows).values()))
    assert used + sum(summary.dropped(rows).values()) == len(rows)
    line = summary.in_words(rows).splitlines()[0]
    assert line.startswith(
        f"{len(rows)} images = {used} used + {len(rows) - used} dropped"
    )


def test_reasons_come_in_the_order_of_the_contract_and_only_those_there_are():
    rows = [
        manifest.Row(image_id="a", path="a", dropped_because=reason)
        for reason in (manifest.REASONS[2], manifest.REASONS[0], manifest.REASONS[2])
    ]
    expected = [(manifest.REASONS[0], 1), (manifest.REASONS[2], 2)]
    assert list(summary.dropped(rows).items()) == expected


@pytest.mark.parametrize("threshold", [None, 0.4])
def test_a_frame_that_was_not_judged_is_not_below_the_threshold(threshold):
    row = manifest.Row(image_id="a", path="a", device_score=None)
    assert not summary.is_below(row, threshold)
    row.device_score = 0.3
    assert summary.is_below(row, threshold) is (threshold is not None)


def test_rows_of_decisions_that_name_nothing_are_named_up_to_a_handful():
    names = [f"{number}.png" for number in range(summary.NAMED + 2)]
    decided = {"unmatched": names, "closest": {"0.png": "O.png"}}
    (line,) = summary.warnings({"decisions": decided})
    assert f"{len(names)} rows name no picture" in line and "(O.png?)" in line
    assert "and 2 more" in line and names[-1] not in line
    assert summary.warnings({"decisions": {"unmatched": []}}) == []


def test_an_older_summary_warns_of_nothing_it_does_not_hold():
    assert summary.warnings({}) == summary.facts({}) == []


def noise(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 48), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def classes(tmp_path):
    """Class folders of 12 good devices and 6 defects."""
    raw = tmp_path / "raw"
    for i in range(12):
        noise(raw / "good" / f"{i}.png", i)
    for i in range(6):
        noise(raw / "defect" / f"{i}.png", 100 + i)
    return raw


def unreadable(raw):
    for path in (raw / "defect").iterdir():
        path.write_bytes(path.read_bytes()[:200])


def unboxed(raw):
    (raw / "annotations.csv").write_text("path,x1,y1,x2,y2\ngood/1.png,1,1,9,9\n")


def boxed_outside(raw):
    boxes = "".join(f"defect/{i}.png,90,90,99,99\n" for i in range(6))
    (raw / "annotations.csv").write_text(f"path,x1,y1,x2,y2\n{boxes}")


def copied(raw):
    for path in (raw / "defect").iterdir():
        shutil.copy(path, raw / "good" / f"copy{path.name}")


def decided(raw, decision="drop,"):
    lines = "".join(f"defect/{i}.png,{decision}\n" for i in range(6))
    (raw / "decisions.csv").write_text(f"path,decision,value\n{lines}")


def relabelled(raw):
    decided(raw, "relabel,good")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (unreadable, "as unreadable, such as defect/0.png (.*); copy the files once"),
        (unboxed, "as no_annotation, such as defect/0.png; .* with --unboxed keep."),
        (boxed_outside, "as invalid_box, such as defect/0.png; .* correct the boxes"),
        (copied, "as label_conflict, such as defect/0.png; .* in decisions.csv"),
        (decided, "as decision, such as defect/0.png; decisions.csv says so"),
        (relabelled, "decisions.csv gives all of them another label; correct it."),
    ],
)
def test_the_last_line_names_the_reason_that_dropped_most(
    classes, damage, words, run_command, tmp_path, capsys
):
    damage(classes)
    assert run_command("prepare", classes, "--out", tmp_path / "out") == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"error: {classes}: no defect picture is left: ")
    assert re.search(words, line) and (damage is relabelled or "all 6 were" in line)
    assert not (tmp_path / "out").exists()


def last_line(run_command, capsys, raw, out):
    """What a preparation that fails says last."""
    assert run_command("prepare", raw, "--out", out) == 2
    assert not out.exists()
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_the_last_line_says_that_frames_show_no_device(run_command, tmp_path, capsys):
    raw, rng = tmp_path / "raw", np.random.default_rng(0)
    device = np.kron(rng.integers(40, 200, (6, 6)), np.ones((8, 8)))
    for i in range(21):
        shown = device if i else np.full((48, 48), 90.0)  # one pocket is empty
        path = raw / ("good" if i else "defect") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = shown + rng.normal(0, 9, (48, 48))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    assert last_line(run_command, capsys, raw, tmp_path / "out") == (
        f"error: {raw}: no defect picture is left: the only one was dropped as "
        "not_a_device, such as defect/0.png; the frames seem to show no device; keep "
        "those that do by decisions.csv (PATH,keep,)."
    )


def test_the_last_line_says_that_pictures_to_be_scored_are_copies(
    classes, run_command, tmp_path, capsys
):
    shutil.copytree(classes / "defect", classes / "unlabelled")
    assert last_line(run_command, capsys, classes, tmp_path / "out") == (
        f"error: {classes}: no defect picture is left: all 6 were dropped as "
        "duplicate, such as defect/0.png; they are copies of pictures that stay; add "
        "others."
    )


def test_the_last_line_says_that_new_pictures_bridge_earlier_splits(
    run_command, tmp_path, capsys
):
    raw = tmp_path / "raw"
    lines = [("path", "label", "group")]
    raw.mkdir()
    for i in range(36):
        rng = np.random.default_rng(i)
        patches = np.kron(rng.integers(60, 160, (12, 12)), np.ones((8, 8)))
        pixels = patches + rng.integers(0, 12, patches.shape)
        Image.fromarray(pixels.astype(np.uint8)).save(raw / f"{i}.png")
        lines.append((f"{i}.png", "defect" if i >= 24 else "good", f"lot{i // 3}"))
    files.write_csv(raw / "labels.csv", lines[0], lines[1:])
    assert run_command("prepare", raw, "--out", tmp_path / "out" / "first") == 0
    rows = manifest.read(tmp_path / "out" / "first" / "manifest.csv")
    good = [row for row in rows if row.label == "good"]
    trained_lot = next(row.group for row in good if row.split == "train")
    for i in range(24, 36):  # the defects go, and come again as worn good devices
        (raw / f"{i}.png").unlink()
    lines = lines[:25]
    for row in [row for row in good if row.split == "test"]:
        pixels = np.array(Image.open(raw / row.path))
        pixels[48, 48:68] = 230
        Image.fromarray(pixels).save(raw / f"worn{row.path}")
        lines.append((f"worn{row.path}", "defect", trained_lot))
    files.write_csv(raw / "labels.csv", lines[0], lines[1:])
    count, first = len(lines) - 25, min(line[0] for line in lines[25:])
    assert count > 1
    assert last_line(run_command, capsys, raw, tmp_path / "out" / "second") == (
        f"error: {raw}: no defect picture is left: all {count} were dropped as "
        f"bridges_splits, such as {first}; they would tie splits of earlier pictures "
        "together; split anew with --keep-splits none."
    )


def test_of_several_reasons_the_most_frequent_is_named():
    reasons = ["duplicate", *["unsupported"] * 3, "decision"]
    rows = [
        manifest.Row("", f"ng/{i}.tif", "defect", "defect", dropped_because=reason)
        for i, reason in enumerate(reasons)
    ]
    run = prepared.Prepared(pathlib.Path("raw"), raw_folder.RawFolder("folder", rows))
    run.messages["ng/1.tif"] = "several pages"
    assert summary.why_missing(run, ["defect"]) == (
        "no defect picture is left: all 5 were dropped, 3 of them as unsupported, such "
        "as ng/1.tif (several pages); convert the others likewise"
    )
    assert summary.REMEDIES.keys() == {*manifest.REASONS} - {manifest.NOT_LISTED}


def test_groups_that_leave_validation_without_a_defect_are_named(
    classes, run_command, tmp_path, capsys
):
    lines = [(f"good/{i}.png", "good", f"L{i}") for i in range(12)]
    lines += [(f"defect/{i}.png", "defect", "M1") for i in range(6)]
    files.write_csv(classes / "labels.csv", ("path", "label", "group"), lines)
    assert run_command("prepare", classes, "--out", tmp_path / "out") == 0
    warned = capsys.readouterr().out
    said = (
        "no defect device is left for validation and test: all 6 stand in one group "
        "kept whole (M1 6); add pictures, or let --group or a split column say what "
        "may stand apart"
    )
    assert f"warning: {said}" in warned
    argv = ("--data", tmp_path / "out", "--data-dir", tmp_path / "data")
    assert run_command("train", *argv, "--out", tmp_path / "run") == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "defect devices in split validation" in line and said in line


def test_a_look_that_tells_much_is_said_with_its_auc():
    def said(**by_look):
        return summary.facts({"probe": {"auc_by_look": by_look}})

    (line,) = said(darkness=0.874, blur=0.6)
    assert line.startswith("darkness alone: AUC 0.87 (nexperia baseline")
    assert said(darkness=0.7) == said() == summary.facts({"probe": {}}) == []
