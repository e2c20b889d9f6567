"""A thread that writes the verdicts of many requests in common transactions."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence

from nexperia_tf.server.history import database, tables

_Job = tuple[Sequence[tables.Entry], Callable]


class Writer:
    """A thread that appends verdicts of many requests in common transactions."""

    def __init__(self, history: database.Database):
        self._history = history
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._thread.start()

    async def write(self, entries: Sequence[tables.Entry]) -> None:
        """Returns when the verdicts are on the disk.

        Raises:
            opening.Unwritable: they are not.
        """
        loop = asyncio.get_running_loop()
        written = loop.create_future()

        def tell(error: Exception | None) -> None:
            if not written.done():  # nobody may wait any more
                written.set_exception(error) if error else written.set_result(None)

        self._jobs.put((entries, lambda e: loop.call_soon_threadsafe(tell, e)))
        await written

    def close(self) -> None:
        """Returns when all that was asked for is written."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            while sum(len(entries) for entries, _ in jobs) < database.AT_ONCE:
                try:
                    jobs.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
                if jobs[-1] is None:
                    jobs.pop()
                    self._jobs.put(None)
                    break
            self._write(jobs)

    def _write(self, jobs: list[_Job]) -> None:
        try:
            self._history.write([each for entries, _ in jobs for each in entries])
            error = None
        except Exception as problem:  # each waits for its answer
            error = problem
        for _, tell in jobs:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                tell(error)
