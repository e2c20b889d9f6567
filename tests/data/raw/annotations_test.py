import pathlib

import pytest

from nexperia_tf import errors
from nexperia_tf.data import manifest
from nexperia_tf.data.raw import annotations, raw_folder

TABLE = pathlib.Path("annotations.csv")
BOX = [1, 2, 3, 4]


def boxed(paths, *names, labels=None):
    """What becomes of a box for each name: the boxes by path, and the folder."""
    rows = [manifest.Row("", path, label="defect") for path in paths]
    for row in rows:
        row.label = (labels or {}).get(row.path, row.label)
    folder = raw_folder.RawFolder("folder", rows, has_boxes=True)
    lines = ((f"annotations.csv:{n + 2}", name, BOX) for n, name in enumerate(names))
    annotations.add_boxes(folder, rows, TABLE, lines)
    return {row.path: row.boxes for row in rows if row.boxes}, folder


@pytest.mark.parametrize("name", ["ng/a.png", "ng/a", "a.png", "a"])
def test_a_picture_is_known_by_path_or_name_with_or_without_ending(name):
    assert boxed(["ng/a.png", "ng/b.png"], name)[0] == {"ng/a.png": [BOX]}


@pytest.mark.parametrize("name", ["a.png", "a"])
def test_a_name_that_fits_two_pictures_is_refused_with_both(name):
    with pytest.raises(errors.BadInput) as error:
        boxed(["good/a.png", "ng/a.png"], name)
    assert str(error.value).startswith(
        f"annotations.csv:2: {name!r} fits 2 pictures, good/a.png and ng/a.png; "
    )
    assert boxed(["good/a.png", "ng/a.png"], "ng/a")[0] == {"ng/a.png": [BOX]}


def test_a_whole_path_wins_over_the_end_of_another():
    assert boxed(["a.png", "ng/a.png"], "a.png")[0] == {"a.png": [BOX]}
    with pytest.raises(errors.BadInput, match="fits 2 pictures, ng/a.png and ng/a.bmp"):
        boxed(["ng/a.png", "ng/a.bmp"], "ng/a")


def test_pictures_that_are_only_scored_take_no_box_from_others():
    paths = ["train/a.bmp", "test/a.bmp"]
    assert boxed(paths, "a", labels={"test/a.bmp": ""})[0] == {"train/a.bmp": [BOX]}


def test_names_of_no_picture_are_counted():
    _, folder = boxed(["a.png"], "a", "gone/b.png", "c")
    assert folder.warnings == [
        "annotations.csv: 2 lines name no picture that is there, 'gone/b.png' first"
    ]
