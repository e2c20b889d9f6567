"""The look-alike devices: deterministic, reconciled, without a leak in the names."""

import collections
import csv
import json
import pathlib
import re

import cv2
import numpy as np
import PIL.Image
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

from nexperia_tf import command, errors
from nexperia_tf.sample import command as sample
from nexperia_tf.sample import plan, visibility
from nexperia_tf.statistics import metrics

# The grammar of the real names, forms P, D, S and N.
NAME = re.compile(
    r"((?P<lot>[A-Z0-9]{12})_(?P<sub>\d\d)"
    r"(?P<form>-[A-Z0-9]{3}-ITISA\d{2,3}-|-APG_ITIS_H\d{2,3}_|_))?"
    r"(?P<track>[12])_(?P<seq>\d{1,4})_(?P<pos>[1-4])(?P<copy> - Copy)?"
)
MEDIAN_BOXES = {  # width and height over the real annotations
    "chipping": (79, 60),
    "foreign_material": (67, 34),
    "lead_defect": (53, 53),
    "lead_glue": (34, 32),
    "marking_defect": (166, 64),
    "scratch": (79, 72),
}
DEVICES = 180


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A drawn folder of form hand_over and the rows of its truth.csv."""
    raw = tmp_path_factory.mktemp("sample") / "raw"
    sample.draw(raw, devices=DEVICES, seed=3)
    return raw, read_table(raw / "truth.csv")


@pytest.fixture(scope="module")
def benchmark():
    """The plan of the benchmark sample; nothing is drawn."""
    return plan.plan(3400, 0)


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
    assert summary["schema"] == sample.SCHEMA
    assert summary["files"] == len(truth) == sum(summary["files_by_kind"].values())
    assert summary["visibility"].keys() == visibility.TABLE.keys()


def test_names_follow_the_real_grammar_and_are_unique(benchmark):
    names = [file.name for file in benchmark.files]
    assert all(NAME.fullmatch(name) for name in names)
    assert len(names) == len(set(names))


def test_every_form_of_name_is_as_common_among_defects(benchmark):
    shares = {}
    for bad in (False, True):
        forms = [
            re.sub(r"\d|(?<=-)\w{3}(?=-)", "", NAME.fullmatch(file.name)["form"] or "N")
            for file in benchmark.files
            if bool(file.device.defect_type) == bad
        ]
        counts = collections.Counter(forms)
        shares[bad] = {form: count / len(forms) for form, count in counts.items()}
    for form in ("--ITISA-", "-APG_ITIS_H_", "_"):
        assert shares[True][form] == pytest.approx(shares[False][form], abs=0.05)


def test_parts_of_a_name_do_not_tell_the_label(benchmark):
    ordinary = [file for file in benchmark.files if not file.kind]
    parts = [NAME.fullmatch(file.name).groupdict("") for file in ordinary]
    machines = [re.search(r"ITIS_?[AH](\d+)", file.name) for file in ordinary]
    columns = [[len(part["form"]) for part in parts]]
    columns.append([int(match[1]) if match else 0 for match in machines])
    columns += [[int(part[key] or 0) for part in parts] for key in ("sub", "track")]
    columns += [[int(part[key]) for part in parts] for key in ("seq", "pos")]
    columns.append([file.lot for file in ordinary])
    labels = np.array([bool(file.device.defect_type) for file in ordinary], int)
    scores = cross_val_predict(
        RandomForestClassifier(60, min_samples_leaf=10, random_state=0),
        np.array(columns).T,
        labels,
        cv=4,
        method="predict_proba",
    )[:, 1]
    assert metrics.auc(labels, scores) == pytest.approx(0.5, abs=0.05)


def test_lots_and_machines_hold_both_labels_alike(benchmark):
    by_lot, by_machine = collections.defaultdict(list), collections.defaultdict(list)
    for file in benchmark.files:
        if not file.kind:
            bad = bool(file.device.defect_type)
            by_lot[file.lot].append(bad)
            by_machine[benchmark.lots[file.lot].machine].append(bad)
    assert len(by_lot) >= 60
    assert all(0.08 < np.mean(labels) < 0.35 for labels in by_lot.values())
    assert all(0.17 < np.mean(labels) < 0.24 for labels in by_machine.values())


def test_benchmark_has_enough_defects_for_a_test_split_of_lots(benchmark):
    usable = [
        file for file in benchmark.files if file.kind in ("", "escapee", "zero_box")
    ]
    defects = sum(bool(file.device.defect_type) for file in usable)
    assert 0.15 * defects >= 104
    assert defects / len(usable) == pytest.approx(0.21, abs=0.01)


@pytest.mark.parametrize("defect_type", sorted(visibility.TABLE))
def test_a_defect_changes_pixels_inside_its_box_only(defect_type):
    for index, level in enumerate(visibility.TABLE[defect_type]):
        clean, none = sample.device(2, index)
        pixels, box = sample.device(2, index, defect_type, level=level)
        assert none is None
        assert (pixels != clean).any()
        if defect_type in plan.UNBOXED_TYPES:
            assert box is None
            continue
        x1, y1, x2, y2 = box
        assert 0 <= x1 < x2 < 275 and 0 <= y1 < y2 < 267
        outside = pixels != clean
        assert outside[y1 : y2 + 1, x1 : x2 + 1].any()
        outside[y1 : y2 + 1, x1 : x2 + 1] = False
        assert not outside.any()


@pytest.mark.parametrize("defect_type", sorted(MEDIAN_BOXES))
def test_boxes_are_about_as_large_as_the_real_ones(defect_type):
    boxes = np.array(
        [sample.device(4, index, defect_type)[1] for index in range(40)], float
    )
    sizes = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    np.testing.assert_allclose(sizes, MEDIAN_BOXES[defect_type], rtol=0.45)


@pytest.mark.parametrize("defect_type", ["chipping", "scratch", "lead_glue"])
def test_fainter_levels_leave_fainter_traces(defect_type):
    clean, _ = sample.device(6, 11)
    traces = [
        np.abs(
            sample.device(6, 11, defect_type, level=level)[0].astype(int) - clean
        ).sum()
        for level in visibility.LEVELS
    ]
    assert traces == sorted(traces, reverse=True)


def test_shares_of_every_type_add_up_to_one():
    for levels in visibility.TABLE.values():
        assert sum(share for share, _ in levels.values()) == pytest.approx(1)
        assert set(levels) <= set(visibility.LEVELS)


@pytest.mark.parametrize("devices", [20, 33, 100])
def test_small_samples_hold_both_classes_and_several_lots(devices):
    planned = plan.plan(devices, 1)
    labels = collections.Counter(file.device.label for file in planned.files)
    assert labels["defect"] >= 4 and labels["good"] >= 0.6 * devices
    assert len({file.lot for file in planned.files}) >= 6


def test_second_stage_form_has_the_contests_folders_and_tables(tmp_path):
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
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(
    tmp_path, arguments, message
):
    with pytest.raises(errors.BadInput, match=message):
        sample.draw(tmp_path / "raw", **arguments)
    assert not list(tmp_path.iterdir())
