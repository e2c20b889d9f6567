"""What the page reads of the history.

A page never asks for all verdicts: the index by verdict gives the last ones, the index
by time the counts, and what was counted of past hours is kept.
"""

import heapq
import threading
from collections.abc import Mapping, Sequence

import sqlalchemy as sql

from nexperia_tf.server.history import database, tables
from nexperia_tf.server.page import filters

_V = tables.VERDICTS.c
_AT_ONCE = 4  # connections, so that pages leave some to those who write verdicts


class Queries:
    """A history, asked by few at a time.

    Attributes:
        history: the history.

    Args:
        history: which.
    """

    def __init__(self, history: database.Database):
        self.history = history
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def _rows(self, query: sql.Select) -> list[Mapping]:
        with self._turns, self.history.reading() as connection:
            return list(connection.execute(query).mappings())

    def verdict(self, number: int) -> Mapping | None:
        """One verdict, or None where there is none of this id."""
        found = self._rows(sql.select(tables.VERDICTS).where(_V.id == number))
        return found[0] if found else None

    def number_of(self, station: str, model: str, request_id: str) -> int | None:
        """The id of the first verdict of a request."""
        mine = (_V.station == station, _V.model == model, _V.request_id == request_id)
        found = self._rows(sql.select(_V.id).where(*mine).order_by(_V.item).limit(1))
        return found[0]["id"] if found else None

    def last(
        self,
        wanted: filters.Filter,
        count: int,
        *,
        before: int | None = None,
        after: int | None = None,
    ) -> list[Mapping]:
        """Verdicts, the newest first.

        Args:
            wanted: which.
            count: how many at most.
            before: older than that of this id.
            after: the next ones that are newer than that of this id.
        """
        conditions = wanted.conditions()
        if before is not None:
            conditions.append(_V.id < before)
        if after is not None:
            conditions.append(_V.id > after)
        query = sql.select(tables.VERDICTS).where(*conditions).limit(count)
        query = query.order_by(_V.id.desc() if after is None else _V.id)
        # One word at a time: then an index has them in their order.
        parts = [query.where(_V.verdict == word) for word in wanted.words()] or [query]
        found = [row for part in parts for row in self._rows(part)]
        if after is None:
            return heapq.nlargest(count, found, key=lambda row: row["id"])
        nearest = heapq.nsmallest(count, found, key=lambda row: row["id"])
        return sorted(nearest, key=lambda row: row["id"], reverse=True)

    def beside(
        self, wanted: filters.Filter, number: int
    ) -> tuple[int | None, int | None]:
        """Ids of the next newer and the next older verdict that is wanted."""
        newer = self.last(wanted, 1, after=number)
        older = self.last(wanted, 1, before=number)
        return tuple(found[0]["id"] if found else None for found in (newer, older))

    def counted(self, since: str, until: str) -> Sequence[tuple]:
        """How many verdicts there are, by ten minutes, station, model and verdict.

        Args:
            since, until: times as rows have them; the second is left out.

        Returns:
            `(ten minutes, station, model, verdict, count)`, the first the begin of a
            time, such as `2026-11-27T14:0`.
        """
        # Written out: PostgreSQL knows no two parameters to be one.
        part = sql.func.substr(_V.time, sql.text("1"), sql.text("15"))
        groups = (part, _V.station, _V.model, _V.verdict)
        query = sql.select(*groups, sql.func.count())
        query = query.where(_V.time >= since, _V.time < until).group_by(*groups)
        with self._turns, self.history.reading() as connection:
            return [tuple(row) for row in connection.execute(query)]
