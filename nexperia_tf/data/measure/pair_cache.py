"""What two files were found to be, kept: a grown folder looks at its new pairs only.

The cache can be removed at any time; one that cannot be read or written is done
without.
"""

import contextlib
import hashlib
import pathlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from types import ModuleType

import cv2
import numpy as np

_LONG = 30 * 86400.0  # seconds


class Pairs:
    """What was found by key, in SQLite; may be used from several threads."""

    def __init__(self, file: pathlib.Path | None = None):
        self._lock = threading.Lock()
        self._pending: dict[bytes, str | bytes] = {}
        self._database = None
        if file is None:
            return
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _remove_old(file)
            self._database = sqlite3.connect(file, timeout=1, check_same_thread=False)
            with self._database as database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS pair (key PRIMARY KEY, found)"
                )
        except (OSError, sqlite3.Error):
            self._close()

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, folder: pathlib.Path | None, made_by: Iterable[ModuleType]
    ) -> Iterator["Pairs"]:
        """Those that the same code has found before.

        Args:
            folder: of the cache; None keeps nothing.
            made_by: the modules that decide what is found.
        """
        try:
            name = f"pairs-{_digest(made_by)}.sqlite"
        except OSError:  # the source is not at hand
            folder, name = None, ""
        pairs = cls(folder and pathlib.Path(folder) / name)
        try:
            yield pairs
        finally:
            pairs._write()
            pairs._close()

    def get(self, key: bytes) -> str | bytes | None:
        with self._lock:
            if not self._database:
                return None
            try:
                query = "SELECT found FROM pair WHERE key = ?"
                row = self._database.execute(query, (key,)).fetchone()
            except sqlite3.Error:  # busy or damaged: to look again is always right
                self._close()
                return None
        return row[0] if row else None

    def add(self, key: bytes, found: str | bytes) -> None:
        with self._lock:
            if self._database:
                self._pending[key] = found
            if len(self._pending) >= 1024:  # an interrupted search keeps what it found
                self._write()

    def _write(self) -> None:
        if self._database and self._pending:
            with contextlib.suppress(sqlite3.Error), self._database as database:
                rows = self._pending.items()
                database.executemany("INSERT OR REPLACE INTO pair VALUES (?, ?)", rows)
        self._pending.clear()

    def _close(self) -> None:
        if self._database:
            self._database.close()
        self._database = None


def _remove_old(file: pathlib.Path) -> None:
    """What other code has kept beside it and not touched for long."""
    for other in file.parent.glob("pairs-*.sqlite"):
        with contextlib.suppress(OSError):  # another process was quicker
            if other != file and time.time() - other.stat().st_mtime > _LONG:
                other.unlink()


def _digest(modules: Iterable[ModuleType]) -> str:
    """Of their source and of what computes for them: another one may find otherwise."""
    digest = hashlib.sha256(f"{cv2.__version__} {np.__version__}".encode())
    for module in modules:
        digest.update(pathlib.Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]
