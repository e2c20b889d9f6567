"""Every verdict in a database: a SQLite file, or PostgreSQL by its URL.

A verdict is in the database, synced, before anyone is told of it. Verdicts of many
requests share a transaction, so that the disk is not asked for each. What has a request
id is written once: the second time, what stands there is given back.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
import os
import pathlib
import queue
import threading
import time
import typing
from collections.abc import Iterator, Sequence

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from nexperia_tf import errors

SCHEMA, _SCHEMA_NAME = "1", "schema"  # kept as a setting of this name
WATCH = "watch"  # source of what was found in a folder
_AT_ONCE = 500  # verdicts of a transaction
_TABLES = sql.MetaData()
# BIGINT counts up in PostgreSQL, and only INTEGER does in SQLite.
_NUMBER = sql.BigInteger().with_variant(sql.Integer, "sqlite")
VERDICTS = sql.Table(
    "verdicts",
    _TABLES,
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
)
_SETTINGS = sql.Table(
    "settings",
    _TABLES,
    sql.Column("name", sql.String(300), primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)
COLUMNS = tuple(column.name for column in VERDICTS.columns)
_TRIES, _BETWEEN = 5, 0.1  # of making tables beside another server; seconds
_MADE_MEANWHILE = (  # what SQLite and PostgreSQL may say then
    sql.exc.IntegrityError,
    sql.exc.OperationalError,
    sql.exc.ProgrammingError,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A verdict, as a row has it.

    Attributes:
        time: when it was given, UTC, as `2026-11-27T14:05:09.123456Z`.
        station: which server gave it.
        source: rest, grpc, upload or watch.
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


class Unwritable(Exception):
    """The history cannot be written or read now."""


def now() -> str:
    """The present, as rows have it."""
    return stamp(datetime.datetime.now(datetime.UTC))


def stamp(time: datetime.datetime) -> str:
    """A time as rows have it, so that texts are in the order of times.

    >>> stamp(datetime.datetime(2026, 11, 27, 14, 5, tzinfo=datetime.UTC))
    '2026-11-27T14:05:00.000000Z'
    """
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def url_of(place: str) -> sql.URL:
    """The URL of a history: of a file by its path, of PostgreSQL as it is.

    >>> url_of("a/history.sqlite").database
    'a/history.sqlite'
    >>> url_of("postgresql://line@db/verdicts").drivername
    'postgresql+pg8000'

    Raises:
        errors.BadInput: a URL of another kind.
    """
    if "://" not in place:
        return sql.URL.create("sqlite", database=place)
    try:
        url = sql.make_url(place)
    except sql.exc.ArgumentError:
        raise errors.BadInput(f"{_safe(place)}: no URL of a database.") from None
    if url.get_backend_name() == "sqlite":
        return url
    if url.get_backend_name() == "postgresql":
        password = url.password or os.environ.get("PGPASSWORD")  # which ps shows not
        return url.set(drivername="postgresql+pg8000", password=password)
    raise errors.BadInput(
        f"{url.get_backend_name()}: no such history; name a SQLite file, or "
        "postgresql://USER:PASSWORD@HOST/DATABASE."
    )


def refuse_long(station: str) -> None:
    """Raises errors.BadInput where the name of a station has no room in a row."""
    room = VERDICTS.c.station.type.length
    if len(station) > room:
        raise errors.BadInput(
            f"--station {errors.cut(station)}: {len(station)} characters; at most "
            f"{room} are kept in the history."
        )


def _safe(place: str) -> str:
    return place.partition("://")[0] + "://..."


class Database:
    """A history that is open.

    Args:
        place: a SQLite file, or the URL of a PostgreSQL database.
        must_exist: what is there is read, and nothing made.

    Raises:
        errors.BadInput: it cannot be opened, is of a later version or something else.
    """

    def __init__(self, place: str, *, must_exist: bool = False):
        url = url_of(place)
        self.name = url.render_as_string(hide_password=True)
        if must_exist and url.get_backend_name() == "sqlite":
            _refuse_missing(url.database)
        self._engine = sql.create_engine(url, pool_pre_ping=True)
        self._insert = sqlite.insert
        if url.get_backend_name() == "sqlite":
            connected = _patient if must_exist else _durable
            sql.event.listen(self._engine, "connect", connected)
        else:
            self._insert = postgresql.insert
        try:
            self._open(must_exist)
        except errors.BadInput:
            self.close()
            raise
        except sql.exc.SQLAlchemyError as error:
            self.close()
            raise errors.BadInput(
                f"{self.name}: cannot be opened as a history ({_reason(error)}); name "
                "another."
            ) from None

    def _open(self, must_exist: bool) -> None:
        for tries in range(1, _TRIES + 1):
            try:
                self._check_tables(all_there=must_exist)
                if not must_exist:
                    self._make_tables()
                return
            except _MADE_MEANWHILE:
                if tries == _TRIES:
                    raise
                time.sleep(_BETWEEN)

    def _make_tables(self) -> None:
        _TABLES.create_all(self._engine)
        row = self._insert(_SETTINGS).values(name=_SCHEMA_NAME, value=SCHEMA)
        with self._engine.begin() as connection:
            connection.execute(row.on_conflict_do_nothing())

    def _check_tables(self, *, all_there: bool) -> None:
        """Refuses another program's tables, and those of a later version."""
        with self._engine.connect() as connection:
            there = sql.inspect(connection)
            found = [t for t in _TABLES.sorted_tables if there.has_table(t.name)]
            if _SETTINGS in found:
                self._refuse_later(connection)
            for table in found:
                rows = sql.select(sql.text("*")).select_from(table).limit(0)
                if set(connection.execute(rows).keys()) != set(table.columns.keys()):
                    raise errors.BadInput(
                        f"{self.name}: is no history of nexperia serve, but has a "
                        f"table {table.name} with other columns; name another."
                    )
        if all_there and len(found) < len(_TABLES.sorted_tables):
            raise errors.BadInput(
                f"{self.name}: is no history of nexperia serve; name another."
            )

    def _refuse_later(self, connection: sql.Connection) -> None:
        query = sql.select(_SETTINGS.c.value).where(_SETTINGS.c.name == _SCHEMA_NAME)
        found = connection.execute(query).scalar()
        if found not in (None, SCHEMA):
            raise errors.BadInput(
                f"{self.name}: was written by a later version (schema {found}); update "
                "nexperia_tf."
            )

    def setting(self, name: str) -> str | None:
        """What is kept under a name, or None."""
        query = sql.select(_SETTINGS.c.value).where(_SETTINGS.c.name == name)
        with _told(), self._engine.connect() as connection:
            return connection.execute(query).scalar()

    def set(self, name: str, value: str | None) -> None:
        """Keeps a value under a name; None removes it."""
        with _told(), self._engine.begin() as connection:
            connection.execute(sql.delete(_SETTINGS).where(_SETTINGS.c.name == name))
            if value is not None:
                connection.execute(sql.insert(_SETTINGS).values(name=name, value=value))

    def write(self, entries: Sequence[Entry]) -> None:
        """Appends verdicts, all or none; those that stand there already are left."""
        rows = [_row(entry) for entry in entries]
        insert = self._insert(VERDICTS).on_conflict_do_nothing()
        with _told(), self._engine.begin() as connection:
            connection.execute(insert, rows)

    def of_request(self, station: str, model: str, request_id: str) -> list[Entry]:
        """The verdicts that a request has been given, in the order of its pictures."""
        v = VERDICTS.c
        mine = (v.station == station, v.model == model, v.request_id == request_id)
        with _told(), self._engine.connect() as connection:
            found = connection.execute(sql.select(VERDICTS).where(*mine))
            return sorted(map(_entry, found.mappings()), key=lambda entry: entry.item)

    def watched_files(self, station: str) -> dict[str, tuple[int, int]]:
        """Size and time of each watched file when it got its last verdict, by path."""
        v = VERDICTS.c
        mine = (v.station == station, v.source == WATCH)
        query = sql.select(v.path, v.file_size, v.file_time).where(*mine)
        with _told(), self._engine.connect() as connection:
            found = connection.execute(query.order_by(v.id))
            return {path: (size, time) for path, size, time in found}

    def rows(
        self, *, since: str = "", until: str = "", station: str = ""
    ) -> Iterator[typing.Mapping]:
        """All columns of verdicts in a time, oldest first."""
        query = sql.select(VERDICTS).order_by(VERDICTS.c.id)
        if since:
            query = query.where(VERDICTS.c.time >= since)
        if until:
            query = query.where(VERDICTS.c.time < until)
        if station:
            query = query.where(VERDICTS.c.station == station)
        with _told(), self._engine.connect() as connection:
            streamed = connection.execution_options(yield_per=1000).execute(query)
            yield from streamed.mappings()

    def forget(self, before: str, *, unless: typing.Callable) -> list[str]:
        """Removes verdicts from before a time; returns the files kept for them alone.

        Args:
            before: a time as rows have it.
            unless: takes a row; a true value keeps it.
        """
        query = sql.select(VERDICTS).where(VERDICTS.c.time < before)
        with _told(), self._engine.begin() as connection:
            old = connection.execute(query).mappings().all()
            gone = [row for row in old if not unless(row)]
            for ids in _in_parts([row["id"] for row in gone]):
                connection.execute(sql.delete(VERDICTS).where(VERDICTS.c.id.in_(ids)))
            kept = dict.fromkeys(row["kept_as"] for row in gone if row["kept_as"])
            for names in _in_parts(list(kept)):
                query = sql.select(VERDICTS.c.kept_as).distinct()
                named = connection.execute(query.where(VERDICTS.c.kept_as.in_(names)))
                for name in named.scalars().all():
                    del kept[name]
        return list(kept)

    def close(self) -> None:
        self._engine.dispose()


def watched(path: str) -> str:
    """The request id of a watched file; with its hash it makes the verdict single."""
    return f"{WATCH}:{hashlib.sha256(path.encode()).hexdigest()}"


def _in_parts(values: Sequence) -> Iterator[Sequence]:
    """What a statement can take, again and again."""
    starts = range(0, len(values), _AT_ONCE)
    return (values[start : start + _AT_ONCE] for start in starts)


def _entry(row: typing.Mapping) -> Entry:
    return Entry(**{name: row[name] for name in COLUMNS if name != "id"})


def _row(entry: Entry) -> dict:
    """Cells; PostgreSQL has no NUL in a text."""
    return {
        name: value.replace("\0", "") if isinstance(value, str) else value
        for name, value in vars(entry).items()
    }


def _durable(connection, record) -> None:
    """Has a SQLite file outlast a power cut, and readers not wait for the writer."""
    _patient(connection, record)
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _patient(connection, record) -> None:
    """Has a reader wait for a writer; changes nothing in the file."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


def _refuse_missing(path: str) -> None:
    if not pathlib.Path(path).is_file():
        raise errors.BadInput(
            f"{path}: no such history; name the one that nexperia serve --history has."
        )


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sql.exc.SQLAlchemyError as error:
        raise Unwritable(f"the history cannot be used ({_reason(error)})") from error


def _reason(error: sql.exc.SQLAlchemyError) -> str:
    told = getattr(error, "orig", None) or error
    return " ".join(str(told).split())[:200]


class Writer:
    """A thread that appends verdicts of many requests in common transactions."""

    def __init__(self, database: Database):
        self._database = database
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    async def write(self, entries: Sequence[Entry]) -> None:
        """Returns when the verdicts are on the disk.

        Raises:
            Unwritable: they are not.
        """
        loop = asyncio.get_running_loop()
        written = loop.create_future()

        def tell(error: Exception | None) -> None:
            if not written.done():  # nobody may wait any more
                written.set_exception(error) if error else written.set_result(None)

        self._jobs.put((entries, lambda e: loop.call_soon_threadsafe(tell, e)))
        await written

    def close(self) -> None:
        """Returns when all that was asked for is written."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            while sum(len(entries) for entries, _ in jobs) < _AT_ONCE:
                try:
                    jobs.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
                if jobs[-1] is None:
                    jobs.pop()
                    self._jobs.put(None)
                    break
            self._write(jobs)

    def _write(self, jobs: list[tuple[Sequence[Entry], typing.Callable]]) -> None:
        try:
            self._database.write([each for entries, _ in jobs for each in entries])
            error = None
        except Exception as problem:  # each waits for its answer
            error = problem
        for _, tell in jobs:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                tell(error)
