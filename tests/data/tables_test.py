"""Tables that people wrote, with the faults they have."""

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexperia_tf import errors
from nexperia_tf.data import tables

CELLS = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="\ufeff"),
    min_size=1,
)


@pytest.fixture
def table(tmp_path):
    return tmp_path / "labels.csv"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1))
def test_what_the_csv_module_writes_is_read_again(table, lines):
    with open(table, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *lines])
    header, read = tables.read(table, ("path", "label"))
    assert header == ["path", "label"]
    assert [tuple(cells.values()) for _, cells in read] == lines


def test_a_spreadsheets_mark_spaces_and_empty_lines_do_no_harm(table):
    table.write_text("path , label\n\n a.png, good \n", "utf-8-sig")
    assert tables.read(table, ("label",)) == (
        ["path", "label"],
        [(f"{table}:3", {"path": "a.png", "label": "good"})],
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path\na.png\n", r"labels\.csv: column 'label' is missing"),
        ("", "column 'path' is missing"),
        ("path,label\na.png,good,1\n", r"labels\.csv:2: 3 columns where .* has 2"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_line(table, text, words):
    table.write_text(text)
    with pytest.raises(errors.BadInput, match=words):
        tables.read(table, ("path", "label"))


def test_another_encoding_is_named(table):
    table.write_bytes("path\nGehäuse.png\n".encode("latin-1"))
    with pytest.raises(errors.BadInput, match="is not UTF-8"):
        tables.read_lines(table)


def test_a_box_is_four_finite_numbers_or_nothing():
    names = ("x1", "y1", "x2", "y2")

    def boxes(*texts):
        return tables.boxes("a.csv:2", dict(zip(names, texts)), names)

    assert boxes("1", "2.0", "3.5", "4") == [[1, 2, 3.5, 4]]
    assert boxes("", "", "", "") == []
    for texts in (("1", "2", "3", ""), ("1", "2", "3", "nan"), ("a", "2", "3", "4")):
        with pytest.raises(errors.BadInput, match="a.csv:2: .* is no box"):
            boxes(*texts)
