import collections
import pathlib

import pytest

from nexperia_tf import errors
from nexperia_tf.data.raw import file_names, layouts, raw_folder

GOOD = "WEP937068H1A_21-5CW-ITISA46-1_254_2"
DEFECT = "WEE939001B0A_14-APG_ITIS_H20_1_374_4"


def _files(raw: pathlib.Path, *names: str) -> pathlib.Path:
    for name in names:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).touch()
    return raw


def _by_path(folder: raw_folder.RawFolder) -> dict:
    return {row.path: row for row in folder.rows}


@pytest.mark.parametrize(
    ("name", "form", "lot", "machine", "sequence"),
    [
        (GOOD, "pass", "WEP937068H1A", "46", "254"),
        (DEFECT, "defect", "WEE939001B0A", "20", "374"),
        (
            "WEL92905817A_20-APG_ITIS_H112_1_358_4",
            "defect",
            "WEL92905817A",
            "112",
            "358",
        ),
        (
            "WEL925380E5A_34-APG_ITIS_H13_2_58_2 - Copy",
            "defect",
            "WEL925380E5A",
            "13",
            "58",
        ),
        ("WEP930445J2A_26_2_368_4", "short", "WEP930445J2A", None, "368"),
        ("SOT23DUMMY01_04-APG_ITIS_H52_1_111_4", "defect", "SOT23DUMMY01", "52", "111"),
        ("20210226_WEPA06311D3A_15_1_377_1", "short", "WEPA06311D3A", None, "377"),
        ("1_374_4", "no_lot", None, None, "374"),
        ("dd185c155e9611d6fbdc0e4ba311d80b", "other", None, None, None),
    ],
)
def test_names_are_read_by_their_grammar(name, form, lot, machine, sequence):
    fields = file_names.parse(name)
    found = (fields.get("lot"), fields.get("machine"), fields.get("sequence"))
    assert (fields["pattern"], *found) == (form, lot, machine, sequence)


def test_second_stage_has_boxes_but_no_types_and_its_test_is_unlabelled(tmp_path):
    raw = _files(
        tmp_path / "raw",
        f"train/train_contest/good_all/{GOOD}.bmp",
        f"train/train_contest/defect/{DEFECT}.bmp",
        f"test/test_contest/test/{GOOD}.bmp",
    )
    (raw / "submission_sample.csv").write_text(f"id,defect_score\n{GOOD},0.5\n")
    boxes = f"id,x_1,y_1,x_2,y_2\n{DEFECT},40,100,99,198\nGONE_1,1,2,3,4\n"
    (raw / "defect_area.csv").write_text(boxes)
    folder = layouts.scan(raw)
    rows = _by_path(folder)
    assert (folder.layout, folder.has_boxes, folder.names_types) == (
        "second_stage",
        True,
        False,
    )
    defect = rows[f"train/train_contest/defect/{DEFECT}.bmp"]
    assert (defect.label, defect.boxes) == ("defect", [[40, 100, 99, 198]])
    assert (defect.group, defect.lot, defect.machine) == (
        "WEE939001B0A",
        "WEE939001B0A",
        "20",
    )
    test = rows[f"test/test_contest/test/{GOOD}.bmp"]
    assert (test.label, test.split) == ("", "unlabelled")
    assert len({row.image_id for row in folder.rows}) == 3
    assert folder.warnings == [
        "defect_area.csv: 1 line names no picture that is there, 'GONE_1' first"
    ]


def test_first_stage_is_known_by_its_folders(tmp_path):
    raw = _files(
        tmp_path / "raw",
        "train/good_0/aa.jpg",
        "train/bad_1/bb.jpg",
        "test/all_tests/cc.jpg",
    )
    folder = layouts.scan(raw)
    assert folder.layout == "first_stage" and not folder.has_boxes
    assert {row.path: (row.label, row.split, row.group) for row in folder.rows} == {
        "train/good_0/aa.jpg": ("good", "", "train/good_0/aa"),
        "train/bad_1/bb.jpg": ("defect", "", "train/bad_1/bb"),
        "test/all_tests/cc.jpg": ("", "unlabelled", "test/all_tests/cc"),
    }


def test_hand_over_names_types_and_files_one_id_under_two(tmp_path):
    flip, lead = (f"20191129_Labeled_Image/{k}" for k in ("device_flip", "lead_defect"))
    raw = _files(
        tmp_path / "raw",
        f"20191003_SOT23_PassImage/{GOOD}.bmp",
        f"{flip}/{DEFECT}.bmp",
        f"{lead}/{DEFECT}.bmp",
    )
    (raw / lead / "ImageLabel.csv").write_text(
        f"{DEFECT},chipping,rectangle,106,90,242,134\n"
    )
    folder = layouts.scan(raw)
    rows = _by_path(folder)
    assert folder.layout == "hand_over" and folder.names_types
    assert rows[f"{flip}/{DEFECT}.bmp"].boxes == []
    assert rows[f"{lead}/{DEFECT}.bmp"].boxes == [[106, 90, 242, 134]]
    assert rows[f"{lead}/{DEFECT}.bmp"].defect_type == "lead_defect"


def test_class_folders_take_the_good_one_by_name_and_the_rest_as_types(tmp_path):
    raw = _files(
        tmp_path / "raw", "OK/a.png", "NG_chip/b.png", "NG_chip/deep/c.png", "bad/d.png"
    )
    (raw / "annotations.csv").write_text("path,x1,y1,x2,y2\nNG_chip/b.png,1,2,3,4\n")
    folder = layouts.scan(raw)
    found = {r.path: (r.label, r.defect_type, r.boxes) for r in folder.rows}
    assert found == {
        "OK/a.png": ("good", "", []),
        "NG_chip/b.png": ("defect", "NG_chip", [[1, 2, 3, 4]]),
        "NG_chip/deep/c.png": ("defect", "NG_chip", []),
        "bad/d.png": ("defect", "", []),
    }
    folder = layouts.scan(raw, good="NG_chip")
    assert collections.Counter(row.label for row in folder.rows)["good"] == 2


def test_a_labels_table_carries_its_other_columns_and_its_splits(tmp_path):
    raw = _files(tmp_path / "raw", "i/a.png", "i/b.png", "i/c.png", "i/left.png")
    (raw / "labels.csv").write_text(
        "path,label,group,defect_type,split,x1,y1,x2,y2,cell\n"
        "i/a.png,Pass,m1,,train,,,,,mono\n"
        "i/b.png,crack,m2,,val,1,2,3,4.5,poly\n"
        "i/b.png,crack,m2,,val,5,6,7,8,poly\n"
        "i/c.png,,m2,,unlabelled,,,,,poly\n"
    )
    folder = layouts.scan(raw)
    a, b, c, left = folder.rows
    assert folder.given_splits and folder.has_boxes
    assert (a.label, a.split, a.group, a.extra) == (
        "good",
        "train",
        "m1",
        {"cell": "mono"},
    )
    assert (b.label, b.defect_type, b.split) == ("defect", "crack", "validation")
    assert b.boxes == [[1, 2, 3, 4.5], [5, 6, 7, 8]]
    assert (c.label, c.split) == ("", "unlabelled")
    assert folder.notes == [
        "1 file dropped as not_listed, i/left.png first: it is not in labels.csv."
    ]
    assert (left.path, left.dropped_because) == ("i/left.png", "not_listed")
    by_cell = layouts.scan(raw, group="cell")
    assert [row.group for row in by_cell.rows] == ["mono", "poly", "poly", "i/left"]


def test_images_that_differ_in_their_ending_only_keep_it_in_their_id(tmp_path):
    raw = _files(tmp_path / "raw", "ok/a.png", "ok/a.bmp", "ng/b.png")
    assert [r.image_id for r in layouts.scan(raw).rows] == [
        "ng/b",
        "ok/a.bmp",
        "ok/a.png",
    ]


def test_files_beside_the_images_are_no_images(tmp_path):
    raw = _files(tmp_path / "raw", "ok/a.png", "ok/.DS_Store", "ok/notes.txt", "ng/b")
    folder = layouts.scan(raw)
    assert [row.path for row in folder.rows] == ["ng/b", "ok/a.png"]
    assert folder.left_out == {"hidden": 1, "tables and texts": 1}


def _bad(tmp_path, table: str) -> pathlib.Path:
    raw = _files(tmp_path / "raw", "a.png", "b.png")
    (raw / "labels.csv").write_text(table)
    return raw


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "path,label\na.png,good\ngone.png,defect\n",
            r"labels.csv:3: 'gone.png' is no",
        ),
        ("path,label\na.png,good\n../x,defect\n", "absolute or goes up"),
        ("path,label\na.png,good\nb/../../x,defect\n", "absolute or goes up"),
        ("path,label\na.png,good\n/etc/hosts,defect\n", "absolute or goes up"),
        ("path,label\na.png,good\nC:\\x.png,defect\n", "absolute or goes up"),
        ("path,verdict\na.png,good\n", "column 'label' is missing"),
        ("path,label\na.png,good\nb.png,good\n", "only good images found"),
        ("path,label\na.png,fine\nb.png,bad\n", "--good NAME"),
        ("path,label\na.png,good,1\n", "3 cells where the header has 2 columns"),
        ("path,label,split\na.png,good,train\nb.png,bad,\n", "some have none"),
        ("path,label,split\na.png,good,spring\n", "split 'spring' is unknown"),
        (
            "path,label,split\na.png,good,train\nb.png,,train\n",
            "does not fit split 'train'",
        ),
        ("path,label\na.png,good\na.png,bad\n", "stands in the table twice"),
        ("path,label,x1,y1,x2,y2\na.png,good,1,2,nan,4\n", "is no box"),
        ("", "labels.csv: is empty"),
    ],
)
def test_a_bad_labels_table_is_refused_in_one_line(tmp_path, table, message):
    with pytest.raises(errors.BadInput, match=message) as error:
        layouts.scan(_bad(tmp_path, table))
    assert "\n" not in str(error.value)


def test_folders_of_no_layout_are_refused(tmp_path):
    with pytest.raises(errors.BadInput, match="no such folder"):
        layouts.scan(tmp_path / "missing")
    with pytest.raises(errors.BadInput, match="is empty"):
        layouts.scan(tmp_path)
    (tmp_path / "loose.png").touch()
    with pytest.raises(errors.BadInput, match="no labels.csv and no folder per class"):
        layouts.scan(tmp_path)
    with pytest.raises(errors.BadInput, match="is not a folder"):
        layouts.scan(tmp_path / "loose.png")
    raw = _files(tmp_path / "raw", "ok/a.png", "ng/b.png")
    with pytest.raises(errors.BadInput, match="no image has a value in that column"):
        layouts.scan(raw, group="lot")
    with pytest.raises(errors.BadInput, match="no images found for layout hand_over"):
        layouts.scan(raw, "hand_over")
    with pytest.raises(errors.BadInput, match="more than one class"):
        layouts.scan(_files(raw, "good/c.png"))


def test_a_table_line_of_the_hand_over_is_named_when_it_is_short(tmp_path):
    kind = "x_Labeled_Image/chipping"
    raw = _files(tmp_path / "raw", "x_PassImage/a.bmp", f"{kind}/b.bmp")
    (raw / kind / "ImageLabel.csv").write_text("b,chipping,rectangle,1,2,3\n")
    with pytest.raises(errors.BadInput, match=r"ImageLabel.csv:1: 6 columns"):
        layouts.scan(raw)
