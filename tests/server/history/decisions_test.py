"""What persons decide: kept, counted by the last, and read by prepare."""

import dataclasses
import hashlib

import pytest

from nexperia_tf import errors
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import decisions as preparing
from nexperia_tf.server.history import database, decisions, tables


def verdict(item: int = 0, **changed) -> tables.Entry:
    label = changed.get("label", "defect")
    plain = tables.Entry(
        time=tables.now(),
        station="s",
        source="watch",
        item=item,
        path=f"{item}.png",
        picture_sha256=hashlib.sha256(str(item).encode()).hexdigest(),
        model="line",
        version=3,
        score=0.75,
        threshold=0.5,
        label=label,
        verdict=label,
    )
    return dataclasses.replace(plain, **changed)


def _decided(number: int, word: str, **more) -> decisions.Decision:
    plain = {"verdict_id": number, "decision": word, "who": "Ann"}
    return decisions.Decision(**plain | more)


@pytest.fixture
def ids(history) -> list[int]:
    """Verdicts: defect, good, unreadable, and the first picture once more."""
    history.write([verdict(), verdict(1, label="good"), verdict(2, label="")])
    history.write([verdict(0, path="again.png")])
    return [row["id"] for row in history.rows()]


def test_what_a_picture_shows_follows_from_the_verdict(history, ids):
    for number, word, kind, label in (
        (ids[0], "yes", "scratch", "defect"),
        (ids[0], "no", "", "good"),
        (ids[1], "no", "void", "defect"),
        (ids[1], "yes", "", "good"),
        (ids[1], "unsure", "", ""),
    ):
        said = decisions.add(history, _decided(number, word, kind=kind, note="ä"))
        assert said.label == label
        kept = decisions.of_verdicts(history, ids)[number][-1]
        assert {n: kept[n] for n in dataclasses.asdict(said)} == vars(said)
    found = decisions.of_verdicts(history, ids)
    assert [len(found.get(number, ())) for number in ids] == [2, 3, 0, 0]
    assert decisions.kinds(history) == ["scratch", "void"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"decision": "maybe"}, "yes, no or unsure"),
        ({"who": ""}, "name of the person"),
        ({"who": "x" * 201}, "at most 200"),
        ({"note": "a\nb"}, "one line"),
        ({"kind": "void", "decision": "no"}, "only defects have one"),
        ({"verdict_id": 10**9}, "is not in the history"),
        ({"verdict_id": None}, "could not be read"),
    ],
)
def test_what_cannot_be_is_refused_and_not_kept(history, ids, changed, said):
    changed = changed | ({"verdict_id": ids[2]} if None in changed.values() else {})
    with pytest.raises(errors.BadInput, match=said):
        decisions.add(history, dataclasses.replace(_decided(ids[0], "yes"), **changed))
    assert decisions.of_verdicts(history, ids) == {}


def test_the_last_word_on_a_picture_counts_in_every_verdict_of_it(history, ids):
    decisions.add(history, _decided(ids[0], "yes", kind="scratch"))
    decisions.add(history, _decided(ids[1], "no"))
    decisions.add(history, _decided(ids[3], "no", who="Bob"))  # the same picture
    by_path = {line[0]: line for line in decisions.rows(history)}
    assert by_path.keys() == {"again.png", "1.png"}
    assert by_path["again.png"][1:5] == (
        "relabel",
        "good",
        verdict().picture_sha256,
        "Bob",
    )
    decisions.add(history, _decided(ids[0], "unsure"))
    by_path = {line[0]: line for line in decisions.rows(history)}
    assert by_path["0.png"][1:3] == ("unsure", "") and by_path["1.png"][2] == "defect"


def test_prepare_reads_the_table_and_knows_the_picture_by_its_hash(
    history, ids, tmp_path, run_command, capsys
):
    decisions.add(history, _decided(ids[0], "yes", kind="a, b: c"))
    decisions.add(history, _decided(ids[1], "no"))
    place, out = history.name.replace("sqlite:///", ""), tmp_path / "decisions.csv"
    assert run_command("history", place, "--decisions", out) == 0
    rows = [
        manifest.Row("x/a", "x/a.bmp", label="good", sha256=verdict().picture_sha256),
        manifest.Row("x/1", "1.png", label="good", sha256="of another picture"),
    ]
    found = preparing.read(out, tmp_path, rows)
    preparing.apply_labels(rows, found)
    assert (rows[0].label, rows[0].defect_type) == ("defect", "a, b: c")
    assert rows[1].label == "good" and found.unmatched == ("1.png",)
    assert run_command("history", place, "--decisions", "-") == 0
    assert capsys.readouterr().out == out.read_text()
    assert run_command("history", place) == 2
    assert "say which table" in capsys.readouterr().err


def test_a_verdict_that_is_decided_outlives_its_time(history, ids):
    decisions.add(history, _decided(ids[1], "unsure"))
    history.forget("9999", unless=lambda row: False)
    assert [row["id"] for row in history.rows()] == [ids[1]]


def test_an_older_history_has_no_decisions(history, ids):
    with history.writing() as connection:
        tables.DECISIONS.drop(connection)
    place = history.name.replace("sqlite:///", "")
    read = database.Database(place, must_exist=True)
    assert list(decisions.rows(read)) == [] == list(decisions.of_verdicts(read, ids))
    read.close()
    database.Database(place).close()  # as a server completes it
