import json
import shutil

import numpy as np
import pytest

from nexperia_tf import errors, files, predictions
from nexperia_tf.data import manifest
from nexperia_tf.evaluation import serialise
from nexperia_tf.evaluation.report import judging, results, summary
from nexperia_tf.runs import training_pictures


def _row(name: str, split: str, **values) -> manifest.Row:
    values = {"label": "good", "group": f"lot of {name}"} | values
    return manifest.Row(
        name, f"{name}.png", split=split, pixel_sha256=f"content {name}", **values
    )


def _judged(rows, training_set) -> training_pictures.Overlap:
    names = [row.image_id for row in rows if row.split == "test"]
    return training_pictures.overlap(
        names, training_pictures.hashes_of_rows(rows), training_set
    )


FIRST = [
    _row("a", "train", twin_group="a"),
    _row("b", "train", label="defect", cluster="b"),
    _row("c", "", cluster="b", dropped_because="duplicate"),
    _row("d", "test"),
]


def test_a_picture_is_known_by_what_it_shows_and_not_by_its_name():
    training_set = training_pictures.of_rows(FIRST, "base")
    moved = _row("z", "test")
    moved.pixel_sha256 = "content a"
    found = _judged([moved, _row("new", "test")], training_set)
    assert (found.pictures, found.twins, found.by) == (("z",), (), ("base",))
    counts = found.counts()
    assert counts.of == 2 and counts.first == "z" and not counts.unknown


def test_a_copy_that_was_dropped_then_and_a_twin_found_now_are_twins():
    training_set = training_pictures.of_rows(FIRST, "base")
    copy = _row("c", "test")  # dropped as a copy of b when b was trained on
    twin = _row("n", "test", twin_group="a")  # of a, which lies in train now, too
    found = _judged([copy, twin, _row("a", "train", twin_group="a")], training_set)
    assert found.pictures == () and found.twins == ("c", "n")


def test_defects_that_only_drawn_ones_replaced_were_not_trained_on():
    training_set = training_pictures.of_rows(FIRST, "base", without_defects=True)
    assert {line.pixel_sha256 for line in training_set.lines} == {"content a"}


def test_a_book_survives_its_file_and_without_groups_names_no_lot(tmp_path):
    training_set = training_pictures.merged(
        [
            training_pictures.of_rows(FIRST, "base"),
            training_pictures.unknown("old"),
        ]
    )
    training_pictures.write(tmp_path / "book.csv", training_set)
    assert training_pictures.read(tmp_path / "book.csv") == training_set
    assert training_set.groups == {"lot of a", "lot of b"}
    assert training_set.unknown == ["old"]
    training_pictures.write(tmp_path / "out.csv", training_set, groups=False)
    assert "lot" not in (tmp_path / "out.csv").read_text()
    assert training_pictures.read(tmp_path / "out.csv").by_content().keys() == (
        training_set.by_content().keys()
    )
    (tmp_path / "book.csv").write_text("pixel_sha256,what,run,group\nx,pear,base,\n")
    with pytest.raises(errors.BadInput, match=r"book.csv:2: 'pear' is no kind"):
        training_pictures.read(tmp_path / "book.csv")


def _older_run(folder, rows, data_dir, **config) -> None:
    """A run of a version that kept no list, beside its records."""
    (folder / "predictions").mkdir(parents=True)
    sizes = {s: sum(r.split == s for r in rows if r.used) for s in ("train", "test")}
    config = {"data_dir": str(data_dir), "run": {"splits": sizes}} | config
    files.write_json(folder / "config.json", config)
    names = [[row.image_id, 0, 0.5] for row in rows if row.split == "test"]
    files.write_csv(folder / "predictions" / "test.csv", predictions.REQUIRED, names)
    prepared = data_dir / f"{folder.name}-0123" / "prepared"
    prepared.mkdir(parents=True)
    manifest.write(prepared / "manifest.csv", rows)


def test_of_older_runs_the_records_tell_through_any_number_of_steps(tmp_path):
    _older_run(tmp_path / "base", FIRST, tmp_path / "data")
    second = [_row("e", "train"), _row("a", "test"), _row("f", "test")]
    _older_run(
        tmp_path / "next", second, tmp_path / "data", init=str(tmp_path / "base")
    )
    third = [_row("g", "train"), _row("a", "test"), _row("e", "test")]
    _older_run(tmp_path / "last", third, tmp_path / "data", init=str(tmp_path / "next"))
    found = _judged(third, training_pictures.of_run(tmp_path / "last"))
    assert found.pictures == ("a", "e") and found.by == ("base", "next")
    shutil.rmtree(tmp_path / "data" / "base-0123")
    found = _judged(third, training_pictures.of_run(tmp_path / "last"))
    assert found.pictures == ("e",) and found.unknown == ("base",)
    assert training_pictures.described(found.counts(), "test").endswith(
        "; whether test pictures were trained on is not known of base"
    )


def test_pictures_that_only_have_names_are_not_called_new():
    training_set = training_pictures.of_rows(FIRST, "base")
    assert training_pictures.overlap(["a"], None, training_set).unknown == ("base",)


def test_one_that_the_list_lacks_does_not_hide_the_others():
    training_set = training_pictures.of_rows(FIRST, "base")
    found = training_pictures.overlap(
        ["a", "d", "elsewhere"], training_pictures.hashes_of_rows(FIRST), training_set
    )
    assert (found.pictures, found.unknown, found.unlisted) == (("a",), (), 1)
    assert training_pictures.described(found.counts(), "test") == (
        "1 of 3 test pictures were trained on by base, a first; of 1 of 3 test "
        "pictures nobody can tell, the list of pictures lacks it"
    )


def test_where_all_were_trained_on_no_others_are_spoken_of():
    table = predictions.Predictions(
        np.array(["a", "b"], object), np.array([1, 0]), np.array([0.9, 0.1])
    )
    known = training_pictures.Overlap(2, ("a",), ("b",), ("base",))
    said = summary.seen_in_training(judging.seen_in_training(table, known), "test")
    assert said.endswith("a first; none is left to judge without them")


@pytest.mark.parametrize(("left", "there"), [([0, 1, 0, 1], True), ([0] * 4, False)])
def test_the_auc_of_the_others_is_given_where_both_classes_are_left(left, there):
    label = np.array([1, 0, *left])
    table = predictions.Predictions(
        np.array(list("abcdef"), object), label, np.linspace(0.1, 0.9, 6)
    )
    known = training_pictures.Overlap(6, ("a",), ("b",), ("base",))
    seen = judging.seen_in_training(table, known)
    assert (seen.auc_without is not None) == there
    written = json.loads(json.dumps(serialise.plain(seen)))
    assert (written["auc_without"] is not None) == there
    said = summary.seen_in_training(results.SeenInTraining.of(written))
    assert said.startswith("2 of 6 pictures were trained on by base (1 of them as a t")
    assert ("AUC without them" in said) and ("no AUC" in said) != there
