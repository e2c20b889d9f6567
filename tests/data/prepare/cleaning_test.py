import pytest

from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import cleaning
from nexperia_tf.data.raw import raw_folder

RULES = cleaning.Rules(
    unboxed=cleaning.DROP,
    boxless_types=frozenset({"empty_pocket"}),
    device_threshold=0.5,
)


def _row(**values) -> manifest.Row:
    given = {"label": "defect", "width": 275, "height": 267, "device_score": 0.9}
    return manifest.Row("a", "a.bmp", **(given | values))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"boxes": [[10, 10, 20, 20]]}, ""),
        ({"boxes": [[10, 10, 10, 20]]}, "invalid_box"),
        ({"boxes": [[183, 137, 183, 137]]}, "invalid_box"),
        ({"boxes": [[20, 10, 10, 20]]}, "invalid_box"),
        ({"boxes": [[275, 0, 300, 20]]}, "invalid_box"),
        ({"boxes": [[183, 137, 183, 137], [1, 1, 2, 2]]}, ""),
        ({}, "no_annotation"),
        ({"defect_type": "scratch"}, "no_annotation"),
        ({"defect_type": "empty_pocket"}, ""),
        ({"defect_type": "empty_pocket", "device_score": 0.1}, ""),
        ({"label": "good"}, ""),
        ({"label": "good", "device_score": 0.49}, "not_a_device"),
        ({"label": "", "device_score": 0.1}, ""),
        ({"boxes": [[10, 10, 20, 20]], "device_score": 0.1}, ""),
    ],
)
def test_each_rule_gives_its_reason(values, reason):
    row = _row(**values)
    cleaning.apply([row], RULES)
    assert row.dropped_because == reason


def test_kept_unboxed_defects_must_still_show_a_device():
    rules = cleaning.Rules(unboxed=cleaning.KEEP, device_threshold=0.5)
    rows = [_row(), _row(device_score=0.1), _row(device_score=0.1, defect_type="flip")]
    cleaning.apply(rows, rules)
    assert [row.dropped_because for row in rows] == ["", "not_a_device", ""]


def test_an_image_that_a_person_judged_is_left_alone():
    row = _row()
    cleaning.apply([row], RULES, spared={"a.bmp"})
    assert row.used


def test_the_first_reason_stays():
    row = _row(dropped_because="unreadable")
    cleaning.apply([row], RULES)
    assert row.dropped_because == "unreadable"


def test_unboxed_defects_are_dropped_where_the_form_has_boxes():
    rows = [_row()]
    boxed = raw_folder.RawFolder("second_stage", rows, has_boxes=True)
    bare = raw_folder.RawFolder("first_stage", rows)
    assert cleaning.rules_for(boxed).unboxed == cleaning.DROP
    assert cleaning.rules_for(bare).unboxed == cleaning.KEEP
    assert cleaning.rules_for(boxed, unboxed=cleaning.KEEP).unboxed == cleaning.KEEP


def test_types_without_any_box_have_none_by_nature():
    box = [[1, 1, 2, 2]]
    rows = [
        _row(defect_type="scratch", boxes=box),
        _row(defect_type="scratch"),
        _row(defect_type="blank"),
        _row(defect_type="device_flip", boxes=box),
    ]
    named = raw_folder.RawFolder("hand_over", rows, has_boxes=True, names_types=True)
    assert cleaning.boxless_types(named) == {"blank", "device_flip"}
    unnamed = raw_folder.RawFolder("second_stage", rows, has_boxes=True)
    assert cleaning.boxless_types(unnamed) == set()
