"""What the search for copies may keep and use of memory, however large pictures are."""

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator

import numpy as np

_BAND = 1 << 20  # pixels


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices along the first axis of a picture, or of a row, few pixels each.

    >>> list(bands((1000, 3_000)))[:2], len(list(bands((1000, 3_000))))
    ([slice(0, 349, None), slice(349, 698, None)], 3)
    >>> list(bands((5,)))
    [slice(0, 1048576, None)]
    """
    length, width = shape[0], int(np.prod(shape[1:]))
    step = max(1, _BAND // max(1, width))
    return (slice(start, start + step) for start in range(0, length, step))


class Kept:
    """The arrays that were asked for last, up to a number of bytes; for threads."""

    def __init__(self, most: int):
        self._most, self._bytes, self._lock = most, 0, threading.Lock()
        self._arrays: collections.OrderedDict = collections.OrderedDict()

    def get(self, key: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of that key, made where it is not kept."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        made = make()
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = made
                self._bytes += made.nbytes
            while self._bytes > self._most and len(self._arrays) > 1:
                _, oldest = self._arrays.popitem(last=False)
                self._bytes -= oldest.nbytes
        return made


class Shared:
    """Pixels that threads look at together; who wants more than are free waits.

    Nobody waits alone, however many are wanted.
    """

    def __init__(self, most: int):
        self._most, self._taken, self._free = most, 0, threading.Condition()

    @contextlib.contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Waits until so many are free, or nobody else holds any."""
        with self._free:
            self._free.wait_for(
                lambda: not self._taken or self._taken + pixels <= self._most
            )
            self._taken += pixels
        try:
            yield
        finally:
            with self._free:
                self._taken -= pixels
                self._free.notify_all()
