"""`nexperia history`: the verdicts of a server, or what persons said, as a table."""

import csv
import dataclasses
import datetime
import sys
from collections.abc import Iterable, Sequence

import tyro

from nexperia_tf import command, errors, files
from nexperia_tf.server import extra
from nexperia_tf.serving import score_table

STANDARD_OUTPUT = "-"


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Writes the verdicts that `nexperia serve` has given as a CSV table."""

    history: tyro.conf.Positional[str]
    """SQLite file, or postgresql://USER:PASSWORD@HOST/DATABASE."""

    out: str = ""
    """Table to write; - for standard output."""

    decisions: str = ""
    """decisions.csv to write: what persons decided on the page, for nexperia prepare
    --decisions; - for standard output."""

    since: str = ""
    """First day or time (UTC) of --out, such as 2026-11-27 or 2026-11-27T06:00."""

    until: str = ""
    """Day or time (UTC) before which the table ends."""

    station: str = ""
    """Verdicts of this station alone."""

    force: bool = False
    """Replace a table that exists."""


def main(arguments: Arguments) -> None:
    """Writes the tables that are asked for."""
    extra.require()
    from nexperia_tf.server.history import database, decisions, opening, tables

    wanted = [place for place in (arguments.out, arguments.decisions) if place]
    if not wanted:
        raise errors.BadInput("--out, --decisions: say which table, and where to.")
    for place in wanted:
        if place != STANDARD_OUTPUT:
            score_table.check_table(place, force=arguments.force)
    since, until = (
        _time(flag, text)
        for flag, text in (("since", arguments.since), ("until", arguments.until))
    )
    opened = database.Database(arguments.history, must_exist=True)
    try:
        if arguments.out:
            rows = opened.rows(since=since, until=until, station=arguments.station)
            cells = ([row[name] for name in tables.COLUMNS] for row in rows)
            _write(arguments.out, tables.COLUMNS, cells)
        if arguments.decisions:
            _write(arguments.decisions, decisions.HEADER, decisions.rows(opened))
    except opening.Unwritable as error:
        raise errors.BadInput(f"{opened.name}: {error}.") from None
    finally:
        opened.close()


def _write(place: str, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    if place == STANDARD_OUTPUT:
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerows([header])
        table.writerows(rows)
    else:
        files.write_csv(place, header, rows)


def _time(flag: str, text: str) -> str:
    """A day or time as rows have it; empty stays empty."""
    from nexperia_tf.server.history import tables

    if not text:
        return ""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise errors.BadInput(
            f"--{flag} {text}: a day or time is expected, such as 2026-11-27 or "
            "2026-11-27T06:00."
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=datetime.UTC)
    return tables.stamp(found)
