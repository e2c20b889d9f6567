"""labels.csv as people write it, through the public commands."""

import collections
import csv

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, files
from nexperia_tf.data import manifest
from nexperia_tf.data.raw import layouts

COUNT = 40
CORNERS = ("x1", "y1", "x2", "y2")
NAMES = ("image_id", "width", "sha256", "mode", "brightness", "split_", "label_given")


def draw(raw, name):
    (raw / name).parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(list(name.encode()))
    Image.fromarray(random.integers(0, 255, (48, 48), np.uint8)).save(raw / name)


@pytest.fixture
def raw(tmp_path):
    """Forty pictures of noise, and how to write their labels.csv."""
    folder = tmp_path / "raw"
    for i in range(COUNT):
        draw(folder, f"{i}.png")

    def write(label, header=(), cells=lambda i: (), **form):
        with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, **form)
            table.writerow(["path", "label", *header])
            rows = ([f"{i}.png", label(i), *cells(i)] for i in range(COUNT))
            table.writerows(rows)
        return folder

    return write


@pytest.fixture
def prepared(run_command, tmp_path):
    """Runs prepare; gives the exit code, the rows by path and the summary."""

    def run(folder, *flags):
        out = tmp_path / "prepared"
        code = run_command("prepare", folder, "--out", out, *flags)
        if code:
            assert not out.exists()
            return code, {}, {}
        rows = {row.path: row for row in manifest.read(out / "manifest.csv")}
        return code, rows, files.read_json(out / "summary.json")

    return run


def mixed(i):
    return "Defect" if i % 4 == 0 else ("good", "Good")[i % 2]


@pytest.mark.parametrize("flags", [(), ("--good", "good"), ("--good", "GOOD")])
def test_good_and_good_in_another_case_are_good(raw, prepared, flags):
    code, rows, _ = prepared(raw(mixed), *flags)
    assert code == 0
    assert {p for p, row in rows.items() if row.label == "defect"} == {
        f"{i}.png" for i in range(0, COUNT, 4)
    }
    assert {row.defect_type for row in rows.values()} == {""}


@pytest.mark.parametrize("flags", [(), ("--good", "good")])
def test_ok_beside_good_is_refused_with_its_rows(raw, prepared, flags, capsys):
    folder = raw(lambda i: "defect" if i % 4 == 0 else ("good", "OK")[i % 2])
    assert prepared(folder, *flags)[0] == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "OK (20 rows: 3, 5, 7, 9, 11, ...), good (10 rows: 4, 8, 12, 16, 2" in line
    code, rows, _ = prepared(folder, "--good", "good,ok")
    assert code == 0
    assert sum(row.label == "good" for row in rows.values()) == 30


@pytest.mark.parametrize(
    ("nothing", "flags"), [(0, ()), (-1, ()), ("nan", ()), (0, ("--unboxed", "keep"))]
)
def test_no_box_may_be_written_as_zeros(raw, prepared, nothing, flags):
    folder = raw(
        lambda i: "good" if i % 4 else "defect",
        CORNERS,
        lambda i: [nothing] * 4 if i % 4 else (3, 3, 20, 20),
    )
    code, rows, summary = prepared(folder, *flags)
    assert (code, summary["used"], summary["dropped"]) == (0, COUNT, {})
    assert rows["1.png"].boxes == [] and rows["4.png"].boxes == [[3, 3, 20, 20]]


def test_columns_named_as_the_manifests_are_carried_under_another_name(raw, prepared):
    values = {"width": "1920.0", "sha256": "abc", "mode": "inspection"}
    values |= {"brightness": "high", "split_": "x", "label_given": "sure"}
    folder = raw(
        lambda i: "good" if i % 4 else "defect",
        NAMES,
        lambda i: [values.get(name, str(i)) for name in NAMES],
    )
    code, rows, summary = prepared(folder)
    assert code == 0 and summary["used"] == COUNT
    row = rows["7.png"]
    assert (row.image_id, row.width, row.mode, len(row.sha256)) == ("7", 48, "L", 64)
    assert row.extra["width_in_table"] == "1920.0" and row.extra["split_"] == "x"
    assert row.extra["image_id_in_table"] == "7"
    assert "Column mode of labels.csv is carried as mode_in_table." in summary["notes"]


@pytest.mark.slow
def test_one_can_train_with_such_columns(raw, tmp_path, small_backbone, run_command):
    folder = raw(lambda i: "good" if i % 4 else "defect", NAMES, lambda i: [i] * 7)
    argv = (
        "--data",
        folder,
        "--data-dir",
        tmp_path / "data",
        "--out",
        tmp_path / "run",
    )
    argv += ("--backbone", small_backbone, "--image-size", 32, "--epochs", 1)
    assert run_command("train", *argv, "--batch-size", 8, "--recipe", "plain") == 0
    config = files.read_json(tmp_path / "run" / "config.json")
    assert config["run"]["channels"] == 1


def test_such_a_column_may_be_the_group(raw, prepared):
    folder = raw(
        lambda i: "good" if i % 4 else "defect", ("height",), lambda i: [f"h{i // 5}"]
    )
    _, rows, _ = prepared(folder, "--group", "height")
    assert {row.group for row in rows.values()} == {f"h{n}" for n in range(8)}


@pytest.mark.parametrize("label", ["defct", "nan", "?", "N/A"])
def test_a_label_that_is_probably_none_is_pointed_out(raw, prepared, label, capsys):
    folder = raw(lambda i: label if i == 3 else "good" if i % 4 else "defect")
    code, _, summary = prepared(folder)
    (line,) = summary["warnings"]
    assert code == 0 and line.startswith(f"labels.csv: label {label!r} (1 row: 5) ")
    assert f"warning: {line}" in capsys.readouterr().out


def test_kinds_in_another_case_are_one_kind(raw, prepared):
    kinds = {0: "Crack", 1: "crack", 2: "crack", 3: "CRACK "}
    _, rows, _ = prepared(raw(lambda i: kinds.get(i % 10, "ok")))
    assert {row.defect_type for row in rows.values()} == {"", "crack"}


def test_a_table_of_excel_gives_the_same_manifest(raw, prepared, tmp_path):
    def cells(i):
        return [""] * 4 if i % 4 else ["3,5", "3", "20", "20"]

    folder = raw(lambda i: "good" if i % 4 else "defect", CORNERS, cells)
    code, rows, _ = prepared(folder)
    assert code == 0 and rows["4.png"].boxes == [[3.5, 3, 20, 20]]
    raw(lambda i: "good" if i % 4 else "defect", CORNERS, cells, delimiter=";")
    table = folder / "labels.csv"
    table.write_bytes(b"sep=;\r\n" + table.read_bytes() + b";;;;;\r\n\r\n")
    (tmp_path / "prepared").rename(tmp_path / "before")
    prepared(folder, "--keep-splits", "none")
    before = (tmp_path / "before" / "manifest.csv").read_bytes()
    assert (tmp_path / "prepared" / "manifest.csv").read_bytes() == before


@pytest.mark.parametrize("cell", [0, 1])
def test_a_very_long_cell_is_named_in_a_short_line(raw, prepared, cell, capsys):
    folder = raw(lambda i: "good" if i % 4 else "defect")
    table = folder / "labels.csv"
    long = [
        "x" * 5000 if n == cell else text for n, text in enumerate(["7.png", "good"])
    ]
    table.write_text(table.read_text().replace("7.png,good", ",".join(long), 1))
    assert prepared(folder)[0] == (0 if cell else 2)
    said = "".join(capsys.readouterr())
    assert "xxx...xxx" in said and max(map(len, said.splitlines())) < 400


def test_a_quote_left_open_in_the_middle_swallows_no_row(raw, prepared, capsys):
    folder = raw(lambda i: "good" if i % 4 else "defect")
    table = folder / "labels.csv"
    text = table.read_text().replace("5.png,good", '5.png,"good', 1)
    table.write_text(text.replace("9.png,good", '9.png,good"', 1))
    assert prepared(folder)[0] == 2
    assert "goes over several lines" in capsys.readouterr().err


PIECES = (b'"', b",", b";", b"\n", b"\r", b"\0", b"\t", b"\xff", b"?", b"-1", b"..")


def damaged(text, random):
    """The bytes of a table in some form, with a few of them changed."""
    forms = (text.encode(), text.replace(",", ";").encode(), text.encode("utf-16"))
    content = bytearray(forms[random.integers(3)])
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(len(content) + 1))
        cut = int(random.choice([0, 0, 1, 5, 30]))
        piece = PIECES[random.integers(len(PIECES))] if random.random() < 0.7 else b""
        content[at : at + cut] = piece
    return bytes(content)


def test_a_damaged_table_is_read_whole_or_refused_in_one_line(raw):
    folder = raw(lambda i: "good" if i % 4 else "defect", ["group"], lambda i: [i // 5])
    text, random = (folder / "labels.csv").read_text(), np.random.default_rng(0)
    outcomes = collections.Counter()
    for _ in range(500):
        (folder / "labels.csv").write_bytes(damaged(text, random))
        try:
            found = layouts.scan(folder)
        except errors.BadInput as error:
            assert "\n" not in str(error) and len(str(error)) < 500
            outcomes["refused"] += 1
        else:
            assert len(found.rows) == COUNT  # listed, or dropped with a reason
            outcomes["read"] += 1
    assert min(outcomes.values()) > 30 and len(outcomes) == 2


def test_annotations_by_base_name_are_refused_where_two_pictures_have_it(
    tmp_path, prepared, capsys
):
    folder = tmp_path / "raw"
    for name, count in (("good", 12), ("defect", 20)):
        for i in range(count):
            draw(folder, f"{name}/{i:03d}.png")
    lines = [(f"{i:03d}.png", 3, 3, 20, 20) for i in range(20)]
    files.write_csv(folder / "annotations.csv", ("path", *CORNERS), lines)
    assert prepared(folder)[0] == 2
    said = "annotations.csv:2: '000.png' fits 2 pictures, defect/000.png and good/000."
    assert said in capsys.readouterr().err
    lines = [(f"defect\\{name}", *box) for name, *box in lines]
    files.write_csv(folder / "annotations.csv", ("path", *CORNERS), lines)
    code, rows, _ = prepared(folder)
    assert code == 0
    boxed = {path for path, row in rows.items() if row.boxes}
    assert boxed == {f"defect/{i:03d}.png" for i in range(20)}
