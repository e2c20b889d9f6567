"""A folder into which a machine writes pictures: each that is whole is scored once.

A file counts as whole when its size and time have not changed for a moment. What cannot
be read may still be on its way, and gets its verdict only after ten such moments. What
has a verdict is known by path and content from the history, so that a restart, by
whatever end, neither loses nor repeats one.
"""

import asyncio
import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Mapping

from watchdog import events, observers
from watchdog.observers import polling

from nexperia_tf.data.raw import file_names, listing
from nexperia_tf.server import asking, refusals, station
from nexperia_tf.server.history import opening, tables
from nexperia_tf.server.models import child

UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp")
_DOUBT = 10  # moments that an unreadable file is waited for
_AT_ONCE = 64  # files under way
_TRY_AGAIN = 1.0  # seconds, of what could not be read
_LOOK_AGAIN = 60.0  # seconds: what no event told of, such as on a network drive


@dataclasses.dataclass
class _Seen:
    """A file that waits for its verdict: its state, and since when it has had it."""

    state: tuple[int, int]
    since: float


class Watch:
    """Watches a folder with all below it.

    Args:
        of: scores and remembers.
        model: its name.
        folder: the folder.
        by_polling: look at all files again and again, as network drives need it.
        still: seconds that a file must not have changed.
        max_bytes: a larger file is left alone, with a line.
    """

    def __init__(
        self,
        of: station.Station,
        model: str,
        folder: pathlib.Path,
        *,
        by_polling: bool = False,
        still: float = 1.0,
        max_bytes: int = 1 << 28,
    ):
        self._station, self._model, self._folder = of, model, folder
        self._by_polling, self._still, self._max_bytes = by_polling, still, max_bytes
        self._waiting: dict[str, _Seen] = {}
        self._done: dict[str, tuple[int, int]] = {}
        self._under_way: dict[str, asyncio.Task] = {}
        self._said: dict[str, set[str]] = {}
        self._problems: set[str] = set()

    async def run(self) -> None:
        """Watches until it is cancelled; what is under way then is finished."""
        loop = asyncio.get_running_loop()
        self._done = await self._known()
        observer = (
            polling.PollingObserver(timeout=max(self._still / 2, 0.1))
            if self._by_polling
            else observers.Observer()
        )
        told = _Told(lambda path: loop.call_soon_threadsafe(self._note, path))
        observer.schedule(told, str(self._folder), recursive=True)
        observer.start()
        try:
            await self._follow()
        finally:
            observer.stop()
            await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def _known(self) -> dict[str, tuple[int, int]]:
        """What has a verdict already; waits for a history that cannot be read now."""
        history, name = self._station.history, self._station.name
        while True:
            try:
                return await asyncio.to_thread(history.watched_files, name)
            except opening.Unwritable as error:
                self._say(".", f"not watched yet: {error}")
                await asyncio.sleep(_TRY_AGAIN)

    async def _follow(self) -> None:
        looked = -_LOOK_AGAIN
        while True:
            if time.monotonic() - looked >= _LOOK_AGAIN:
                await self._look()
                looked = time.monotonic()
            for name in list(self._waiting) if self._answers else ():
                if len(self._under_way) < _AT_ONCE and name not in self._under_way:
                    self._check(name)
            await asyncio.sleep(self._still / 4)

    @property
    def _answers(self) -> bool:
        return self._station.model(self._model).serving() is not None

    async def _look(self) -> None:
        """Notes every file that is there."""
        found = await asyncio.to_thread(listing.files, self._folder)
        for name in self._problems - found.problems.keys():
            self._said.pop(name, None)
        self._problems = set(found.problems)
        for name, why in found.problems.items():
            self._say(name, why)
        for place, name in enumerate(found.files):
            if place % 100 == 0:
                await asyncio.sleep(0)  # others have their turn
            if not name.lower().endswith(UNFINISHED):
                self._note_name(name)

    def _note(self, path: str) -> None:
        """A file has come or changed, somebody says."""
        relative = os.path.relpath(path, self._folder)
        name = file_names.as_text(pathlib.Path(relative).as_posix())
        if not name.lower().endswith(UNFINISHED) and not listing.is_skipped(name):
            self._note_name(name)

    def _note_name(self, name: str) -> None:
        state = self._state(name)
        if state and state != self._done.get(name) and name not in self._waiting:
            self._waiting[name] = _Seen(state, time.monotonic())

    def _state(self, name: str) -> tuple[int, int] | None:
        """Size and time of a file; None where there is none."""
        try:
            path = file_names.on_disk(self._folder, name)
            found = path.stat()
        except OSError:
            return None
        is_file = path.is_file()
        return (found.st_size, found.st_mtime_ns) if is_file else None

    def _check(self, name: str) -> None:
        """Has a file scored if it has been still for long enough."""
        seen, state = self._waiting[name], self._state(name)
        if state is None:
            del self._waiting[name]
        elif state != seen.state:
            self._waiting[name] = _Seen(state, time.monotonic())
        elif time.monotonic() - seen.since >= self._still:
            task = asyncio.create_task(self._score(name, seen))
            self._under_way[name] = task
            task.add_done_callback(lambda _: self._under_way.pop(name))

    async def _score(self, name: str, seen: _Seen) -> None:
        try:
            content = await asyncio.to_thread(self._read, name, seen.state)
            if content is not None:
                await self._station.judge(self._asked(name, seen, content))
        except refusals.Refused as error:
            if error.code != refusals.UNREADABLE:  # it is looked at again, later
                self._say(name, error)
                await asyncio.sleep(1)
            return
        except OSError as error:  # locked by its writer, or gone
            self._say(name, error)
            await asyncio.sleep(1)
            return
        if self._waiting.get(name) is seen:
            del self._waiting[name]
        self._done[name] = seen.state
        self._said.pop(name, None)
        if self._state(name) != seen.state:  # another picture by now
            self._note_name(name)

    def _asked(self, name: str, seen: _Seen, content: bytes) -> asking.Asked:
        still = time.monotonic() - seen.since
        return asking.Asked(
            source=tables.WATCH,
            model=self._model,
            pictures=[child.Picture(content)],
            request_id=tables.watched(name),
            paths=[name],
            file_state=seen.state,
            final=still >= _DOUBT * self._still,
        )

    def _read(self, name: str, state: tuple[int, int]) -> bytes | None:
        """A file's bytes; None where it is too large, or outside the folder.

        Raises:
            OSError: it cannot be read, or has changed meanwhile.
        """
        if state[0] > self._max_bytes:
            self._say(name, f"is larger than {self._max_bytes} bytes; left alone")
            return None
        path = file_names.on_disk(self._folder, name).resolve(strict=True)
        if not path.is_relative_to(self._folder.resolve()):
            self._say(name, "a link leads out of the watched folder; left alone")
            return None
        content = path.read_bytes()
        if self._state(name) != state:
            raise OSError("has changed while it was read")
        return content

    def _say(self, name: str, what: object) -> None:
        """Says it once of a file until that has its verdict."""
        said = self._said.setdefault(name, set())
        if str(what) not in said:
            said.add(str(what))
            print(f"{self._folder / name}: {what}", file=sys.stderr, flush=True)


class _Told(events.FileSystemEventHandler):
    """Passes on the paths of files that come or change, from watchdog's thread."""

    def __init__(self, note):
        self._note = note

    def on_created(self, event: events.FileSystemEvent) -> None:
        self._tell(event.src_path)

    def on_modified(self, event: events.FileSystemEvent) -> None:
        self._tell(event.src_path)

    def on_closed(self, event: events.FileSystemEvent) -> None:
        self._tell(event.src_path)

    def on_moved(self, event: events.FileSystemEvent) -> None:
        self._tell(event.dest_path)
        if event.is_directory:
            for folder, _, names in os.walk(event.dest_path):
                for name in names:
                    self._tell(os.path.join(folder, name))

    def _tell(self, path: str | bytes) -> None:
        if path:
            self._note(os.fsdecode(path))


def keeps(folder: pathlib.Path | None):
    """A function that says which old verdicts must stay: those of files still there.

    Else these would be scored again. Where the folder itself is away, all stay.
    """

    def keep(row: Mapping) -> bool:
        if row["source"] != tables.WATCH or folder is None:
            return False
        path = file_names.on_disk(folder, row["path"])
        return path.exists() or not folder.is_dir()

    return keep
