"""Every verdict in a database: a SQLite file, or PostgreSQL by its URL.

A verdict is in the database, synced, before anyone is told of it. Verdicts of many
requests share a transaction, so that the disk is not asked for each. What has a request
id is written once: the second time, what stands there is given back.
"""

import contextlib
import typing
from collections.abc import Iterator, Sequence

import sqlalchemy as sql

from nexperia_tf.server.history import opening, tables

AT_ONCE = 500  # verdicts of a transaction
_VERDICTS, _SETTINGS = tables.VERDICTS, tables.SETTINGS


class Database:
    """A history that is open.

    Attributes:
        name: its URL without the password.

    Args:
        place: a SQLite file, or the URL of a PostgreSQL database.
        must_exist: what is there is read, and nothing made.

    Raises:
        errors.BadInput: it cannot be opened, is of a later version or something else.
    """

    def __init__(self, place: str, *, must_exist: bool = False):
        url = opening.url_of(place)
        self.name = url.render_as_string(hide_password=True)
        self._engine, self._found = opening.opened(url, must_exist=must_exist)
        self._insert = opening.insert_into(self._engine)

    def has(self, table: sql.Table) -> bool:
        """Whether it has a table: any, but where an older history is only read."""
        return table.name in self._found

    @contextlib.contextmanager
    def reading(self) -> Iterator[sql.Connection]:
        """A connection to read by.

        Raises:
            opening.Unwritable: the database cannot be used now.
        """
        with opening.told(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sql.Connection]:
        """A transaction: all of it is on the disk after the block, or none.

        Raises:
            opening.Unwritable: the database cannot be used now.
        """
        with opening.told(), self._engine.begin() as connection:
            yield connection

    def setting(self, name: str) -> str | None:
        """What is kept under a name, or None."""
        query = sql.select(_SETTINGS.c.value).where(_SETTINGS.c.name == name)
        with self.reading() as connection:
            return connection.execute(query).scalar()

    def set(self, name: str, value: str | None) -> None:
        """Keeps a value under a name; None removes it."""
        with self.writing() as connection:
            connection.execute(sql.delete(_SETTINGS).where(_SETTINGS.c.name == name))
            if value is not None:
                connection.execute(sql.insert(_SETTINGS).values(name=name, value=value))

    def write(self, entries: Sequence[tables.Entry]) -> None:
        """Appends verdicts, all or none; those that stand there already are left."""
        rows = [tables.row_of(entry) for entry in entries]
        insert = self._insert(_VERDICTS).on_conflict_do_nothing()
        with self.writing() as connection:
            connection.execute(insert, rows)

    def of_request(
        self, station: str, model: str, request_id: str
    ) -> list[tables.Entry]:
        """The verdicts that a request has been given, in the order of its pictures."""
        v = _VERDICTS.c
        mine = (v.station == station, v.model == model, v.request_id == request_id)
        with self.reading() as connection:
            found = connection.execute(sql.select(_VERDICTS).where(*mine))
            return sorted(
                map(tables.entry_of, found.mappings()), key=lambda entry: entry.item
            )

    def watched_files(self, station: str) -> dict[str, tuple[int, int]]:
        """Size and time of each watched file when it got its last verdict, by path."""
        v = _VERDICTS.c
        mine = (v.station == station, v.source == tables.WATCH)
        query = sql.select(v.path, v.file_size, v.file_time).where(*mine)
        with self.reading() as connection:
            found = connection.execute(query.order_by(v.id))
            return {path: (size, time) for path, size, time in found}

    def rows(
        self, *, since: str = "", until: str = "", station: str = ""
    ) -> Iterator[typing.Mapping]:
        """All columns of verdicts in a time, oldest first."""
        query = sql.select(_VERDICTS).order_by(_VERDICTS.c.id)
        if since:
            query = query.where(_VERDICTS.c.time >= since)
        if until:
            query = query.where(_VERDICTS.c.time < until)
        if station:
            query = query.where(_VERDICTS.c.station == station)
        with self.reading() as connection:
            streamed = connection.execution_options(yield_per=1000).execute(query)
            yield from streamed.mappings()

    def forget(self, before: str, *, unless: typing.Callable) -> list[str]:
        """Removes verdicts from before a time; returns the files kept for them alone.

        What was measured of pictures before goes, too. Those on which a person has
        decided stay.

        Args:
            before: a time as rows have it.
            unless: takes a row; a true value keeps it.
        """
        decided = tables.DECISIONS.c.verdict_id == _VERDICTS.c.id
        undecided = ~sql.exists().where(decided)
        query = sql.select(_VERDICTS).where(_VERDICTS.c.time < before, undecided)
        with self.writing() as connection:
            old = connection.execute(query).mappings().all()
            gone = [row for row in old if not unless(row)]
            measures = sql.delete(tables.MEASURES)
            connection.execute(measures.where(tables.MEASURES.c.time < before))
            for ids in _in_parts([row["id"] for row in gone]):
                connection.execute(sql.delete(_VERDICTS).where(_VERDICTS.c.id.in_(ids)))
            kept = dict.fromkeys(row["kept_as"] for row in gone if row["kept_as"])
            for names in _in_parts(list(kept)):
                query = sql.select(_VERDICTS.c.kept_as).distinct()
                named = connection.execute(query.where(_VERDICTS.c.kept_as.in_(names)))
                for name in named.scalars().all():
                    del kept[name]
        return list(kept)

    def close(self) -> None:
        self._engine.dispose()


def _in_parts(values: Sequence) -> Iterator[Sequence]:
    """What a statement can take, again and again."""
    starts = range(0, len(values), AT_ONCE)
    return (values[start : start + AT_ONCE] for start in starts)
