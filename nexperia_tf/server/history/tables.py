"""The tables of a history, and a verdict as one of their rows.

Tables are only ever added: a server makes those that a history of an earlier version
lacks, and whoever only reads does without them.
"""

import dataclasses
import datetime
import hashlib
import typing

import sqlalchemy as sql

SCHEMA, SCHEMA_NAME = "1", "schema"  # kept as a setting of this name
WATCH = "watch"  # source of what was found in a folder
ALL = sql.MetaData()
# BIGINT counts up in PostgreSQL, and only INTEGER does in SQLite.
_NUMBER = sql.BigInteger().with_variant(sql.Integer, "sqlite")
VERDICTS = sql.Table(
    "verdicts",
    ALL,
    sql.Column("id", _NUMBER, primary_key=True, autoincrement=True),
    sql.Column("time", sql.String(27), nullable=False, index=True),
    sql.Column("station", sql.String(200), nullable=False),
    sql.Column("source", sql.String(20), nullable=False),
    sql.Column("request_id", sql.String(200)),
    sql.Column("item", sql.Integer, nullable=False),
    sql.Column("path", sql.Text),
    sql.Column("file_size", sql.BigInteger),
    sql.Column("file_time", sql.BigInteger),
    sql.Column("picture_sha256", sql.String(64), nullable=False, index=True),
    sql.Column("model", sql.String(200), nullable=False),
    sql.Column("version", _NUMBER, nullable=False),
    sql.Column("score", sql.Float(53)),
    sql.Column("unfamiliar", sql.Float(53)),
    sql.Column("threshold", sql.Float(53), nullable=False),
    sql.Column("label", sql.String(20), nullable=False),
    sql.Column("verdict", sql.String(20), nullable=False),
    sql.Column("problem", sql.Text, nullable=False),
    sql.Column("kept_as", sql.Text),
    sql.UniqueConstraint(
        "station", "request_id", "model", "item", "picture_sha256", name="once"
    ),
    # The page: the last of some verdicts, and counts of a time from the index alone.
    sql.Index("verdicts_by_verdict", "verdict", "id"),
    sql.Index("verdicts_counted", "time", "station", "model", "verdict"),
)
SETTINGS = sql.Table(
    "settings",
    ALL,
    sql.Column("name", sql.String(300), primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)
DECISIONS = sql.Table(
    "decisions",
    ALL,
    sql.Column("id", _NUMBER, primary_key=True, autoincrement=True),
    sql.Column("verdict_id", _NUMBER, nullable=False, index=True),
    sql.Column("time", sql.String(27), nullable=False),
    sql.Column("decision", sql.String(20), nullable=False),
    sql.Column("label", sql.String(20), nullable=False),
    sql.Column("kind", sql.String(200), nullable=False),
    sql.Column("who", sql.String(200), nullable=False),
    sql.Column("note", sql.Text, nullable=False),
)
MEASURES = sql.Table(  # numbers of some pictures, to tell drift by
    "measures",
    ALL,
    sql.Column("id", _NUMBER, primary_key=True, autoincrement=True),
    sql.Column("time", sql.String(27), nullable=False),
    sql.Column("station", sql.String(200), nullable=False),
    sql.Column("model", sql.String(200), nullable=False),
    sql.Column("version", _NUMBER, nullable=False),
    sql.Column("picture_sha256", sql.String(64), nullable=False),
    sql.Column("lot", sql.String(200), nullable=False),
    sql.Column("machine", sql.String(200), nullable=False),
    sql.Column("score", sql.Float(53), nullable=False),
    sql.Column("unfamiliar", sql.Float(53)),
    sql.Column("numbers", sql.LargeBinary, nullable=False),  # float32, little-endian
    sql.Index("measures_of", "station", "model", "version", "id"),
)
FIRST = (VERDICTS, SETTINGS)  # without which a file is no history
COLUMNS = tuple(column.name for column in VERDICTS.columns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A verdict, as a row has it.

    Attributes:
        time: when it was given, UTC, as `2026-11-27T14:05:09.123456Z`.
        station: which server gave it.
        source: rest, grpc, upload, page or watch.
        request_id: by which a retry is known; None where there is none.
        item: place of the picture in its request.
        path: of a watched file below its folder, or the name of an uploaded one.
        file_size, file_time: of a watched file, bytes and nanoseconds.
        picture_sha256: of the bytes as they came.
        model, version: what scored it.
        score: probability of a defect; None where it could not be read.
        unfamiliar: how far the picture is from those of the training, over the limit,
            where the model says so.
        threshold: lowest score of a defect.
        label: good, defect, or "" where it could not be read.
        verdict: the label, or review where a person has to look.
        problem: why it has no score, or "".
        kept_as: the file in which the picture is kept.
    """

    time: str
    station: str
    source: str
    request_id: str | None = None
    item: int = 0
    path: str | None = None
    file_size: int | None = None
    file_time: int | None = None
    picture_sha256: str
    model: str
    version: int
    score: float | None
    unfamiliar: float | None = None
    threshold: float
    label: str
    verdict: str
    problem: str = ""
    kept_as: str | None = None


def now() -> str:
    """The present, as rows have it."""
    return stamp(datetime.datetime.now(datetime.UTC))


def stamp(time: datetime.datetime) -> str:
    """A time as rows have it, so that texts are in the order of times.

    >>> stamp(datetime.datetime(2026, 11, 27, 14, 5, tzinfo=datetime.UTC))
    '2026-11-27T14:05:00.000000Z'
    """
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def watched(path: str) -> str:
    """The request id of a watched file; with its hash it makes the verdict single."""
    return f"{WATCH}:{hashlib.sha256(path.encode()).hexdigest()}"


def entry_of(row: typing.Mapping) -> Entry:
    """The verdict of a row that has its columns."""
    return Entry(**{name: row[name] for name in COLUMNS if name != "id"})


def row_of(entry: object) -> dict:
    """Cells; PostgreSQL has no NUL in a text."""
    return {
        name: value.replace("\0", "") if isinstance(value, str) else value
        for name, value in vars(entry).items()
    }
