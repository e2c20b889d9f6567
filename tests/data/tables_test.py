"""The one reader of CSV tables, on tables with the faults that people's have."""

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexperia_tf import errors, predictions
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.prepare import decisions
from nexperia_tf.data.raw import annotations

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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "path\n" + "x" * 200_000,
            r":2: is no line of a CSV table \(a cell of over",
        ),
        ("path,label\na,b\nc\0,d\n", ":3: holds a NUL character"),
        ('path,label\na,good\nb,"good\nc,bad\n', r":3: .*a quote is left open to the"),
        ('"path,label"\n"a,good"\n', "whole lines stand in quotes"),
        ("path|label\na|b\n", "column 'path' is missing"),
    ],
)
def test_what_is_no_table_is_one_clear_line(table, content, words):
    table.write_text(content)
    with pytest.raises(errors.BadInput, match=words) as error:
        tables.read(table, ("path",))
    assert str(error.value).startswith(str(table)) and "\n" not in str(error.value)


WRITTEN = "path,label\na.png,good\nb.png,bad\n"
EXCEL = {
    "semicolons": WRITTEN.replace(",", ";").encode(),
    "tabs": WRITTEN.replace(",", "\t").encode(),
    "the separator in a first line": b"sep=;\r\n" + WRITTEN.replace(",", ";").encode(),
    "another one there": b"sep=|\n" + WRITTEN.replace(",", "|").encode(),
    "a byte-order mark": WRITTEN.encode("utf-8-sig"),
    "UTF-16": WRITTEN.encode("utf-16"),
    "big-endian UTF-16": b"\xfe\xff" + WRITTEN.encode("utf-16-be"),
    "Unicode text": WRITTEN.replace(",", "\t").encode("utf-16"),
    "lines that end as in DOS": WRITTEN.replace("\n", "\r\n").encode(),
    "lines that end as on old Macs": WRITTEN.replace("\n", "\r").encode(),
    "all in quotes": b'"path","label"\n"a.png","good"\n"b.png","bad"',
    "blank lines and lines of commas": (
        b"\n,\npath,label\n\n,,\na.png,good\n , \nb.png,bad\n,,,\n"
    ),
    "empty cells behind": b"path,label\na.png,good,,\nb.png,bad,\n",
    "another case": b"Path, LABEL\na.png,good\nb.png,bad\n",
}


@pytest.mark.parametrize("form", EXCEL)
def test_the_forms_of_spreadsheets_are_one_table(table, form):
    table.write_bytes(EXCEL[form])
    found = tables.table(table, ("path",), known=("label",))
    assert found.header == ["path", "label"]
    assert found.rows == [["a.png", "good"], ["b.png", "bad"]]


READERS = {
    "predictions": (
        "image_id,label,score\na,Good,0.25\nb,defect,0.5\n",
        lambda path: list(predictions.read(path).score),
        [0.25, 0.5],
    ),
    "labels": (
        "image_id,label\na,GOOD\nb,1\n",
        predictions.read_labels,
        {"a": (0, ""), "b": (1, "")},
    ),
    "defect_area": (
        "id,x_1,y_1,x_2,y_2\na,1,2.5,3,4\nb,0,0,0,0\n",
        lambda path: [found[1:] for found in annotations.defect_area(path)],
        [("a", [1, 2.5, 3, 4])],
    ),
    "ImageLabel": (
        "a,chip,rectangle,1,2.5,3,4\nb,chip,rectangle,-1,-1,-1,-1\n",
        lambda path: [found[1:] for found in annotations.image_label(path)],
        [("a", [1, 2.5, 3, 4])],
    ),
    "decisions": (
        "path,decision,value\na,Keep,\nb,relabel,Good\n",
        lambda path: [
            (d.path, d.kind, d.value)
            for d in decisions.read(path, path.parent, ROWS).applied
        ],
        [("a", "keep", ""), ("b", "relabel", "good")],
    ),
}
ROWS = [manifest.Row(name, name, "defect", "defect") for name in "ab"]


@pytest.mark.parametrize("name", READERS)
def test_every_table_of_people_may_come_from_excel(table, name):
    text, read, expected = READERS[name]
    table.write_text(text)
    assert read(table) == expected
    in_excel = text.replace(",", ";").replace(".", ",").replace("\n", "\r\n")
    for head, encoding in (("", "utf-8-sig"), ("sep=;\r\n", "utf-16")):
        table.write_bytes(f"{head}{in_excel};;\r\n\r\n".encode(encoding))
        assert read(table) == expected


def test_rows_are_named_by_their_lines_in_the_file(table):
    table.write_text("sep=;\n\npath;label\n;\na.png;good\n")
    assert tables.table(table, ("path",)).where(0) == f"{table}:5"


def test_a_table_without_a_header_shows_its_separator_by_its_columns(table):
    table.write_text("a;chip, small;box;1;2;3;4\n;;;;;;\nb;chip;box;1;2;3;4")
    lines = tables.read_lines(table, columns=7)
    assert [cells[1] for _, cells in lines] == ["chip, small", "chip"]


def test_another_encoding_is_named(table):
    table.write_bytes("path\nGehäuse.png\n".encode("latin-1"))
    with pytest.raises(errors.BadInput, match="is not UTF-8"):
        tables.read_lines(table, columns=1)


def test_a_box_is_four_finite_numbers_or_nothing():
    names = ("x1", "y1", "x2", "y2")

    def boxes(*texts):
        return tables.boxes("a.csv:2", dict(zip(names, texts)), names)

    assert boxes("1", "2.0", "3.5", "4") == [[1, 2, 3.5, 4]]
    assert boxes("1,5", "2,25", "3.5", "0,125") == [[1.5, 2.25, 3.5, 0.125]]
    for nothing in ("", "0", "-1", "0.0", "-1.0", "nan", "NULL", "N/A"):
        assert boxes(*[nothing] * 4) == []
    assert boxes("0", "0", "0", "9") == [[0, 0, 0, 9]]  # that it is empty is said later
    for texts in (
        ("1", "2", "3", ""),
        ("1", "2", "3", "nan"),
        ("a", "2", "3", "4"),
        ("1,234", "2", "3", "4"),  # a thousand or one?
    ):
        with pytest.raises(errors.BadInput, match="a.csv:2: .* is no box"):
            boxes(*texts)
