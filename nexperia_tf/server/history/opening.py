"""Opening a history: its URL, and whether what is there is one of ours.

A server makes what is missing, tables and indexes of later versions among it. Whoever
only reads changes nothing, and an older history will do.
"""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

import sqlalchemy as sql
from sqlalchemy.dialects import postgresql, sqlite

from nexperia_tf import errors
from nexperia_tf.server.history import tables

_TRIES, _BETWEEN = 5, 0.1  # of making tables beside another server; seconds
_MADE_MEANWHILE = (  # what SQLite and PostgreSQL may say then
    sql.exc.IntegrityError,
    sql.exc.OperationalError,
    sql.exc.ProgrammingError,
)


class Unwritable(Exception):
    """The history cannot be written or read now."""


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
    room = tables.VERDICTS.c.station.type.length
    if len(station) > room:
        raise errors.BadInput(
            f"--station {errors.cut(station)}: {len(station)} characters; at most "
            f"{room} are kept in the history."
        )


def _safe(place: str) -> str:
    return place.partition("://")[0] + "://..."


def opened(url: sql.URL, *, must_exist: bool) -> tuple[sql.Engine, frozenset[str]]:
    """The engine of a history, and the names of the tables that it has.

    Args:
        url: of `url_of`.
        must_exist: what is there is read, and nothing made.

    Raises:
        errors.BadInput: it cannot be opened, is of a later version or something else.
    """
    name = url.render_as_string(hide_password=True)
    is_file = url.get_backend_name() == "sqlite"
    if must_exist and is_file:
        _refuse_missing(url.database)
    engine = sql.create_engine(url, pool_pre_ping=True)
    if is_file:
        sql.event.listen(engine, "connect", _patient if must_exist else _durable)
    try:
        return engine, _opened(engine, name, must_exist=must_exist)
    except errors.BadInput:
        engine.dispose()
        raise
    except sql.exc.SQLAlchemyError as error:
        engine.dispose()
        raise errors.BadInput(
            f"{name}: cannot be opened as a history ({reason(error)}); name another."
        ) from None


def insert_into(engine: sql.Engine):
    """The function that begins an INSERT which may meet what is there already."""
    return (sqlite if engine.name == "sqlite" else postgresql).insert


def _opened(engine: sql.Engine, name: str, *, must_exist: bool) -> frozenset[str]:
    for tries in range(1, _TRIES + 1):
        try:
            found = _checked_tables(engine, name, all_there=must_exist)
            if must_exist:
                return found
            _make_tables(engine)
            return frozenset(tables.ALL.tables)
        except _MADE_MEANWHILE:
            if tries == _TRIES:
                raise
            time.sleep(_BETWEEN)
    raise AssertionError("the last try returns or raises")


def _make_tables(engine: sql.Engine) -> None:
    """Makes what is missing: create_all makes no index of a table that is there."""
    tables.ALL.create_all(engine)
    for table in tables.ALL.sorted_tables:
        for index in table.indexes:
            index.create(engine, checkfirst=True)
    row = insert_into(engine)(tables.SETTINGS)
    row = row.values(name=tables.SCHEMA_NAME, value=tables.SCHEMA)
    with engine.begin() as connection:
        connection.execute(row.on_conflict_do_nothing())


def _checked_tables(
    engine: sql.Engine, name: str, *, all_there: bool
) -> frozenset[str]:
    """Names of the tables that are there.

    Raises:
        errors.BadInput: they are another program's, or of a later version.
    """
    with engine.connect() as connection:
        there = sql.inspect(connection)
        found = [t for t in tables.ALL.sorted_tables if there.has_table(t.name)]
        if tables.SETTINGS in found:
            _refuse_later(connection, name)
        for table in found:
            rows = sql.select(sql.text("*")).select_from(table).limit(0)
            if set(connection.execute(rows).keys()) != set(table.columns.keys()):
                raise errors.BadInput(
                    f"{name}: is no history of nexperia serve, but has a table "
                    f"{table.name} with other columns; name another."
                )
    if all_there and not set(tables.FIRST) <= set(found):
        raise errors.BadInput(f"{name}: is no history of nexperia serve; name another.")
    return frozenset(table.name for table in found)


def _refuse_later(connection: sql.Connection, name: str) -> None:
    settings = tables.SETTINGS.c
    query = sql.select(settings.value).where(settings.name == tables.SCHEMA_NAME)
    found = connection.execute(query).scalar()
    if found not in (None, tables.SCHEMA):
        raise errors.BadInput(
            f"{name}: was written by a later version (schema {found}); update "
            "nexperia_tf."
        )


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
def told() -> Iterator[None]:
    """What a database refuses is said in a line, as Unwritable."""
    try:
        yield
    except sql.exc.SQLAlchemyError as error:
        raise Unwritable(f"the history cannot be used ({reason(error)})") from error


def reason(error: sql.exc.SQLAlchemyError) -> str:
    """What the database itself says, in one line."""
    told = getattr(error, "orig", None) or error
    return " ".join(str(told).split())[:200]
