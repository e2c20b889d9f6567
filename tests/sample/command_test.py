"""The look-alike devices: deterministic, reconciled, without a leak in the names."""

import collections
import csv
import hashlib
import json
import pathlib

import cv2
import numpy as np
import PIL.Image
import pytest

from nexperia_tf import command, errors
from nexperia_tf.sample import command as sample
from nexperia_tf.sample import plan, visibility

DEVICES = 180


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A drawn folder of layout hand_over and the rows of its truth.csv."""
    raw = tmp_path_factory.mktemp("sample") / "raw"
    sample.draw(raw, devices=DEVICES, seed=3)
    return raw, read_table(raw / "truth.csv")


def read_table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def image_files(raw):
    endings = {".bmp", ".jpg"}
    return {
        path.relative_to(raw).with_suffix("").as_posix(): path
        for path in raw.rglob("*")
        if path.suffix in endings
    }


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("layout", sample.LAYOUTS)
def test_the_same_arguments_give_the_same_bytes(tmp_path, layout):
    for name in ("one", "two"):
        sample.draw(tmp_path / name, devices=24, seed=5, layout=layout)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_another_seed_draws_other_devices():
    pixels, _ = sample.device(0, 1)
    others, _ = sample.device(1, 1)
    assert (pixels != others).mean() > 0.5


def test_pictures_are_grey_bmp_of_the_cameras_size(drawn):
    raw, truth = drawn
    files = image_files(raw)
    ordinary = [row for row in truth if row["kind"] in ("", "escapee")]
    for row in ordinary[:30]:
        with PIL.Image.open(files[row["image_id"]]) as image:
            assert (image.format, image.mode, image.size) == ("BMP", "L", (275, 267))


def test_bmp_holds_the_pixels_that_were_drawn():
    pixels, _ = sample.device(0, 2)
    decoded = cv2.imdecode(
        np.frombuffer(sample._bmp(pixels), np.uint8), cv2.IMREAD_UNCHANGED
    )
    np.testing.assert_array_equal(decoded, pixels)


def test_truth_names_every_file_and_no_other(drawn):
    raw, truth = drawn
    ids = [row["image_id"] for row in truth]
    assert len(ids) == len(set(ids))
    assert set(ids) == set(image_files(raw))


def test_files_lie_in_the_folder_of_the_class_they_were_filed_as(drawn):
    _, truth = drawn
    for row in truth:
        folder = pathlib.PurePosixPath(row["image_id"]).parent
        if row["filed_as"] == "good":
            assert folder.name.endswith("PassImage")
        else:
            assert folder.name == row["filed_as"]
            assert folder.parent.name.endswith("Labeled_Image")


def test_annotations_are_the_true_boxes_but_for_the_planted_faults(drawn):
    raw, truth = drawn
    drawn_boxes = {}
    for path in raw.rglob("ImageLabel.csv"):
        for line in path.read_text().splitlines():
            name, kind, shape, *corners = line.split(",")
            assert kind == path.parent.name and shape == "rectangle"
            image_id = (path.parent / name).relative_to(raw).as_posix()
            drawn_boxes[image_id] = [int(corner) for corner in corners]
    planted = collections.Counter(row["annotation"] for row in truth)
    assert planted["zero"] >= 1 and planted["missing"] >= 1
    for row in truth:
        box = drawn_boxes.pop(row["image_id"], None)
        if row["annotation"] == "box":
            assert box == [int(row[corner]) for corner in ("x1", "y1", "x2", "y2")]
        elif row["annotation"] == "zero":
            assert box[0] == box[2] and box[1] == box[3]
        else:
            assert box is None
    assert not drawn_boxes


def test_classes_without_boxes_by_nature_have_no_annotation_file(drawn):
    raw, _ = drawn
    (labeled,) = raw.glob("*Labeled_Image")
    for name in plan.UNBOXED_TYPES:
        assert not (labeled / name / "ImageLabel.csv").exists()
    assert (labeled / "chipping" / "ImageLabel.csv").exists()


def test_every_kind_of_copy_is_what_truth_says(drawn):
    raw, truth = drawn
    files = image_files(raw)
    seen = set()
    for row in truth:
        if not row["source"]:
            continue
        seen.add(row["kind"])
        copy, source = files[row["image_id"]], files[row["source"]]
        if row["kind"] == "byte_copy":
            assert copy.read_bytes() == source.read_bytes()
            continue
        assert copy.read_bytes() != source.read_bytes()
        a, b = (np.asarray(PIL.Image.open(path), float) for path in (copy, source))
        if row["kind"] == "png_copy":
            np.testing.assert_array_equal(a, b)
        elif row["kind"] in ("jpeg_copy", "brightness_copy"):
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97
        else:  # shifted_copy, burst: some shift brings them together
            shifts = [(x, y) for x in range(-5, 6) for y in range(-5, 6)]
            inner = b[10:-10, 10:-10]
            nearest = min(
                np.abs(np.roll(a, (y, x), (0, 1))[10:-10, 10:-10] - inner).mean()
                for x, y in shifts
            )
            assert nearest < 4
    assert seen == set(plan.COPIES)


def test_broken_files_cannot_be_read_and_all_others_can(drawn):
    raw, truth = drawn
    files = image_files(raw)
    broken = set()
    for row in truth:
        try:
            with PIL.Image.open(files[row["image_id"]]) as image:
                image.load()
        except OSError:
            broken.add(row["kind"])
        else:
            assert row["kind"] not in plan.BROKEN
    assert broken == set(plan.BROKEN)


def test_wrong_labels_are_escapees_and_frames_without_device(drawn):
    _, truth = drawn
    wrong = [
        row["kind"]
        for row in truth
        if row["label"] == "defect" and row["filed_as"] == "good" and not row["source"]
    ]
    assert set(wrong) == {"escapee", "no_device"}
    assert len(wrong) < 0.05 * len(truth)


def test_summary_carries_version_and_table(drawn):
    raw, truth = drawn
    summary = json.loads((raw / "summary.json").read_text())
    assert summary["sample_version"] == sample.VERSION
    assert summary["look"] == visibility.STANDARD
    assert summary["schema"] == sample.SCHEMA
    assert summary["files"] == len(truth) == sum(summary["files_by_kind"].values())
    assert summary["visibility"].keys() == plan.PROPORTIONS.keys()


# SHA-256 of what version 1 drew, taken before there were looks.
VERSION_1_DEVICES = "ee4d159e57c13b93af671f72f56924487acdd6ed52fa6acfa6af268643e99fc8"
VERSION_1_FOLDER = "93f9e01dadc194404d25f77d68d2177afc44642abf644b69b86aa08699593fd4"


def test_the_hard_look_draws_every_defect_as_version_1_did():
    digest = hashlib.sha256()
    hard = visibility.LOOKS[visibility.HARD].levels
    for defect_type in sorted(hard):
        for level in hard[defect_type]:
            for index in range(12):
                how = {"level": level, "look": visibility.HARD}
                pixels, box = sample.device(2, index, defect_type, **how)
                digest.update(pixels.tobytes() + repr(box).encode())
    assert digest.hexdigest() == VERSION_1_DEVICES


def test_the_hard_look_plans_and_names_files_as_version_1_did(tmp_path):
    raw = tmp_path / "raw"
    sample.draw(raw, devices=160, seed=4, look=visibility.HARD)
    encoded = {  # by libraries, whose next version may write other bytes
        row["image_id"]
        for row in read_table(raw / "truth.csv")
        if row["kind"] in ("png_copy", "jpeg_copy")
    }
    digest = hashlib.sha256()
    for name, kept in content(raw).items():
        stem = str(pathlib.PurePosixPath(name).with_suffix(""))
        if name != "summary.json":
            digest.update(name.encode() + (b"" if stem in encoded else kept))
    assert digest.hexdigest() == VERSION_1_FOLDER
    summary = json.loads((raw / "summary.json").read_text())
    assert (summary["sample_version"], summary["look"]) == (1, visibility.HARD)


def test_make_demo_judges_by_the_truth_of_the_sample_it_draws():
    lines = (pathlib.Path(__file__).parents[2] / "Makefile").read_text()
    assert f"--labels data/sample-v{sample.VERSION}/raw/{sample.TRUTH}" in lines


def test_second_stage_has_the_contests_folders_and_tables(tmp_path):
    raw = tmp_path / "raw"
    sample.draw(raw, devices=40, seed=0, layout="second_stage")
    truth = {row["image_id"]: row for row in read_table(raw / "truth.csv")}
    assert set(truth) == set(image_files(raw))
    folders = collections.Counter(str(pathlib.PurePosixPath(i).parent) for i in truth)
    assert set(folders) == {
        "train/train_contest/defect",
        "train/train_contest/good_all",
        "test/test_contest/test",
    }
    submission = read_table(raw / "submission_sample.csv")
    assert list(submission[0]) == ["id", "defect_score"]
    assert len(submission) == folders["test/test_contest/test"]
    areas = read_table(raw / "defect_area.csv")
    assert list(areas[0]) == ["id", "x_1", "y_1", "x_2", "y_2"]
    assert {f"train/train_contest/defect/{row['id']}" for row in areas} <= set(truth)


def test_command_draws_a_folder_and_refuses_an_existing_one(tmp_path, capsys):
    def run():
        argv = [str(tmp_path / "raw"), "--devices", "20"]
        with pytest.raises(SystemExit) as stop:
            command.run(sample.main, sample.Arguments, argv=argv)
        return stop.value.code

    assert not run()
    assert (tmp_path / "raw" / "truth.csv").exists()
    assert run() == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"devices": 19}, r"--devices 19: a sample needs at least 20"),
        ({"seed": -1}, r"--seed -1: must be 0 or more"),
        ({"layout": "first_stage"}, r"--layout first_stage: choose one of hand_over"),
        ({"look": "easy"}, r"--look easy: choose one of standard, hard"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(
    tmp_path, arguments, message
):
    with pytest.raises(errors.BadInput, match=message):
        sample.draw(tmp_path / "raw", **arguments)
    assert not list(tmp_path.iterdir())
