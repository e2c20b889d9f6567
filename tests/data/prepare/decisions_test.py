import pytest

from nexperia_tf import errors
from nexperia_tf.data import manifest
from nexperia_tf.data.duplicates import search
from nexperia_tf.data.prepare import decisions


def _rows():
    return [
        manifest.Row(f"g/{n}", f"g/{n}.bmp", label="good", label_given="good")
        for n in "abcd"
    ]


def _read(tmp_path, lines: str) -> decisions.Decisions:
    raw = tmp_path / "raw"
    raw.mkdir()
    (tmp_path / "decisions.csv").write_text(f"path,decision,value\n{lines}")
    return decisions.read(None, raw, _rows())


def test_the_table_beside_the_raw_folder_is_read_by_itself(tmp_path):
    found = _read(tmp_path, "g/a.bmp,keep,\ng/b,drop,\ngone,drop,\n")
    assert found.kept == {"g/a.bmp"}
    assert found.unmatched == ("gone",)
    rows = _rows()
    decisions.apply_labels(rows, found)
    assert [row.dropped_because for row in rows] == ["", "decision", "", ""]


def test_a_table_in_the_raw_folder_is_read_and_both_count(tmp_path):
    (tmp_path / "raw").mkdir()
    inside = tmp_path / "raw" / "decisions.csv"
    inside.write_text("path,decision,value\ng/a,keep,\n")
    assert decisions.read(None, tmp_path / "raw", _rows()).kept == {"g/a.bmp"}
    beside = tmp_path / "decisions.csv"
    beside.write_text("path,decision,value\ng/b,keep,\n")
    found = decisions.read(None, tmp_path / "raw", _rows())
    assert found.kept == {"g/a.bmp", "g/b.bmp"}
    beside.write_text("path,decision,value\ng/a,drop,\n")
    with pytest.raises(errors.BadInput) as stop:
        decisions.read(None, tmp_path / "raw", _rows())
    assert str(stop.value) == (
        f"{inside} and {beside}: g/a.bmp is to be both keep and drop; keep one of the "
        "lines."
    )


def test_of_rows_that_name_no_image_the_closest_one_is_named(tmp_path):
    found = _read(tmp_path, "h/a.bmp,drop,\ng/B.png,drop,\nsomething else,drop,\n")
    assert found.unmatched == ("h/a.bmp", "g/B.png", "something else")
    assert found.closest == {"h/a.bmp": "g/a.bmp", "g/B.png": "g/b.bmp"}


def test_an_image_that_is_only_scored_cannot_be_relabelled(tmp_path):
    (tmp_path / "decisions.csv").write_text("path,decision,value\nt/x,relabel,good\n")
    rows = [*_rows(), manifest.Row("t/x", "t/x.bmp", split="unlabelled")]
    with pytest.raises(errors.BadInput, match="is only scored"):
        decisions.read(None, tmp_path / "raw", rows)


def test_a_hash_means_every_file_of_its_content_and_never_a_path(tmp_path):
    rows = _rows()
    for row, sha256 in zip(rows, ("1f", "2f", "1f", "")):
        row.sha256 = sha256
    table = tmp_path / "decisions.csv"
    table.write_text(
        "path,decision,value,SHA256,who\n"
        "station/x.png,relabel,defect:scratch,1F,Ann\n"
        "g/b,relabel,defect,9f,Ann\n"  # another picture of that name
        "g/d,drop,,,Ann\n"
    )
    found = decisions.read(table, tmp_path, rows)
    assert [(d.path, d.kind) for d in found.applied] == [
        ("g/a.bmp", "relabel"),
        ("g/c.bmp", "relabel"),
        ("g/d.bmp", "drop"),
    ]
    assert found.unmatched == ("g/b",)


def test_no_table_is_no_decision(tmp_path):
    assert decisions.read(None, tmp_path / "raw", _rows()) == decisions.Decisions()
    with pytest.raises(errors.BadInput, match="no such file"):
        decisions.read(tmp_path / "mine.csv", tmp_path / "raw", _rows())


def test_relabelling_keeps_what_was_given(tmp_path):
    rows = _rows()
    decisions.apply_labels(rows, _read(tmp_path, "g/c,relabel,defect:scratch\n"))
    row = rows[2]
    assert (row.label_given, row.label, row.defect_type) == (
        "good",
        "defect",
        "scratch",
    )


def _findings() -> search.Findings:
    a, b, c, d = (f"g/{n}.bmp" for n in "abcd")
    return search.Findings(
        pairs=[
            search.Pair(a, b, search.BYTE, 1.0, 0.0),
            search.Pair(a, c, search.BYTE, 1.0, 0.0),
            search.Pair(c, d, search.TWIN, 0.9, 5.0),
        ],
        clusters=[[b, a, c]],
        twin_groups=[[a, b, c, d]],
        settings={},
    )


A, B, C, D = (f"g/{n}.bmp" for n in "abcd")


@pytest.mark.parametrize(
    ("line", "clusters", "twin_groups", "pairs"),
    [
        # b and c stay copies; a is still tied to c, and c to d.
        ("g/a,not_a_duplicate,g/b", [[B, C]], [[A, B, C, D]], 2),
        ("g/b,not_a_duplicate,g/a", [[B, C]], [[A, B, C, D]], 2),
        ("g/a,not_a_duplicate,", [[B, C]], [[B, C, D]], 1),
        ("g/d,not_a_duplicate,g/a", [[B, A, C]], [[A, B, C, D]], 3),
        ("g/d,not_a_duplicate,g/c", [[B, A, C]], [[A, B, C]], 2),
    ],
)
def test_a_denied_pair_is_parted_and_the_first_image_stays(
    tmp_path, line, clusters, twin_groups, pairs
):
    found = decisions.without_denied(_findings(), _read(tmp_path, line + "\n"))
    assert (found.clusters, found.twin_groups) == (clusters, twin_groups)
    assert len(found.pairs) == pairs


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("g/a,forget,\n", "decision 'forget' is unknown"),
        ("g/a,relabel,fine\n", "label 'fine' is unknown"),
        ("g/a,relabel,good:scratch\n", "label 'good:scratch' is unknown"),
        ("g/a,keep,\ng/a.bmp,drop,\n", "is to be both keep and drop"),
        ("g/a,relabel,good\ng/a,relabel,defect\n", "both relabel good and"),
    ],
)
def test_lines_that_are_not_understood_are_named(tmp_path, lines, message):
    with pytest.raises(errors.BadInput, match=message):
        _read(tmp_path, lines)


def test_who_is_unsure_changes_nothing_and_contradicts_nobody(tmp_path):
    found = _read(tmp_path, "g/a,unsure,\ng/a,keep,\ng/b,unsure,\n")
    rows = _rows()
    decisions.apply_labels(rows, found)
    assert rows == _rows()
    assert found.kept == {"g/a.bmp"} and found.judged == {"g/a.bmp"}
