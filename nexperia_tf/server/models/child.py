"""The server's handle on the process of one version: start, ask, notice its end."""

import asyncio
import dataclasses
import itertools
import multiprocessing
import pathlib
import threading
from collections.abc import Callable, Sequence

from nexperia_tf.server.models import frames, worker

_PATIENCE = 10.0  # seconds that a killed process has to end


class Died(Exception):
    """The process has ended, or could not do what it was asked."""


class Unloadable(Exception):
    """The version cannot be loaded; the message says why in one line."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture as a client sent it.

    Attributes:
        content: a file's bytes, or uint8 pixels of `shape`.
        shape: `(height, width, channels)` of pixels; None for a file.
        explained: whether a person wants to know which training pictures it is like.
    """

    content: bytes
    shape: tuple[int, int, int] | None = None
    explained: bool = False

    def described(self) -> dict:
        shape = {worker.SHAPE: self.shape} if self.shape else {}
        return shape | ({worker.EXPLAINED: True} if self.explained else {})


class Child:
    """One process.

    Attributes:
        facts: what the model says of itself, as `worker` introduces it, once it is
            ready.
        signatures: a serialised `SignatureDefMap`, once it is ready.
        pid: of the process.
    """

    def __init__(self, version: pathlib.Path, max_pixels: int, on_end: Callable):
        self.facts: dict = {}
        self.signatures = b""
        self._version, self._max_pixels, self._on_end = version, max_pixels, on_end
        self._asked: dict[int, asyncio.Future] = {}
        self._numbers = itertools.count()
        self._sending = asyncio.Lock()
        self._ended = False

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self) -> None:
        """Returns when the model is loaded and has answered once.

        Raises:
            Unloadable: it cannot be loaded.
            Died: the process ended first.
        """
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future = self._loop.create_future()
        self._gone = asyncio.Event()
        begun = asyncio.create_task(asyncio.to_thread(self._begin))
        try:
            await asyncio.shield(begun)
        except asyncio.CancelledError:
            await begun  # else there would be a process that nobody ends
            raise
        await self._ready

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")  # threads do not survive a fork
        ours, theirs = context.Pipe()
        self._connection = ours
        self._process = context.Process(
            target=worker.run,
            args=(theirs, str(self._version), self._max_pixels),
            name=f"nexperia {self._version}",
            daemon=True,
        )
        self._process.start()
        theirs.close()  # else its end would never be noticed
        threading.Thread(target=self._listen, daemon=True).start()

    async def ask(self, pictures: Sequence[Picture]) -> list[dict]:
        """The answers to a batch, in its order, with the keys of `worker`.

        Raises:
            Died: it has ended, or the batch was too much for it.
        """
        if self._ended:
            raise Died("its process has ended")
        number = next(self._numbers)
        answered = self._asked[number] = self._loop.create_future()
        items = [picture.described() for picture in pictures]
        blobs = [picture.content for picture in pictures]
        try:
            async with self._sending:  # a pipe takes little at once
                header = {worker.ID: number, worker.ITEMS: items}
                await asyncio.to_thread(frames.send, self._connection, header, blobs)
            return await answered
        except OSError:
            await self.ended()
            raise Died("its process has ended") from None
        finally:
            self._asked.pop(number, None)

    async def ended(self) -> None:
        """Returns when its end has been noticed, and `on_end` been called."""
        await self._gone.wait()

    def kill(self) -> None:
        """Ends the process as if it had died: `on_end` is called."""
        self._process.kill()

    async def close(self) -> None:
        """Ends the process; what it still works on is lost."""
        self._on_end = None
        self._process.kill()  # it holds nothing that is not elsewhere
        await asyncio.to_thread(self._process.join, _PATIENCE)

    def _listen(self) -> None:
        """A thread: passes on what the process says, and that it has ended."""
        try:
            while True:
                message = frames.receive(self._connection)
                self._loop.call_soon_threadsafe(self._take, *message)
        except (EOFError, OSError, ValueError):
            pass
        self._process.join()
        self._connection.close()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _take(self, header: dict, blobs: list[bytes]) -> None:
        if worker.READY in header:
            self.facts, (self.signatures,) = header[worker.READY], blobs
            _settle(self._ready, result=None)
        elif worker.ID not in header:
            _settle(self._ready, error=Unloadable(header[worker.FAILED]))
        elif asked := self._asked.get(header[worker.ID]):
            if worker.FAILED in header:
                _settle(asked, error=Died(header[worker.FAILED]))
            else:
                _settle(asked, result=header[worker.ANSWERS])

    def _end(self) -> None:
        self._ended = True
        error = Died(f"its process has ended with code {self._process.exitcode}")
        _settle(self._ready, error=error)
        if not self._ready.cancelled():
            self._ready.exception()  # has been seen, whoever waits for it
        for asked in list(self._asked.values()):
            _settle(asked, error=error)
        if self._on_end:
            self._on_end()
        self._gone.set()


def _settle(
    future: asyncio.Future, *, result: object = None, error: Exception | None = None
) -> None:
    if future.done():
        return
    if error:
        future.set_exception(error)
    else:
        future.set_result(result)
