"""A history is written, read, opened and forgotten; fixture `history` is any."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import sqlite3

import pytest
import sqlalchemy as sql

from nexperia_tf import errors
from nexperia_tf.server.history import command, database, tables, writing


def entry(item: int = 0, **changed) -> tables.Entry:
    plain = tables.Entry(
        time=tables.now(),
        station="s",
        source="rest",
        item=item,
        picture_sha256=f"{item:064}",
        model="line",
        version=3,
        score=0.1 + 0.2,
        threshold=0.5,
        label="good",
        verdict="good",
    )
    return dataclasses.replace(plain, **changed)


def test_a_verdict_is_read_as_it_was_written_to_the_last_bit(history):
    told = entry(path="a\0b", file_size=1 << 40, file_time=1 << 60, problem="ä ∅")
    history.write([told, entry(1)])
    first, _ = history.rows()
    expected = dataclasses.asdict(told) | {"path": "ab"}
    assert {name: first[name] for name in expected} == expected


def test_a_request_id_makes_retries_single(history):
    twice = [entry(i, request_id="r") for i in range(3)]
    history.write(twice)
    history.write([dataclasses.replace(each, score=0.9) for each in twice])
    assert history.of_request("s", "line", "r") == twice
    assert len(list(history.rows())) == 3
    history.write([entry(request_id="r", station="t"), entry(), entry()])  # three more
    assert len(list(history.rows())) == 6
    assert history.of_request("s", "line", "other") == []


def test_verdicts_of_many_requests_share_transactions_and_all_are_told(history):
    async def scenario():
        writer = writing.Writer(history)
        await asyncio.gather(*(writer.write([entry(i)]) for i in range(200)))
        assert len(list(history.rows())) == 200
        history.close()
        writer.close()

    asyncio.run(scenario())


def test_old_verdicts_go_but_for_those_that_must_stay(history):
    history.write(
        [entry(i, time=f"2026-11-{10 + i}", kept_as=f"{i}") for i in range(5)]
    )
    gone = history.forget("2026-11-13", unless=lambda row: row["item"] == 1)
    assert sorted(gone) == ["0", "2"]
    assert [row["item"] for row in history.rows()] == [1, 3, 4]
    assert [row["item"] for row in history.rows(since="2026-11-13")] == [3, 4]
    assert [row["item"] for row in history.rows(until="2026-11-13")] == [1]


def test_a_picture_that_a_younger_verdict_names_stays(history):
    history.write([entry(0, time="2026-11-10T1", kept_as="2026-11-10/a.png")])
    history.write([entry(1, time="2026-11-10T2", kept_as="2026-11-10/b.png")])
    history.write([entry(2, time="2026-11-10T3", kept_as="2026-11-10/a.png")])
    forget = functools.partial(history.forget, unless=lambda row: False)
    assert forget("2026-11-10T3") == ["2026-11-10/b.png"]
    assert forget("2026-11-11") == ["2026-11-10/a.png"]


def test_settings_are_kept_and_taken_back(history):
    assert history.setting("pin:line") is None
    history.set("pin:line", "3")
    history.set("pin:line", "4")
    assert history.setting("pin:line") == "4"
    history.set("pin:line", None)
    assert history.setting("pin:line") is None


def test_the_last_verdict_of_a_watched_file_says_what_it_was(history):
    seen = {"source": tables.WATCH, "path": "a.png"}
    history.write([entry(**seen, file_size=1, file_time=2)])
    history.write([entry(1, **seen, file_size=3, file_time=4), entry(path="b.png")])
    assert history.watched_files("s") == {"a.png": (3, 4)}
    assert history.watched_files("t") == {}


def test_the_table_of_a_history_has_every_verdict(tmp_path, run_command, capsys):
    place, out = tmp_path / "h.sqlite", tmp_path / "out.csv"
    assert run_command("history", place, "--out", out) == 2
    assert "no such history" in capsys.readouterr().err
    opened = database.Database(str(place))
    opened.write([entry(i, time=f"2026-11-2{i}T10:00:00.000000Z") for i in range(3)])
    opened.close()
    out.write_text("mine")
    assert run_command("history", place, "--out", out) == 2
    assert "exists already" in capsys.readouterr().err and out.read_text() == "mine"
    assert run_command("history", place, "--out", out, "--force") == 0
    header, *rows = out.read_text().splitlines()
    assert header.split(",") == list(tables.COLUMNS) and len(rows) == 3
    assert "0.30000000000000004" in rows[0]
    words = ("--since", "2026-11-21", "--until", "2026-11-22T10:00", "--out", "-")
    assert run_command("history", place, *words) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") == 2 and "2026-11-21T10" in shown
    assert run_command("history", place, "--out", "-", "--since", "noon") == 2
    assert "a day or time is expected" in capsys.readouterr().err


def test_what_is_no_history_is_refused_in_one_line(tmp_path):
    (tmp_path / "text").write_text("no database, but long enough to look like one" * 9)
    for place, said in (
        (str(tmp_path / "text"), "cannot be opened as a history"),
        (str(tmp_path / "missing" / "h.sqlite"), "cannot be opened as a history"),
        ("mysql://a:secret@b/c", "mysql: no such history"),
        ("postgresql://a:secret@127.0.0.1:1/c", "cannot be opened as a history"),
    ):
        with pytest.raises(errors.BadInput, match=said) as told:
            database.Database(place)
        assert "secret" not in str(told.value)


def test_another_programs_database_is_refused_and_not_changed(
    tmp_path, run_command, capsys
):
    for name, made, said in (
        ("app", "CREATE TABLE parts (id INTEGER)", "is no history of nexperia serve"),
        ("their", "CREATE TABLE verdicts (id INTEGER)", "verdicts with other columns"),
    ):
        place = tmp_path / f"{name}.sqlite"
        with contextlib.closing(sqlite3.connect(place)) as other:
            other.execute(made)
        before = place.read_bytes()
        assert run_command("history", place, "--out", "-") == 2
        shown = capsys.readouterr().err
        assert said in shown and "--history" not in shown and shown.count("\n") == 1
        assert place.read_bytes() == before
    with pytest.raises(errors.BadInput, match="a table verdicts with other columns"):
        database.Database(str(place))


def test_servers_that_start_together_share_a_new_history(history, tmp_path):
    """The tables are gone, and each server makes them at the same moment."""
    place = history.name.replace("sqlite:///", "")
    for _ in range(5):
        tables.ALL.drop_all(history._engine)
        history.close()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            opened = list(pool.map(database.Database, [place] * 8))
        for each in opened:
            each.close()
        assert history.setting("schema") == tables.SCHEMA


def test_an_older_history_is_read_as_it_is_and_completed_by_a_server(history):
    """One that has neither the tables nor the indexes that came later."""
    place = history.name.replace("sqlite:///", "")
    history.write([entry()])
    index = next(iter(tables.DECISIONS.indexes))
    for older in (index, tables.DECISIONS):
        with history.writing() as connection:
            older.drop(connection)
        before = _names(history)
        read = database.Database(place, must_exist=True)
        assert read.has(tables.DECISIONS) == (older is index)
        assert len(list(read.rows())) == 1 and _names(read) == before
        read.close()
        served = database.Database(place)
        assert served.has(tables.DECISIONS)
        assert _names(served) == before | {index.name, tables.DECISIONS.name}
        served.close()


def _names(history: database.Database) -> set[str]:
    """Of its tables and their indexes."""
    with history.reading() as connection:
        there = sql.inspect(connection)
        named = there.get_table_names()
        indexes = [each["name"] for n in named for each in there.get_indexes(n)]
        return {*named, *indexes}


def test_a_later_history_is_left_alone(tmp_path):
    place = str(tmp_path / "h.sqlite")
    opened = database.Database(place)
    opened.set("schema", "2")
    opened.close()
    with pytest.raises(errors.BadInput, match="by a later version"):
        database.Database(place)


def test_a_sqlite_history_is_synced_at_each_commit(tmp_path):
    opened = database.Database(str(tmp_path / "h.sqlite"))
    with contextlib.closing(sqlite3.connect(tmp_path / "h.sqlite")) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    opened.close()


def test_a_time_without_a_zone_is_utc():
    assert command._time("since", "2026-11-27T06:00") == "2026-11-27T06:00:00.000000Z"
    assert command._time("since", "2026-11-27T06:00+02:00").startswith("2026-11-27T04")
