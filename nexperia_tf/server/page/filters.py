"""Which verdicts a person wants to see: from a page's address to SQL, and back."""

import dataclasses
import datetime
import urllib.parse
from collections.abc import Mapping

import sqlalchemy as sql

from nexperia_tf.server.history import decisions, tables

REJECTS, UNREADABLE = "rejects", "unreadable"
VERDICTS = (REJECTS, "good", "defect", "review", UNREADABLE)
UNDECIDED = "none"
DECISIONS = (decisions.YES, decisions.NO, decisions.UNSURE, UNDECIDED)
_LARGEST = 2**63 - 1  # that an id can be


@dataclasses.dataclass(frozen=True)
class Filter:
    """What is asked for; an empty field takes all.

    Attributes:
        verdict: good, defect, review, unreadable, or rejects: defect and unreadable.
        model, station: names.
        kind: of the defect, as a person has named it.
        decision: the last word of a person: yes, no, unsure or none.
        since, until: times as rows have them.
    """

    verdict: str = ""
    model: str = ""
    station: str = ""
    kind: str = ""
    decision: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> "Filter":
        """Reads an address; what makes no sense in it is left out."""
        found = {f.name: asked.get(f.name, "") for f in dataclasses.fields(cls)}
        if found["verdict"] not in VERDICTS:
            found["verdict"] = ""
        if found["decision"] not in DECISIONS:
            found["decision"] = ""
        for name in ("since", "until"):
            found[name] = _time(found[name])
        return cls(**found)

    @property
    def query(self) -> str:
        """The same as the end of an address.

        >>> Filter(verdict="defect", model="a&b").query
        'verdict=defect&model=a%26b'
        """
        fields = {name: value for name, value in vars(self).items() if value}
        return urllib.parse.urlencode(fields)

    def conditions(self) -> list[sql.ColumnElement[bool]]:
        """What a verdict has to fulfil, but for its own word."""
        v = tables.VERDICTS.c
        found = []
        if self.model:
            found.append(v.model == self.model)
        if self.station:
            found.append(v.station == self.station)
        if self.since:
            found.append(v.time >= self.since)
        if self.until:
            found.append(v.time < self.until)
        if self.kind or self.decision:
            found.append(self._decided(v.id))
        return found

    def words(self) -> tuple[str, ...]:
        """The words of column `verdict` that are wanted; none where all are."""
        if self.verdict == REJECTS:
            return ("defect", "")
        if self.verdict == UNREADABLE:
            return ("",)
        return (self.verdict,) if self.verdict else ()

    def _decided(self, number: sql.Column) -> sql.ColumnElement[bool]:
        d = tables.DECISIONS.c
        wanted = sql.select(d.verdict_id)
        if self.decision == UNDECIDED:
            return number.not_in(wanted)
        wanted = wanted.where(decisions.last())
        if self.kind:
            wanted = wanted.where(d.kind == self.kind)
        if self.decision:
            wanted = wanted.where(d.decision == self.decision)
        return number.in_(wanted)


def number(text: str) -> int | None:
    """An id in an address, or None where it is none.

    >>> number("17"), number("-1"), number("9" * 30)
    (17, None, None)
    """
    if text.isascii() and text.isdecimal() and len(text) < 20:
        found = int(text)
        return found if found <= _LARGEST else None
    return None


def _time(text: str) -> str:
    """A day or time as rows have it; without a zone it is the server's.

    >>> _time("2026-11-27T06:00+01:00"), _time("noon")
    ('2026-11-27T05:00:00.000000Z', '')
    """
    try:
        return tables.stamp(datetime.datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return ""
