import collections
import pathlib

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.data.raw import layouts


def _draw(raw: pathlib.Path, *names: str, size=(48, 40)) -> pathlib.Path:
    """Pictures, or masks with a mark at 4..12 and one at 20..30 across, 3..9 down."""
    for name in names:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(name))
        pixels = rng.integers(1, 255, size[::-1], np.uint8)
        if "mask" in name or "ground_truth" in name:
            pixels[:] = 0
            pixels[3:9, 4:12] = pixels[3:9, 20:30] = 255
        Image.fromarray(pixels).save(raw / name)
    return raw


MARKS = [[4, 3, 12, 9], [20, 3, 30, 9]]


def _found(raw: pathlib.Path, **options):
    folder = layouts.scan(raw, **options)
    rows = {r.path: r for r in folder.rows if not r.dropped_because}
    return folder, rows


def test_splits_above_class_folders_are_the_given_ones(tmp_path):
    raw = _draw(
        tmp_path,
        *(f"train/{name}/0.png" for name in ("good", "crack", "bad")),
        *(f"Val/{name}/0.png" for name in ("good", "crack")),
        *(f"test/{name}/0.png" for name in ("good", "dirt")),
    )
    folder, rows = _found(raw)
    assert {path: (r.split, r.label, r.defect_type) for path, r in rows.items()} == {
        "train/good/0.png": ("train", "good", ""),
        "train/crack/0.png": ("train", "defect", "crack"),
        "train/bad/0.png": ("train", "defect", ""),
        "Val/good/0.png": ("validation", "good", ""),
        "Val/crack/0.png": ("validation", "defect", "crack"),
        "test/good/0.png": ("test", "good", ""),
        "test/dirt/0.png": ("test", "defect", "dirt"),
    }
    assert folder.given_splits and folder.layout == "folder"
    assert folder.form == (
        "class folders in Val = validation, test = test, train = train; good = good; "
        "bad = defect; crack, dirt = kinds of defect"
    )


def test_test_pictures_in_no_class_folder_are_to_be_scored(tmp_path):
    raw = _draw(
        tmp_path, "train/ok/0.png", "train/ng/0.png", "test/0.png", "test/1.png"
    )
    folder, rows = _found(raw)
    assert [(r.label, r.split) for r in rows.values()] == [
        ("", "unlabelled"),
        ("", "unlabelled"),
        ("defect", ""),
        ("good", ""),
    ]
    assert not folder.given_splits and "only train holds class folders" in folder.form


def test_a_training_folder_without_defects_is_dealt_anew_with_masks_as_boxes(tmp_path):
    raw = _draw(
        tmp_path,
        *(f"train/good/{i:03}.png" for i in range(3)),
        *(f"test/{kind}/000.png" for kind in ("good", "cut", "hole")),
        *(f"ground_truth/{kind}/000_mask.png" for kind in ("cut", "hole")),
    )
    (raw / "license.txt").write_text("by others")
    folder, rows = _found(raw)
    assert folder.form == (
        "class folders in test = test, train = train; good = good; cut, hole = kinds "
        "of defect; train holds no defect, so all labelled pictures are split anew"
    )
    assert not folder.given_splits and {r.split for r in rows.values()} == {""}
    assert collections.Counter(r.label for r in rows.values()) == {
        "good": 4,
        "defect": 2,
    }
    boxes = {path: r.boxes for path, r in rows.items() if r.boxes}
    assert boxes == {"test/cut/000.png": MARKS, "test/hole/000.png": MARKS}
    assert folder.has_boxes
    assert folder.left_out == {"tables and texts": 1, "masks (read as boxes)": 2}
    assert len({r.image_id for r in rows.values()}) == len(rows) == 6


@pytest.mark.parametrize(
    "mask",
    ["crack/masks/7.png", "masks/crack/7.png", "masks/7_mask.png", "crack/7_mask.png"],
)
def test_masks_beside_pictures_are_boxes_and_no_class(tmp_path, mask):
    folder, rows = _found(_draw(tmp_path, "good/1.png", "crack/7.jpg", mask))
    assert {path: r.boxes for path, r in rows.items()} == {
        "good/1.png": [],
        "crack/7.jpg": MARKS,
    }
    assert len(folder.rows) == 2 and folder.left_out == {"masks (read as boxes)": 1}


def test_masks_may_differ_from_their_pictures_in_the_ending_alone(tmp_path):
    names = [f"{kind}/Imgs/{i}.jpg" for kind in ("free", "crack") for i in range(3)]
    raw = _draw(tmp_path, *names, "crack/Imgs/both.bmp", "crack/Imgs/both.jpg")
    for name in names:
        with Image.open(_draw(tmp_path / "m", "mask.png") / "mask.png") as mask:
            mark = 0 if "free" in name else 1
            mask.point(lambda level, mark=mark: level * mark).save(
                (raw / name).with_suffix(".png")
            )
    (tmp_path / "m/mask.png").unlink()
    folder, rows = _found(raw, good="free")
    assert {path: r.boxes for path, r in rows.items() if r.boxes} == {
        f"crack/Imgs/{i}.jpg": MARKS for i in range(3)
    }
    assert len(rows) == 8 and folder.left_out == {"masks (read as boxes)": 6}


@pytest.mark.parametrize("kind", ["16 bit", "1 bit", "palette", "RGB", "JPEG"])
def test_a_mask_may_be_stored_in_any_way(tmp_path, kind):
    raw = _draw(tmp_path, "good/1.png", "crack/7.png", "masks/7.png")
    with Image.open(raw / "masks/7.png") as drawn:
        marked = np.asarray(drawn) > 0
    mask = Image.fromarray(marked.astype(np.uint8))
    if kind == "16 bit":
        mask = Image.fromarray(marked.astype(np.uint16))
    if kind == "palette":
        mask.putpalette([0, 0, 0, 128, 0, 0])
    if kind in ("1 bit", "RGB", "JPEG"):
        mode = {"1 bit": "1", "RGB": "RGB", "JPEG": "L"}[kind]
        mask = Image.fromarray(marked.astype(np.uint8) * 255).convert(mode)
    mask.save(raw / "masks/7.png", "JPEG" if kind == "JPEG" else "PNG")
    assert _found(raw)[1]["crack/7.png"].boxes == MARKS


def test_masks_of_the_same_number_go_by_their_folder_or_are_refused(tmp_path):
    raw = _draw(tmp_path, "good/0.png", "a/0.png", "b/0.png", "ground_truth/b/0.png")
    _, rows = _found(raw)
    assert {path: bool(r.boxes) for path, r in rows.items()} == {
        "good/0.png": False,
        "a/0.png": False,
        "b/0.png": True,
    }
    _draw(raw, "masks/0.png")
    with pytest.raises(errors.BadInput, match=r"masks/0.png: .* a/0.png and b/0.png"):
        layouts.scan(raw)


def test_a_mask_without_use_is_a_row_with_its_reason(tmp_path):
    raw = _draw(tmp_path, "good/1.png", "bad/7.png", "masks/bad/7.png", "masks/9.png")
    (raw / "masks/bad/7.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    folder, rows = _found(raw)
    assert sorted(rows) == ["bad/7.png", "good/1.png"]
    dropped = {r.path: r.dropped_because for r in folder.rows if r.dropped_because}
    assert dropped == {"masks/9.png": "not_listed", "masks/bad/7.png": "unreadable"}
    assert folder.messages["masks/9.png"] == "is a mask that fits no picture"
    assert "is a mask that cannot be read" in folder.messages["masks/bad/7.png"]


def test_a_kind_of_defect_may_be_called_mask(tmp_path):
    raw = _draw(tmp_path, "good/1.png", "good/2.png")
    _draw(raw, "crack/2.png")
    (raw / "crack").rename(raw / "mask")
    _, rows = _found(raw)
    assert rows["mask/2.png"].defect_type == "mask"


def test_a_single_folder_above_the_classes_is_looked_through(tmp_path):
    raw = _draw(tmp_path, "all/images/good/1.png", "all/images/crack/2.png")
    _draw(raw, "all/masks/crack/2.png")
    _, rows = _found(raw)
    assert {p: (r.label, r.boxes) for p, r in rows.items()} == {
        "all/images/crack/2.png": ("defect", MARKS),
        "all/images/good/1.png": ("good", []),
    }


def test_unlabelled_pictures_may_stand_beside_the_classes(tmp_path):
    raw = _draw(tmp_path, "good/1.png", "crack/2.png", "unlabelled/deep/3.png")
    _, rows = _found(raw)
    assert rows["unlabelled/deep/3.png"].split == "unlabelled"


def test_splits_beside_classes_are_refused(tmp_path):
    raw = _draw(tmp_path, "good/1.png", "crack/2.png", "test/3.png")
    with pytest.raises(errors.BadInput, match="test would be splits, but stand beside"):
        layouts.scan(raw)


def test_masks_serve_a_labels_table_without_boxes(tmp_path):
    raw = _draw(tmp_path, "i/1.png", "i/2.png", "masks/2.png")
    (raw / "labels.csv").write_text("path,label\ni/1.png,ok\ni/2.png,scratch\n")
    folder, rows = _found(raw)
    assert rows["i/2.png"].boxes == MARKS
    assert folder.form == "labels.csv; ok = good; scratch = kind of defect"
