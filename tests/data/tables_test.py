"""The one reader of CSV tables, on tables with the faults that people's have."""

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexperia_tf import errors, predictions
from nexperia_tf.data import manifest, tables

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


def test_spreadsheets_byte_order_marks_blank_lines_and_quotes_are_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfpath, label\r\n\r\n"a,\nb" ,good\r\nc,bad\r\n')
    found = tables.table(path, ["label"])
    assert found.header == ["path", "label"]
    assert found.rows == [["a,\nb", "good"], ["c", "bad"]]
    assert found.column("label") == ["good", "bad"]
    # A line is named where it ends; the first row has a line break in its cell.
    assert [where for where, _ in found.records()] == [f"{path}:4", f"{path}:5"]
    assert tables.table(path, [], stripped=False).rows[0][0] == "a,\nb "


def test_columns_without_a_name_may_be_several(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path,,\na,,\n")
    assert tables.read(path, ("path",))[1][0][1]["path"] == "a"


FAULTS = [
    (None, "no such file"),
    (b"", "is empty"),
    (b"\n\n", "is empty"),
    (b"a,b\n1,2\n", r"column '\w+' is missing; .* Received a,b"),
    (b"{header},x,x\n", "column 'x' stands twice"),
    (b"{header},x\n1\n", r":2: 1 cells where the header has \d+ columns"),
    (b"{header}\n\xff\xfe", "is not UTF-8; save it"),
    (b'{header}\n"open', r":\d+: "),
]


@pytest.mark.parametrize(("content", "words"), FAULTS)
@pytest.mark.parametrize("reader", ["predictions", "labels", "manifest", "table"])
def test_every_reader_refuses_in_the_same_words(tmp_path, reader, content, words):
    readers = {
        "predictions": (predictions.read, predictions.REQUIRED),
        "labels": (predictions.read_labels, ("image_id", "label")),
        "manifest": (manifest.read, manifest.COLUMNS),
        "table": (lambda path: tables.read(path, ("path", "y")), ("path", "y")),
    }
    read, header = readers[reader]
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content.replace(b"{header}", ",".join(header).encode()))
    with pytest.raises(errors.BadInput, match=words) as error:
        read(path)
    line = str(error.value)
    assert line.startswith(str(path)) and "\n" not in line and line.endswith(".")


def test_a_nul_or_an_endless_cell_is_one_clear_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path\n" + "x" * 200_000)
    with pytest.raises(errors.BadInput, match=r"t.csv:2: is no line of a CSV table"):
        tables.read(path, ("path",))


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
