"""What a station's page asks of a history of a million verdicts, in SQLite.

    python -m benchmarks.page_queries [VERDICTS]

Fills a history of 35 days, 2 % of it defects, a thousandth decided, and says the time
of each query in milliseconds: the first, with nothing in the caches of the page, and
the median of the next five.
"""

import datetime
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import sqlalchemy as sql

from nexperia_tf.server.history import database, tables
from nexperia_tf.server.page import counts, filters, queries

VERDICTS = 1_000_000
DAYS = 34  # before now
_AT_ONCE = 50_000
_WORDS = (("defect",) + ("good",) * 45 + ("review",) + ("good",) * 3) * 2


def main(argv: list[str]) -> None:
    """Fills and measures."""
    number = int(argv[0]) if argv else VERDICTS
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder) / "history.sqlite"
        history = database.Database(str(place))
        start = time.perf_counter()
        _fill(history, number)
        seconds = time.perf_counter() - start
        size = place.stat().st_size / 1e6
        print(f"{number:,} verdicts, {size:.0f} MB, written in {seconds:.0f} s")
        for name, ask in _questions(queries.Queries(history), number).items():
            first, *rest = (_milliseconds(ask) for _ in range(6))
            print(f"{name:40} {first:8.1f} {statistics.median(rest):8.1f}")
        history.close()


def _fill(history: database.Database, number: int) -> None:
    now = datetime.datetime.now(datetime.UTC)
    step = datetime.timedelta(days=DAYS) / number
    for start in range(0, number, _AT_ONCE):
        rows = [
            _row(i, now - step * (number - i))
            for i in range(start, min(start + _AT_ONCE, number))
        ]
        with history.writing() as connection:
            connection.execute(sql.insert(tables.VERDICTS), rows)
    said = {"time": tables.now(), "decision": "no", "label": "good", "note": ""}
    said |= {"kind": "void", "who": "Ann"}
    with history.writing() as connection:
        decided = [said | {"verdict_id": i} for i in range(1, number, 1000)]
        connection.execute(sql.insert(tables.DECISIONS), decided)


def _row(i: int, moment: datetime.datetime) -> dict:
    word = _WORDS[i % len(_WORDS)]
    entry = tables.Entry(
        time=tables.stamp(moment),
        station="line-3",
        source="watch",
        request_id=f"watch:{i:064}",
        path=f"2026/lot-{i // 500}/{i}.bmp",
        picture_sha256=f"{i:064}",
        model=("line", "other")[i % 3 == 0],
        version=3,
        score=i % 97 / 97,
        threshold=0.5,
        label="good" if word == "review" else word,
        verdict=word,
        kept_as=f"2026-11-27/{i:064}.bmp" if word == "defect" else None,
    )
    return tables.row_of(entry)


def _questions(asked: queries.Queries, number: int) -> dict[str, Callable]:
    counted, of = counts.Counts(asked), filters.Filter

    def last(**wanted) -> Callable:
        before = wanted.pop("before", None)
        return lambda: asked.last(of(**wanted), 49, before=before)

    return {
        "counts of 35 days": counted.all,
        "last rejects": last(verdict="rejects", station="line-3"),
        "last of all": last(),
        "rejects from the middle on": last(verdict="rejects", before=number // 2),
        "unreadable: there are none": last(verdict="unreadable"),
        "defects of a model": last(verdict="defect", model="other"),
        "a station that is not there": last(verdict="defect", station="line-4"),
        "a model that is not there": last(model="third"),
        "a kind that a person named": last(kind="void"),
        "not decided": last(verdict="defect", decision="none"),
        "an hour of the past": last(
            since=tables.stamp(datetime.datetime.now() - datetime.timedelta(days=20)),
            until=tables.stamp(
                datetime.datetime.now() - datetime.timedelta(days=20, hours=-1)
            ),
        ),
        "the next and the last one": lambda: asked.beside(
            of(verdict="rejects"), number // 2
        ),
    }


def _milliseconds(ask: Callable) -> float:
    start = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1:])
