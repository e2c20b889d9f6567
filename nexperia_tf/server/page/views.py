"""What the pages show, as plain values for their templates."""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence

from nexperia_tf.server import station
from nexperia_tf.server.history import decisions, tables
from nexperia_tf.server.page import charts, counts, filters, queries

WALL = 24  # pictures of the first page
LISTED = 48  # verdicts of a page of the list
LIGHTS = {  # a word beside the colour, by the state of drift
    "steady": "steady",
    "changed": "changed",
    "too_little": "too few pictures yet",
    "unknown": "cannot be told",
    "": "no drift watch",
}
SPANS = {  # of the chart: words, by hour, how many
    "hours": ("24 hours", True, 24),
    "days": ("14 days", False, 14),
    "weeks": ("5 weeks", False, counts.DAYS),
}


@dataclasses.dataclass(frozen=True)
class Model:
    """A model on the first page.

    Attributes:
        name: its name.
        serving: the version that answers, or None.
        today: its counts since midnight.
        light: state of drift, "" without a watch.
        drift: what the watch says, as `Station.drift` gives it, or None.
    """

    name: str
    serving: int | None
    today: counts.Day
    light: str
    drift: Mapping | None

    @property
    def words(self) -> str:
        return LIGHTS.get(self.light, self.light)


@dataclasses.dataclass(frozen=True)
class Card:
    """A verdict in a list.

    Attributes:
        row: of the history.
        decided: the last decision on it, or None.
    """

    row: Mapping
    decided: Mapping | None

    @property
    def word(self) -> str:
        return self.row["verdict"] or filters.UNREADABLE

    @property
    def name(self) -> str:
        return self.row["path"] or f"{self.row['source']} picture"


def cards(asked: queries.Queries, rows: Sequence[Mapping]) -> list[Card]:
    """Verdicts with what persons said of them."""
    said = decisions.of_verdicts(asked.history, [row["id"] for row in rows])
    return [Card(row, said.get(row["id"], [None])[-1]) for row in rows]


def home(
    of: station.Station,
    asked: queries.Queries,
    counted: Iterable[counts.Count],
    *,
    wanted: Mapping[str, str],
) -> dict:
    """The first page: counts of today, chart, wall and lights.

    Args:
        of: the station.
        asked: its history.
        counted: all counts of the last days.
        wanted: from the address: `station`, `model` and `over`, one of `SPANS`.
    """
    now = datetime.datetime.now(datetime.UTC)
    where = wanted.get("station", of.name)
    counted = list(counted)
    here = [count for count in counted if count.station == where]
    over = wanted.get("over", "") if wanted.get("over") in SPANS else "days"
    model = wanted.get("model", "") if wanted.get("model") in of.models else ""
    drawn = [count for count in here if not model or count.model == model]
    _, by_hour, last = SPANS[over]
    days = counts.over_time(drawn, by_hour=by_hour, last=last, now=now)
    rejects = filters.Filter(verdict=filters.REJECTS, station=where)
    return {
        "station": where,
        "stations": sorted({count.station for count in counted} | {where, of.name}),
        "models": [_model(of, name, here, now) for name in of.models],
        "chart": charts.drawn(days, by_hour=by_hour),
        "days": [day for day in days if day.total],
        "by_hour": by_hour,
        "spans": SPANS,
        "over": over,
        "model": model,
        "wall": cards(asked, asked.last(rejects, WALL)),
        "rejects": rejects,
        "keeps": of.keeper.rule,
        "zone": now.astimezone().tzname(),
        "now": tables.stamp(now),
        "problem": "; ".join(of.why_not_ready()),
    }


def _model(
    of: station.Station,
    name: str,
    here: Iterable[counts.Count],
    now: datetime.datetime,
) -> Model:
    mine = [count for count in here if count.model == name]
    (today,) = counts.over_time(mine, by_hour=False, last=1, now=now)
    drift = of.drift(name)
    light = drift["state"] if drift else ""
    return Model(name, of.models[name].serving(), today, light, drift)
