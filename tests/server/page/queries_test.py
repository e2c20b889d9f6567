"""What the page asks, in SQLite and PostgreSQL, against what Python finds itself."""

import dataclasses
import datetime
import zoneinfo

import pytest
import sqlalchemy as sql

from nexperia_tf.server.history import decisions, tables
from nexperia_tf.server.page import charts, counts, filters, queries

NOW = datetime.datetime.now(datetime.UTC)
WORDS = ("good", "defect", "", "review", "good", "defect", "good")
HOURS = 10  # between two verdicts


def verdict(i: int) -> tables.Entry:
    word = WORDS[i % len(WORDS)]
    return tables.Entry(
        time=tables.stamp(NOW - datetime.timedelta(hours=HOURS * (60 - i))),
        station=("s", "t")[i % 5 == 0],
        source="watch",
        request_id=f"r{i}",
        path=f"{i}.png",
        picture_sha256=f"{i:064}",
        model=("line", "other")[i % 3 == 0],
        version=1,
        score=None if word == "" else 0.5,
        threshold=0.5,
        label="good" if word == "review" else word,
        verdict=word,
    )


@pytest.fixture
def filled(history):
    """Sixty verdicts, of which some are decided, one of them twice."""
    history.write([verdict(i) for i in range(60)])
    ids = [row["id"] for row in history.rows()]
    for i, word, kind in ((1, "yes", "void"), (3, "no", ""), (3, "no", "void")):
        decisions.add(
            history,
            decisions.Decision(verdict_id=ids[i], decision=word, kind=kind, who="Ann"),
        )
    return history


def _expected(history, wanted: filters.Filter) -> list[int]:
    """Ids, newest first, by plain loops."""
    said = decisions.of_verdicts(history, [row["id"] for row in history.rows()])
    return [
        row["id"]
        for row in reversed(list(history.rows()))
        if (not wanted.words() or row["verdict"] in wanted.words())
        and wanted.model in ("", row["model"])
        and wanted.station in ("", row["station"])
        and (wanted.since or "") <= row["time"] < (wanted.until or "9")
        and _fits(wanted, said.get(row["id"], [None])[-1])
    ]


def _fits(wanted: filters.Filter, last) -> bool:
    if wanted.decision == "none":
        return last is None
    kind, word = (last["kind"], last["decision"]) if last else (None, None)
    return wanted.kind in ("", kind) and wanted.decision in ("", word)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"verdict": "rejects"},
        {"verdict": "unreadable"},
        {"verdict": "defect", "model": "other"},
        {"verdict": "rejects", "station": "t"},
        {"kind": "void"},
        {"decision": "no"},
        {"decision": "none", "verdict": "good"},
        {"since": tables.stamp(NOW - datetime.timedelta(hours=200))},
        {"until": tables.stamp(NOW - datetime.timedelta(hours=500))},
    ],
)
def test_pages_of_a_list_are_what_a_loop_finds(filled, asked):
    of, wanted = queries.Queries(filled), filters.Filter.of(asked)
    expected, found, before = _expected(filled, wanted), [], None
    while rows := of.last(wanted, 4, before=before):
        found += [row["id"] for row in rows]
        before = found[-1]
    assert found == expected and expected
    for place, number in enumerate(expected):
        newer = expected[place - 1] if place else None
        older = expected[place + 1] if place + 1 < len(expected) else None
        assert of.beside(wanted, number) == (newer, older)


def test_lists_and_counts_are_read_from_indexes(filled):
    if "sqlite" not in filled.name:
        pytest.skip("how SQLite says it")
    of, seen = queries.Queries(filled), []

    def explain(connection, cursor, statement, values, context, many):
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        seen.append(" ".join(row[3] for row in cursor.fetchall()))

    sql.event.listen(filled._engine, "before_cursor_execute", explain)
    of.last(filters.Filter(verdict="defect"), 4, before=40)
    of.counted(tables.stamp(NOW), "9")
    assert "verdicts_by_verdict (verdict=? AND id<?)" in seen[0]
    assert "TEMP B-TREE" not in seen[0]
    assert "COVERING INDEX verdicts_counted (time>? AND time<?)" in seen[1]


def test_the_verdict_of_a_request_is_found(filled):
    of = queries.Queries(filled)
    number = of.number_of("s", "line", "r1")
    assert of.verdict(number)["path"] == "1.png"
    assert of.number_of("s", "line", "r0") is None and of.verdict(10**9) is None


def test_counts_stay_right_as_verdicts_come(filled):
    counted = counts.Counts(queries.Queries(filled))
    for _ in range(2):
        total = {}
        for count in counted.all():
            key = count.station, count.model, count.verdict
            total[key] = total.get(key, 0) + count.number
        expected = {}
        for row in filled.rows():
            key = row["station"], row["model"], row["verdict"]
            expected[key] = expected.get(key, 0) + 1
        assert total == expected
        later = dataclasses.replace(verdict(60), time=tables.now(), request_id="new")
        filled.write([later])


def test_days_and_hours_are_those_of_a_zone():
    """Half an hour off UTC, and over the end of summer time."""
    start = datetime.datetime(2026, 10, 24, 18, 20, tzinfo=datetime.UTC)
    found = [
        counts.Count(start + datetime.timedelta(minutes=m), "s", "line", word, 1)
        for m, word in ((0, "good"), (10, "defect"), (24 * 60, ""))
    ]
    now = start + datetime.timedelta(days=1)
    days = counts.over_time(
        found, by_hour=False, last=3, now=now, zone=zoneinfo.ZoneInfo("Asia/Kolkata")
    )
    assert [(d.start.day, d.good, d.defect, d.unreadable) for d in days] == [
        (23, 0, 0, 0),
        (24, 1, 0, 0),  # 23:50
        (25, 0, 1, 1),  # 00:00 and 23:50
    ]
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    hours = counts.over_time(found, by_hour=True, last=24, now=now, zone=berlin)
    assert hours[-1].start == datetime.datetime(2026, 10, 25, 19)
    # Of 24 hours by the clock, 25 have passed.
    assert (hours[0].good, hours[0].defect, hours[-1].unreadable) == (1, 1, 1)


def test_a_chart_has_a_point_for_each_day_with_pictures_and_limits_around_it():
    day = datetime.datetime(2026, 11, 27)
    drawn = charts.drawn(
        [
            counts.Day(day, good=95, defect=4, review=1, unreadable=2),
            counts.Day(day + datetime.timedelta(days=1)),
            counts.Day(day + datetime.timedelta(days=2), good=1, defect=1),
            counts.Day(day + datetime.timedelta(days=3), unreadable=3),
        ],
        by_hour=False,
    )
    assert drawn.count("<circle") == drawn.count('class="limits"') == 2
    assert 'class="yield"/>' not in drawn  # no line over days without a yield
    assert "yield 95.00 % (88.72 to 98.36) of 100" in drawn  # as R's binom.test
    assert "2 unreadable" in drawn and "3 unreadable" in drawn
    assert ">50 %<" in drawn and ">100 %<" in drawn
