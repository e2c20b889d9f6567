"""Tables of scores, from a model that answers without a network."""

import collections
import types

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, files, sizes
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import predict, score_table


def served(*, channels: int = 1, threshold: float = 0.5) -> types.SimpleNamespace:
    """Scores a picture by its brightness."""
    asked = []

    def answers(pixels):
        assert pixels.shape[1:] == (8, 8, channels) and pixels.dtype == np.uint8
        asked.append(len(pixels))
        scores = np.array([each.mean() / 255 for each in pixels])
        called = run_folders.verdicts(np.float32(scores), np.float32(threshold))
        return {"score": scores, "label": np.array([word.encode() for word in called])}

    return types.SimpleNamespace(
        asked=asked,
        answers=answers,
        facts={"channels": channels},
        image_size=sizes.Size(8, 8),
        depth_range=None,
        calibration=run_folders.Calibration(threshold=threshold),
    )


@pytest.fixture
def folder(tmp_path):
    """Five grey pictures of rising brightness, a colour one, and two that are none."""
    for level in (10, 60, 110, 160, 210):
        pixels = np.full((8, 8), level, np.uint8)
        path = tmp_path / "sub" / f"{level:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    Image.new("RGB", (8, 8), (200, 10, 10)).save(tmp_path / "colour.PNG")
    (tmp_path / "empty.bmp").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "notes.txt").write_text("not even by its name")
    return tmp_path


def test_every_picture_has_a_row_in_order_of_its_path_scored_or_with_a_problem(folder):
    rows = list(predict.predict(served(), folder))
    assert [row["path"] for row in rows] == [
        "colour.PNG",
        "empty.bmp",
        *(f"sub/{level:03}.png" for level in (10, 60, 110, 160, 210)),
        "text.jpg",
    ]
    for row in rows:
        assert set(row) == set(score_table.COLUMNS)
        assert bool(row["problem"]) == (row["score"] == "") == (row["label"] == "")
    assert "in colour" in rows[0]["problem"]


def test_rows_do_not_depend_on_the_batch_size_and_bad_files_are_not_sent(folder):
    expected = list(predict.predict(served(), folder))
    for size in (1, 3, 100):
        model = served()
        assert list(predict.predict(model, folder, batch_size=size)) == expected
        assert sum(model.asked) == 5 and max(model.asked) <= size


def test_a_threshold_of_the_table_replaces_the_models_own(folder):
    def called_defect(**options):
        rows = predict.predict(served(threshold=0.5), folder, **options)
        scored = [row for row in rows if not row["problem"]]
        assert len({row["threshold"] for row in scored}) == 1
        return [row["score"] for row in scored if row["label"] == "defect"]

    own, lower = called_defect(), called_defect(threshold=0.2)
    assert own == pytest.approx([160 / 255, 210 / 255])
    assert lower == pytest.approx([60 / 255, 110 / 255, 160 / 255, 210 / 255])


def test_a_colour_model_takes_both(folder):
    rows = predict.predict(served(channels=3), folder)
    assert not next(row for row in rows if row["path"] == "colour.PNG")["problem"]


def test_masks_of_pictures_are_left_out_and_what_fits_none_is_scored(folder):
    mask = Image.fromarray(np.eye(8, dtype=np.uint8) * 255)
    for name in ("ground_truth/sub/010.png", "sub/060_mask.png", "masks/alone.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        mask.save(folder / name)
    found = predict.pictures(folder)
    assert found.left_out == {"masks": 2, "tables and texts": 1}
    rows = {row["path"]: row for row in predict.predict(served(), folder)}
    assert len(rows) == 9 and not rows["masks/alone.png"]["problem"]


@pytest.mark.parametrize("size", [0, -1, 65537])
def test_a_batch_has_at_least_one_picture(folder, size):
    with pytest.raises(errors.BadInput, match=rf"batch_size {size}: a whole number"):
        next(predict.predict(served(), folder, batch_size=size))


def test_a_folder_without_pictures_is_refused_by_name(tmp_path):
    with pytest.raises(errors.BadInput, match="no such folder"):
        predict.pictures(tmp_path / "missing")
    files.write_text(tmp_path / "a.txt", "")
    with pytest.raises(errors.BadInput, match="holds no picture"):
        predict.pictures(tmp_path)


@pytest.mark.parametrize(("text", "threshold"), [("", None), (" .3", 0.3)])
def test_the_threshold_flag_is_a_score_or_empty(text, threshold):
    assert predict._threshold(text) == threshold


def test_a_catch_rate_needs_labels():
    with pytest.raises(errors.BadInput, match="has no catch rate"):
        predict._threshold("tpr=.99")


def test_the_commonest_problem_is_named_once():
    problems = collections.Counter(["torn", "empty", "torn"])
    assert predict._not_scored(problems) == "3 not scored: 2 x torn"
    assert predict._not_scored(collections.Counter()) == "0 not scored"
