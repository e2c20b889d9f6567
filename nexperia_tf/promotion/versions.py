"""Versions that are published by a promotion or a rollback, and their history.

    models/line/4/                                  one version, whole or not at all
    models/line/4/assets.extra/promotion.json       what it was promoted by, or
    models/line/4/assets.extra/rollback.json        which version it is again
    models/line/versions.csv                        a row for each version

The history is made of what the versions hold, each time anew; the rows of versions that
have been removed stay. Servers look at folders with a number for a name, not at it.
"""

import dataclasses
import datetime
import pathlib
import shutil
from collections.abc import Mapping

from nexperia_tf import errors, files, locks
from nexperia_tf.data import tables
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import version_folders

HISTORY = "versions.csv"
BUSY = "publishes a version there"
EXTRA = pathlib.PurePosixPath("assets.extra")
PROMOTION, ROLLBACK = EXTRA / "promotion.json", EXTRA / "rollback.json"
RECORD, CARD = EXTRA / "promotion.md", EXTRA / "model_card.md"
BILL = EXTRA / "sbom.cdx.json"
OWN = (PROMOTION, ROLLBACK, RECORD, CARD, BILL)  # not carried on from a version
PUBLISHED, PROMOTED, BACK = "published", "promoted", "rolled back"
SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Row:
    """One version in the history.

    Attributes:
        version: its number.
        what: PUBLISHED (by an export), PROMOTED or BACK.
        when, who: UTC, and the person, where they are known.
        model: what it was made of, or the version that it is again.
        over: what it has taken the place of.
        sha256: of its MANIFEST.sha256, which stands for all of its files.
        note: what the person said.
    """

    version: int
    what: str
    when: str
    who: str
    model: str
    over: str
    sha256: str
    note: str


COLUMNS = tuple(field.name for field in dataclasses.fields(Row))


def copied(
    source: pathlib.Path,
    base: pathlib.Path,
    beside: Mapping[pathlib.PurePosixPath, str | dict],
    *,
    expect: pathlib.Path | None,
    keep: bool = False,
) -> pathlib.Path:
    """Publishes a version's content again, as the next version below `base`.

    Args:
        source: a whole version.
        base: the folder that servers watch.
        beside: texts and JSON to write into it, by their path.
        expect: what has to be the newest version there by now; None for none.
        keep: whether what promoted `source` stays in it.

    Raises:
        errors.BadInput: another version has been published meanwhile, or the history
            is damaged.
    """
    with locks.held(base, busy=BUSY):
        read_history(base)  # a damaged one is refused before anything is published
        newest = next(reversed(version_folders.versions(base)), None)
        if newest != expect:
            raise errors.BadInput(
                f"{base}: version {newest and newest.name} has been published "
                "meanwhile; compare with that one."
            )
        target = base / str(version_folders.next_version(base))
        with files.new_folder(target) as partial:
            shutil.copytree(source, partial, dirs_exist_ok=True)
            for path in OWN if not keep else (ROLLBACK,):
                (partial / path).unlink(missing_ok=True)
            for path, content in beside.items():
                write = files.write_text if isinstance(content, str) else _write_json
                write(partial / path, content)
            files.write_manifest(partial)
        write_history(base)
    return target


def _write_json(path: pathlib.Path, content: dict) -> None:
    files.write_json(path, content)


def write_history(base: pathlib.Path) -> None:
    """Writes versions.csv of all versions there, keeping rows of removed ones."""
    rows = {row.version: row for row in read_history(base)}
    rows |= {int(path.name): _row(path) for path in version_folders.versions(base)}
    ordered = (dataclasses.astuple(rows[number]) for number in sorted(rows))
    files.write_csv(base / HISTORY, COLUMNS, ordered)


def read_history(base: pathlib.Path) -> list[Row]:
    """The rows of versions.csv; none where it is not there."""
    path = base / HISTORY
    if not path.is_file():
        return []
    rows = []
    for where, cells in tables.read(path, COLUMNS)[1]:
        if not cells["version"].isdecimal():
            raise errors.BadInput(
                f"{where}: version {cells['version']!r} is no number."
            )
        values = {name: cells[name] for name in COLUMNS}
        rows.append(Row(**values | {"version": int(cells["version"])}))
    return rows


def _row(version: pathlib.Path) -> Row:
    """What a version says of itself."""
    number, sha256 = int(version.name), files.fingerprint(version)
    if (version / ROLLBACK).is_file():
        told = files.read_json(version / ROLLBACK)
        again = f"version {told.get('again')}"
        return _filled(number, BACK, told, again, sha256)
    if (version / PROMOTION).is_file():
        told = files.read_json(version / PROMOTION)
        new = told.get("new", {})
        return _filled(number, PROMOTED, told, new.get("name", ""), sha256)
    made = datetime.datetime.fromtimestamp(version.stat().st_mtime, datetime.UTC)
    told = {"when": made.isoformat(timespec="seconds")}
    return _filled(number, PUBLISHED, told, "", sha256)


def _filled(number: int, what: str, told: Mapping, model: str, sha256: str) -> Row:
    over = told.get("over", "")
    said = [told.get(name, "") for name in ("when", "who")]
    return Row(number, what, *said, model, over, sha256, told.get("note", ""))


def again(version: pathlib.Path) -> int:
    """The number of the version whose content it holds: its own, but for a rollback."""
    if (version / ROLLBACK).is_file():
        told = files.read_json(version / ROLLBACK).get("again")
        if isinstance(told, int):
            return told
    return int(version.name)


def go_back(
    base: pathlib.Path, to: int | None, *, who: str, when: str, note: str
) -> tuple[pathlib.Path, int]:
    """Publishes an older version again, as the newest.

    Args:
        base: folder of the versions.
        to: which; None takes the one before what is in force.
        who, when, note: for the history.

    Returns:
        the new version's folder, and the number of the older one.

    Raises:
        errors.BadInput: there is no such version, or it is damaged.
    """
    refuse_run(base)
    published = {int(path.name): path for path in version_folders.versions(base)}
    if not published:
        raise errors.BadInput(
            f"{base}: holds no version; name the folder whose subfolders are numbers."
        )
    newest = published[max(published)]
    if to is None:
        _refuse_damaged(newest)  # servers skip it: what is in force is not known
    number = _target(base, published, newest, to)
    _refuse_damaged(published[number])
    told = {
        "schema": SCHEMA,
        "again": number,
        "over": f"version {newest.name}",
        "when": when,
        "who": who,
        "note": note,
    }
    target = copied(published[number], base, {ROLLBACK: told}, expect=newest, keep=True)
    return target, number


def refuse_run(base: pathlib.Path) -> None:
    """A run's own SavedModel goes with its calibration.json, not with a history."""
    places = base, base.resolve().parent
    if any((place / run_folders.CONFIG).is_file() for place in places):
        raise errors.BadInput(
            f"{base}: belongs to a run; name a folder that servers watch, such as "
            "models/line."
        )


def _refuse_damaged(version: pathlib.Path) -> None:
    if why := version_folders.unvouched(version):
        raise errors.BadInput(
            f"{why} Restore {version}, or name another version with --to."
        )


def _target(
    base: pathlib.Path,
    published: Mapping[int, pathlib.Path],
    newest: pathlib.Path,
    to: int | None,
) -> int:
    there = ", ".join(map(str, sorted(published)))
    if to is not None:
        if to not in published:
            raise errors.BadInput(
                f"--to {to}: {base} holds no such version; there are {there}."
            )
        if again(published[to]) == again(newest):
            raise errors.BadInput(
                f"--to {to}: is what {newest} holds already; there are {there}."
            )
        return again(published[to]) if again(published[to]) in published else to
    now = again(newest)
    earlier = [number for number in published if again(published[number]) < now]
    if not earlier:
        raise errors.BadInput(
            f"{base}: there is no version before version {now}, which is in force; "
            f"name one with --to; there are {there}."
        )
    return max(earlier, key=lambda number: (again(published[number]), -number))
