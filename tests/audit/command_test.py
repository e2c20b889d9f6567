import csv
import json
import re

from nexperia_tf import files
from nexperia_tf.audit import items
from nexperia_tf.data import manifest


def _suspects(folder):
    with open(folder / "out/suspects.csv", newline="") as file:
        return list(csv.DictReader(file))


def _block(page, name):
    found = re.search(
        f'<script type="application/json" id="{name}">(.*?)</script>', page
    )
    return json.loads(found[1])


def test_planted_wrong_labels_stand_first(audited, wrongly_labelled):
    rows = _suspects(audited)
    assert {row["image_id"] for row in rows[:3]} == set(wrongly_labelled.wrong)
    assert [row["rank"] for row in rows] == [str(i + 1) for i in range(len(rows))]
    first = next(row for row in rows if row["image_id"] == "NG/5")
    assert first["label"] == "defect:scratch" and first["suggested"] == "good"
    assert first["reasons"].startswith("labelled defect, good by ")


def test_the_facts_say_how_labels_were_doubted(audited):
    facts = files.read_json(audited / "out/audit.json")
    assert (facts["schema"], facts["method"], facts["folds"]) == (1, "baseline", 5)
    assert facts["pictures"] == 70 and facts["caution"] == ""
    assert facts["classes"]["good"]["pictures"] == 40
    assert facts["listed"]["suspect"] == len(
        [row for row in _suspects(audited) if row["kind"] == "suspect"]
    )
    assert facts["listed"]["unlike"] <= 2


def test_the_page_needs_nothing_else_and_has_look_alikes_of_each_class(audited):
    page = (audited / "out/review.html").read_text()
    assert not re.search(r'(src|href)="(https?:)?//', page)
    head = _block(page, "audit")
    assert head["kinds"] == ["scratch", "dent"]
    assert len(head["items"]) == len(_suspects(audited))
    item = _block(page, "item-0")
    assert [len(item["nearest"][label]) for label in ("good", "defect")] == [3, 3]
    assert item["picture"]["photograph"].startswith("data:image/jpeg;base64,")
    number = item["nearest"]["good"][0]["thumbnail"]
    assert _block(page, f"thumbnail-{number}").startswith("data:image/jpeg;base64,")


def test_the_same_seed_gives_the_same_list(audited, run_command, tmp_path):
    again = tmp_path / "again"
    words = ("--unlike", 2, "--data-dir", audited / "data", "--out", again)
    assert run_command("audit", audited / "raw", *words) == 0
    first = (audited / "out/suspects.csv").read_bytes()
    assert (again / "suspects.csv").read_bytes() == first


def test_what_cannot_be_audited_is_refused_in_one_line(audited, run_command, capsys):
    raw, data = audited / "raw", ("--data-dir", audited / "data")
    out = audited / "refused"
    for words, said in (
        (("--out", out), "DATA or RUNS: name pictures"),
        ((raw, "--out", audited / "out"), "exists already"),
        ((raw,), "--out: name what to write"),
        ((raw, raw, "--out", out, *data), "not a run folder"),
        (
            (raw, "--out", out, "--method", "runs", *data),
            "name the runs of several folds",
        ),
        ((raw, "--out", out, "--method", "features", *data), "name one run folder"),
        ((raw, "--out", out, "--folds", 9, *data), "from 2 to 7 folds"),
        ((raw, "--out", out, "--data", raw, *data), "goes with one RUN"),
    ):
        assert run_command("audit", *words) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1, error
        assert not out.exists()


def test_copies_with_different_labels_are_listed_with_each_other(
    tmp_path, run_command, wrongly_labelled, few_look_alikes
):
    raw = wrongly_labelled(tmp_path / "raw", wrong=())
    content = (raw / "NG/1.png").read_bytes()
    (raw / "OK/0.png").write_bytes(content)
    words = ("--data-dir", tmp_path / "data", "--out", tmp_path / "out")
    assert run_command("audit", raw, *words) == 0
    rows = {
        row["path"]: row for row in _suspects(tmp_path) if row["kind"] == "conflict"
    }
    assert set(rows) == {"OK/0.png", "NG/1.png"}
    assert "same photograph (byte) of NG/1.png" in rows["OK/0.png"]["reasons"]
    page = (tmp_path / "out/review.html").read_text()
    number = [r["path"] for r in _suspects(tmp_path)].index("OK/0.png")
    item = _block(page, f"item-{number}")
    assert item["other"]["path"] == "NG/1.png" and item["picture"]
    assert item["dropped"] == "label_conflict"


def test_a_name_cannot_end_the_pages_script(tmp_path):
    from nexperia_tf.audit.review import page

    assert "<" not in page.json_of({"path": "</script><b>"})
    assert json.loads(page.json_of({"path": "</script>"}))["path"] == "</script>"


def test_the_files_of_one_photograph_are_named_together():
    rows = [
        manifest.Row("a", "a.png", label="good", cluster="c1"),
        manifest.Row("b", "b.png", label="good", cluster="c1", dropped_because="x"),
        manifest.Row("c", "c.png", label="good"),
        manifest.Row("d", "d.png", label="good"),
    ]
    found = [items.Item(items.SUSPECT, row, ()) for row in (rows[0], rows[2])]
    named = items.with_copies(found, rows)
    assert [item.copies for item in named] == [("b.png",), ()]
