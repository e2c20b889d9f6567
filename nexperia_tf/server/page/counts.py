"""Verdicts counted over time; past hours are counted once and kept."""

import collections
import dataclasses
import datetime
import threading
import time
from collections.abc import Iterable, Iterator

from nexperia_tf.server.history import tables
from nexperia_tf.server.page import queries

DAYS = 35  # that are counted
_AGAIN = 600.0  # seconds after which all is counted anew: old verdicts are removed
_SETTLED = datetime.timedelta(hours=1)  # by then all stations have written


@dataclasses.dataclass(frozen=True)
class Count:
    """So many verdicts.

    Attributes:
        start: of the ten minutes in which they were given, UTC.
        station, model, verdict: as rows have them.
        number: how many.
    """

    start: datetime.datetime
    station: str
    model: str
    verdict: str
    number: int


class Counts:
    """Counts of the last days.

    Args:
        of: where they are asked for.
    """

    def __init__(self, of: queries.Queries):
        self._of, self._lock = of, threading.Lock()
        self._past: list[Count] = []
        self._until: datetime.datetime | None = None  # of what is kept
        self._counted = -_AGAIN

    def all(self) -> list[Count]:
        """Every count of the last `DAYS`, up to now."""
        with self._lock:
            now = datetime.datetime.now(datetime.UTC)
            settled = _rounded(now - _SETTLED)
            if self._until is None or time.monotonic() - self._counted >= _AGAIN:
                self._past, self._until = [], settled - datetime.timedelta(days=DAYS)
                self._counted = time.monotonic()
            if self._until < settled:
                self._past += self._between(self._until, settled)
                self._until = settled
            return self._past + list(self._between(settled, now + _SETTLED))

    def _between(
        self, since: datetime.datetime, until: datetime.datetime
    ) -> Iterator[Count]:
        found = self._of.counted(tables.stamp(since), tables.stamp(until))
        for text, station, model, verdict, number in found:
            start = datetime.datetime.fromisoformat(f"{text}0:00+00:00")
            yield Count(start, station, model, verdict, number)


def _rounded(moment: datetime.datetime) -> datetime.datetime:
    """The begin of its ten minutes."""
    return moment - datetime.timedelta(
        minutes=moment.minute % 10,
        seconds=moment.second,
        microseconds=moment.microsecond,
    )


@dataclasses.dataclass(frozen=True)
class Day:
    """The counts of one column of a chart.

    Attributes:
        start: of the local day or hour, without a zone.
        good, defect, review, unreadable: how many.
    """

    start: datetime.datetime
    good: int = 0
    defect: int = 0
    review: int = 0
    unreadable: int = 0

    @property
    def readable(self) -> int:
        return self.good + self.defect + self.review

    @property
    def total(self) -> int:
        return self.readable + self.unreadable


def over_time(
    counts: Iterable[Count],
    *,
    by_hour: bool,
    last: int,
    now: datetime.datetime,
    zone: datetime.tzinfo | None = None,
) -> list[Day]:
    """Counts by local days or hours, up to now; those without verdicts among them.

    Args:
        counts: what is summed.
        by_hour: hours instead of days.
        last: how many of them.
        now: a time.
        zone: whose days they are; that of this machine by default.
    """

    def start(moment: datetime.datetime) -> datetime.datetime:
        local = moment.astimezone(zone).replace(tzinfo=None)
        hour = local.replace(minute=0, second=0, microsecond=0)
        return hour if by_hour else hour.replace(hour=0)

    step = datetime.timedelta(hours=1) if by_hour else datetime.timedelta(days=1)
    first = start(now)
    sums = {
        first - step * back: collections.Counter() for back in reversed(range(last))
    }
    for count in counts:
        if (place := start(count.start)) in sums:
            sums[place][count.verdict or "unreadable"] += count.number
    return [Day(place, **found) for place, found in sums.items()]
