"""Measures kept by content hash, so that a grown folder costs only what is new.

Files whose size, times and inode are as before are not even read. The cache can be
removed at any time; one that cannot be written or read is done without.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import sqlite3
import time
from collections.abc import Callable, Iterator

from nexperia_tf.data.measure import measurement, signature
from nexperia_tf.data.measure.measurement import Measures
from nexperia_tf.data.raw import file_names

_SIZES = (0, signature.SIDE**2)  # bytes of a thumbnail; of what cannot be read none
_SETTLED_NS = 2_000_000_000  # a younger file may change within its time stamp's tick


def default_folder() -> pathlib.Path | None:
    """The user's cache folder for measures; None for a user without a home.

    It can be removed at any time.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return pathlib.Path(home or pathlib.Path.home() / ".cache") / "nexperia_tf"
    except RuntimeError:  # no HOME, and a number that belongs to no user
        return None


@contextlib.contextmanager
def lookup(cache: str | None) -> Iterator[Callable[[str], Measures | None]]:
    """Yields a function that finds what an earlier run measured for the same bytes."""
    if cache is None:
        yield lambda sha256: None
        return
    query = "SELECT measures, signature FROM content WHERE sha256 = ?"
    uri = f"{pathlib.Path(cache).as_uri()}?mode=ro"
    failed = False

    def known(sha256: str) -> Measures | None:
        nonlocal failed
        if failed:  # who is busy for long would be waited for at every file
            return None
        try:
            row = database.execute(query, (sha256,)).fetchone()
        except sqlite3.Error:  # busy or damaged: measuring again is always right
            failed = True
            return None
        return row and _unpacked(*row)

    try:
        database = sqlite3.connect(uri, uri=True, timeout=1)
    except sqlite3.Error:
        yield lambda sha256: None
        return
    with contextlib.closing(database):
        yield known


def _packed(measures: Measures) -> tuple[str, bytes]:
    values = dataclasses.asdict(measures)
    thumbnail = values.pop("signature")
    return json.dumps(values), thumbnail


def _unpacked(values: str, thumbnail: bytes) -> Measures | None:
    """The measures of a row; None of one that is damaged."""
    try:
        measures = Measures(**json.loads(values), signature=thumbnail)
    except (ValueError, TypeError):
        return None
    is_whole = isinstance(thumbnail, bytes) and len(thumbnail) in _SIZES
    return measures if is_whole else None


def stamp(file: pathlib.Path) -> str:
    """Changes whenever the file does; empty when that cannot be known."""
    try:
        stat = file.stat()
    except OSError:
        return ""
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < _SETTLED_NS:
        return ""
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"


class Cache:
    """Measures by content hash, and content hashes by file and stamp, in SQLite."""

    def __init__(self, file: pathlib.Path | None):
        self.file = None
        self._database = None
        self._pending: list[tuple] = []
        if file is None:
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(file, timeout=1)
            with self._database as database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS content "
                    "(sha256 PRIMARY KEY, measures, signature)"
                )
                database.execute(
                    "CREATE TABLE IF NOT EXISTS file (path PRIMARY KEY, stamp, sha256)"
                )
            self.file = str(file.resolve())
        except (OSError, sqlite3.Error):
            self._close()

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: pathlib.Path | None) -> Iterator["Cache"]:
        cache = cls(
            folder and pathlib.Path(folder) / f"measures-{measurement.VERSION}.sqlite"
        )
        try:
            yield cache
        finally:
            cache._write()
            cache._close()

    def by_stamp(
        self, raw: pathlib.Path, stamps: dict[str, str]
    ) -> dict[str, Measures]:
        """Measures of the files that are as an earlier run left them."""
        if not self._database:
            return {}
        query = (
            "SELECT measures, signature FROM file JOIN content "
            "USING (sha256) WHERE path = ? AND stamp = ?"
        )
        done = {}
        try:
            for path, stamp in stamps.items():
                key = (_key(raw, path), stamp)
                row = stamp and self._database.execute(query, key).fetchone()
                if row and (measures := _unpacked(*row)):
                    done[path] = measures
        except sqlite3.Error:
            return {}
        return done

    def add(self, raw: pathlib.Path, path: str, stamp: str, measures: Measures) -> None:
        if not self._database or not measures.sha256:
            return
        self._pending.append((_key(raw, path), stamp, measures))
        if len(self._pending) >= 4096:  # an interrupted pass keeps what it has done
            self._write()

    def _close(self) -> None:
        if self._database:
            self._database.close()
        self._database = None

    def _write(self) -> None:
        if not self._database or not self._pending:
            return
        with contextlib.suppress(sqlite3.Error), self._database as database:
            database.executemany(
                "INSERT OR REPLACE INTO content VALUES (?, ?, ?)",
                ((m.sha256, *_packed(m)) for _, _, m in self._pending),
            )
            database.executemany(
                "INSERT OR REPLACE INTO file VALUES (?, ?, ?)",
                ((key, stamp, m.sha256) for key, stamp, m in self._pending if stamp),
            )
        self._pending.clear()


def _key(raw: pathlib.Path, path: str) -> str:
    return f"{file_names.as_text(raw.resolve().as_posix())}/{path}"
