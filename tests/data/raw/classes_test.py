import pathlib

import pytest

from nexperia_tf import errors
from nexperia_tf.data.raw import classes

TABLE = pathlib.Path("labels.csv")


def places(**names):
    """Names with the places of so many rows each, one row after the other."""
    found, row = {}, 2
    for name, count in names.items():
        found[name] = [f"labels.csv:{row + n}" for n in range(count)]
        row += count
    return found


@pytest.mark.parametrize("good", ["", "good", "GOOD"])
def test_case_width_and_spaces_change_no_meaning(good):
    names = ["good", "Good", "GOOD ", "\uff47ood", "Crack"]
    words = classes.good_class(TABLE, dict.fromkeys(names, ()), good)
    found = [classes.label(name, words) for name in names]
    assert found == [("good", "")] * 4 + [("defect", "Crack")]


@pytest.mark.parametrize("good", ["", "good", "ok"])
def test_two_words_for_good_are_refused_with_their_rows(good):
    names = places(good=2, OK=7, chip=3)
    with pytest.raises(errors.BadInput) as error:
        classes.good_class(TABLE, names, good)
    line = str(error.value)
    assert "good (2 rows: 2, 3), OK (7 rows: 4, 5, 6, 7, 8, ...)" in line
    assert "--good good,ok" in line
    both = classes.good_class(TABLE, names, "good,ok")
    assert [classes.label(name, both)[0] for name in names] == [
        "good",
        "good",
        "defect",
    ]


def test_a_name_with_a_comma_is_one_name():
    names = dict.fromkeys(["fine, new", "fine", "new"], ())
    assert classes.good_class(TABLE, names, "Fine, new") == ("fine, new",)


def test_of_several_names_each_must_be_there():
    with pytest.raises(errors.BadInput, match="no class named okay among good, chip"):
        classes.good_class(TABLE, dict.fromkeys(["good", "chip"], ()), "good,okay")


@pytest.mark.parametrize("label", ["nan", "?", "N/A", "??", "-", "unknown"])
def test_what_is_no_verdict_is_pointed_out(label):
    (line,) = classes.doubtful(places(**{"good": 30, "defect": 9, label: 2}), ["good"])
    assert line.startswith(f"{label!r} (2 rows: 41, 42) is taken for a kind of defect")


@pytest.mark.parametrize(
    ("label", "meant"),
    [("defct", "defect"), ("godo", "good"), ("good2", "good"), ("?good", "good")],
)
def test_a_rare_label_that_looks_like_another_is_pointed_out(label, meant):
    (line,) = classes.doubtful(places(good=30, defect=9, **{label: 1}), ["good"])
    assert line == f"{label!r} (1 row: 41) looks like {meant!r}; is it?"


def test_kinds_that_are_as_frequent_or_numbered_are_no_typos():
    assert not list(classes.doubtful(places(crack=9, track=8, crack_1=1), []))
