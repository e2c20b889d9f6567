"""The versions of one model: which are loaded, which one answers, and how they change.

The newest whole version answers once it is loaded and has answered a picture; until
then the one before does, which also stays loaded behind it. A version can be pinned,
which is how one goes back; a pin stays until it is taken off.
"""

import asyncio
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterable

from nexperia_tf import sizes
from nexperia_tf.server import refusals
from nexperia_tf.server.models import batching, child, library

# States, as TensorFlow Serving names them.
LOADING, AVAILABLE, UNLOADING, END = "LOADING", "AVAILABLE", "UNLOADING", "END"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before a process is started again


@dataclasses.dataclass(frozen=True)
class Options:
    """How the versions of a model are run.

    Attributes:
        batch_size: pictures that are scored at once, at most.
        max_pixels: a picture with more is not read.
        keep: how many versions stay loaded.
        patience: seconds after which a process that does not answer is ended.
        load_patience: seconds after which one that does not load is ended.
        on_batch: is told the size of each batch.
        on_restart: is told when a process has to be started again.
    """

    batch_size: int = 32
    max_pixels: int = 64_000_000
    keep: int = 2
    patience: float = 30.0
    load_patience: float = 600.0
    on_batch: Callable[[int], None] = lambda size: None
    on_restart: Callable[[], None] = lambda: None


class Version:
    """One version in a process of its own, which is started again when it dies.

    Attributes:
        number: of its folder.
        state: LOADING, AVAILABLE, UNLOADING or END.
        problem: why it could not be loaded, or "".
        stamp: tells its folder from another one of the same name.
    """

    def __init__(self, number: int, folder: pathlib.Path, options: Options):
        self.number, self.folder, self.problem = number, folder, ""
        self.state, self.stamp = LOADING, _stamp(folder)
        self._options, self._child = options, None
        self._restarting: asyncio.Task | None = None
        self.batcher = batching.Batcher(
            self._ask, batch_size=options.batch_size, on_batch=options.on_batch
        )

    @property
    def threshold(self) -> float:
        return self._child.facts["threshold"]

    @property
    def reject_from(self) -> float | None:
        """Score from which nobody has to look; None where the model says none."""
        return self._child.facts["reject_from"]

    @property
    def channels(self) -> int:
        return self._child.facts["channels"]

    @property
    def image_size(self) -> sizes.Size:
        return sizes.Size(*self._child.facts["image_size"])

    @property
    def signatures(self) -> bytes:
        """A serialised `SignatureDefMap`."""
        return self._child.signatures

    @property
    def pid(self) -> int:
        return self._child.pid

    async def load(self) -> None:
        """Starts its process; afterwards it is AVAILABLE, or END with a problem."""
        try:
            self._child = await self._started()
        except (child.Unloadable, child.Died) as error:
            self.state, self.problem = END, str(error)
        else:
            self.state = AVAILABLE
            self.batcher.open()

    async def _started(self) -> child.Child:
        started = child.Child(self.folder, self._options.max_pixels, self._ended)
        patience = self._options.load_patience
        try:
            async with asyncio.timeout(patience):
                await started.start()
        except TimeoutError:
            await started.close()
            raise child.Died(f"was not loaded within {patience:g} seconds") from None
        except BaseException:
            await started.close()
            raise
        return started

    async def _ask(self, pictures: list[child.Picture]) -> list[dict]:
        asked = self._child
        try:
            async with asyncio.timeout(self._options.patience):
                return await asked.ask(pictures)
        except TimeoutError:
            asked.kill()
            await asked.ended()  # by then it is being started again
            message = f"no answer within {self._options.patience:g} seconds"
            raise child.Died(message) from None

    def _ended(self) -> None:
        """Its process has died, unasked."""
        if self.state == AVAILABLE and not self._restarting:
            self.batcher.pause()
            self._restarting = asyncio.create_task(self._restart())

    async def _restart(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            self._options.on_restart()
            _say(f"{self.folder}: its process has ended; it is started again.")
            try:
                self._child = await self._started()
                break
            except (child.Unloadable, child.Died) as error:
                self.problem = str(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self.problem, self._restarting = "", None
        self.batcher.open()

    async def unload(self) -> None:
        """Ends its process when all that waits for it has been answered."""
        self.state = UNLOADING
        try:
            while not self.batcher.idle and not self._restarting:
                await asyncio.sleep(0.02)
        finally:
            await self.close()

    async def close(self) -> None:
        """Ends its process at once."""
        self.state = END
        if self._restarting:
            self._restarting.cancel()
        gone = f"version {self.number} is not served any more"
        self.batcher.refuse(refusals.Refused(refusals.UNAVAILABLE, gone))
        if self._child:
            await self._child.close()


class Model:
    """One model.

    Attributes:
        name: by which clients ask for it.
        pinned: the number of the version that is to answer; None for the newest.
        loaded: by number, the versions that are loaded or being loaded.
        is_needed: whether the server is not ready without it.
    """

    def __init__(self, name: str, base: pathlib.Path, options: Options):
        self.name, self.pinned, self.is_needed = name, None, True
        self.loaded: dict[int, Version] = {}
        self._wholeness, self._options = library.Wholeness(base), options
        self._ending: set[asyncio.Task] = set()
        self._failed: dict[int, Version] = {}
        self._damaged: dict[int, Version] = {}
        self._warned = False

    @property
    def available(self) -> list[int]:
        """Numbers of the versions that answer, lowest first."""
        return sorted(n for n, v in self.loaded.items() if v.state == AVAILABLE)

    @property
    def waiting(self) -> int:
        """How many pictures wait, of all versions."""
        return sum(len(version.batcher) for version in self.loaded.values())

    def serving(self) -> int | None:
        """Number of the version that answers where none is named."""
        if self.pinned in self.available:
            return self.pinned
        return self.available[-1] if self.available else None

    def version(self, number: int | None = None) -> Version:
        """A version that answers, by default the one in force.

        Raises:
            refusals.Refused: there is none.
        """
        wanted = self.serving() if number is None else number
        if wanted in self.available:
            return self.loaded[wanted]
        which = f"Latest({self.name})" if number is None else f"{self.name} / {number}"
        message = f"Servable not found for request: {which}"
        raise refusals.Refused(refusals.NOT_FOUND, message)

    def why_not_serving(self) -> str:
        """What is known of a model of which no version answers, in a line."""
        known = []
        for each in self.states():
            why = f" ({each.problem})" if each.problem else ""
            known.append(f"version {each.number} is {each.state}{why}")
        return f"{self.name}: " + ("; ".join(known) or "no whole version is there")

    def states(self) -> Iterable[Version]:
        """All that is known of its versions, newest first."""
        known = self._damaged | self._failed | self.loaded
        return [known[number] for number in sorted(known, reverse=True)]

    async def refresh(self) -> None:
        """Loads what has come and unloads what is no longer wanted."""
        found = await asyncio.to_thread(self._wholeness.whole)
        self._note_damaged()
        self._forget_failures(found)
        for number in self._wanted(found):
            if number not in self.loaded:
                await self._load(number, found[number])
        wanted = self._wanted(found)
        for number in [n for n in self.available if n not in wanted]:
            # A drive may be away for a moment; and a pin holds while it can.
            if len(self.available) > 1 and number != self.pinned:
                self._unload(number)
        self._warn_of_pin()

    def _note_damaged(self) -> None:
        """Says once what is not whole and stays so; it is listed as failed."""
        before, self._damaged = self._damaged, {}
        for number, (folder, problem) in self._wholeness.damaged().items():
            noted = before.get(number)
            if not noted or noted.problem != problem:
                noted = Version(number, folder, self._options)
                noted.state, noted.problem = END, problem
                _say(f"{self.name}: version {number} is not whole: {problem}")
            self._damaged[number] = noted

    def _warn_of_pin(self) -> None:
        """Says once that another version answers than the one that was pinned."""
        missing = self.pinned is not None and self.pinned not in self.available
        if missing and missing != self._warned:
            _say(
                f"{self.name}: version {self.pinned} is pinned but not there; version "
                f"{self.serving()} answers."
            )
        self._warned = missing

    def _forget_failures(self, found: dict[int, pathlib.Path]) -> None:
        """What could not be loaded is tried again when its folder is another."""
        for number, version in list(self._failed.items()):
            if found.get(number) is None or version.stamp != _stamp(found[number]):
                del self._failed[number]

    def _wanted(self, found: dict[int, pathlib.Path]) -> list[int]:
        """Versions to have loaded, the one to answer first."""
        usable = sorted((n for n in found if n not in self._failed), reverse=True)
        first = [n for n in (self.pinned,) if n in usable]
        rest = [n for n in usable if n not in first]
        return (first + rest)[: max(self._options.keep, 1)]

    async def _load(self, number: int, folder: pathlib.Path) -> None:
        version = self.loaded[number] = Version(number, folder, self._options)
        try:
            await version.load()
        except BaseException:
            del self.loaded[number]
            raise
        if version.state == AVAILABLE:
            self.is_needed = True
            _say(f"{self.name}: version {number} is loaded.")
            return
        del self.loaded[number]
        self._failed[number] = version
        _say(f"{self.name}: version {number} is not served: {version.problem}")

    def _unload(self, number: int) -> None:
        version = self.loaded.pop(number)
        task = asyncio.create_task(version.unload())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def earlier(self) -> int:
        """The version before the one in force.

        Raises:
            refusals.Refused: none before it is loaded.
        """
        now = self.serving()
        before = [number for number in self.available if now and number < now]
        if before:
            return before[-1]
        raise refusals.Refused(
            refusals.NOT_FOUND, f"{self.name}: no version before {now} is loaded"
        )

    async def close(self) -> None:
        """Ends all its processes."""
        ending = list(self._ending)
        for task in ending:
            task.cancel()
        closed = [each.close() for each in self.loaded.values()]
        await asyncio.gather(*closed, *ending, return_exceptions=True)


def _stamp(folder: pathlib.Path) -> tuple:
    found = folder.stat()
    return found.st_ino, found.st_mtime_ns


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
