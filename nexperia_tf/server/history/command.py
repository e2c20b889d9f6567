"""`nexperia history`: the verdicts of a server as a table."""

import csv
import dataclasses
import datetime
import sys

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

    out: str
    """Table to write; - for standard output."""

    since: str = ""
    """First day or time (UTC), such as 2026-11-27 or 2026-11-27T06:00."""

    until: str = ""
    """Day or time (UTC) before which the table ends."""

    station: str = ""
    """Verdicts of this station alone."""

    force: bool = False
    """Replace a table that exists."""


def main(arguments: Arguments) -> None:
    """Writes the table."""
    extra.require()
    from nexperia_tf.server.history import database, opening, tables

    if arguments.out != STANDARD_OUTPUT:
        score_table.check_table(arguments.out, force=arguments.force)
    since, until = (
        _time(flag, text)
        for flag, text in (("since", arguments.since), ("until", arguments.until))
    )
    opened = database.Database(arguments.history, must_exist=True)
    rows = opened.rows(since=since, until=until, station=arguments.station)
    cells = ([row[name] for name in tables.COLUMNS] for row in rows)
    try:
        if arguments.out == STANDARD_OUTPUT:
            table = csv.writer(sys.stdout, lineterminator="\n")
            table.writerows([tables.COLUMNS])
            table.writerows(cells)
        else:
            files.write_csv(arguments.out, tables.COLUMNS, cells)
    except opening.Unwritable as error:
        raise errors.BadInput(f"{opened.name}: {error}.") from None
    finally:
        opened.close()


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
