"""One writer for each folder, and what killed writers left swept.

The lock of `runs/mine` is the file `runs/.mine.lock`: beside the folder, so that it is
in no manifest and in nothing that is published. The operating system holds it and lets
go when its process ends, however it ends. None goes stale; the file means nothing.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator

import filelock

from nexperia_tf import errors

_PARTIAL = re.compile(r"\.(?P<name>[^/]+)\.[0-9a-f]{8}\.partial")
_WITHOUT = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}  # file systems without locks
MOMENT = 0.2  # seconds: who sweeps holds a lock for less
_held = threading.local()  # .places: what this thread has locked


def partial(path: pathlib.Path) -> pathlib.Path:
    """A name beside `path` for what shall become it; who holds the lock sweeps it."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


def published(text: str) -> str:
    """The same text with the names that what is partial shall have.

    >>> published("out/.run.0123abcd.partial/model.keras: No space left on device")
    'out/run/model.keras: No space left on device'
    """
    return _PARTIAL.sub(r"\g<name>", text)


def is_transient(name: str) -> bool:
    """Whether a file of this name is a lock, which belongs to no artefact."""
    return name.startswith(".") and name.endswith(".lock")


def is_leftover(name: str) -> bool:
    """Whether it is a lock, or what a killed writer has left."""
    return is_transient(name) or bool(_PARTIAL.fullmatch(name))


@contextlib.contextmanager
def held(path: str | os.PathLike, *, busy: str = "") -> Iterator[None]:
    """A block in which no other process, nor another thread, writes `path`.

    What writers that were killed have left beside and below it is removed first.

    Args:
        path: the folder to be written, there or not.
        busy: what another process that holds it does; it is waited for, with a line.

    Raises:
        errors.BadInput: another process holds it, and `busy` is empty.
    """
    place = pathlib.Path(os.path.realpath(path))
    places = _held.__dict__.setdefault("places", set())
    if place in places:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.callback(_remove_empty, [p for p in place.parents if not p.exists()])
        lock = _acquired(place, path, busy)
        if lock:
            stack.callback(_release, lock)
            _sweep(place)
        places.add(place)
        stack.callback(places.discard, place)
        yield


def refuse_busy(path: str | os.PathLike) -> None:
    """Raises errors.BadInput when another process holds `path`."""
    place = pathlib.Path(os.path.realpath(path))
    if place not in _held.__dict__.get("places", ()):
        with contextlib.suppress(OSError):
            lock = _lock(place)
            try:
                lock.acquire(timeout=MOMENT, poll_interval=MOMENT / 10)
            except filelock.Timeout:
                raise _busy(path) from None
            _release(lock)


def _busy(path: str | os.PathLike) -> errors.BadInput:
    return errors.BadInput(
        f"{path}: another process is at work on it; wait until that has ended, or name "
        "another folder."
    )


def _acquired(
    place: pathlib.Path, path: str | os.PathLike, busy: str
) -> filelock.BaseFileLock | None:
    """The lock; None where none can be had, which is said where it matters."""
    lock = _lock(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=MOMENT, poll_interval=MOMENT / 10)
    except filelock.Timeout:
        if not busy:
            raise _busy(path) from None
        print(f"{path}: another process {busy}; waiting", file=sys.stderr, flush=True)
        lock.acquire(poll_interval=0.2)
    except OSError as error:  # a place that cannot be written says so when it is
        if place.exists() or error.errno in _WITHOUT:
            print(
                f"warning: {path}: cannot be locked ({error.strerror}); see to it that "
                "nothing else writes it.",
                file=sys.stderr,
            )
        return None
    return lock


def _lock(place: pathlib.Path) -> filelock.BaseFileLock:
    file = place.with_name(f".{place.name}.lock")
    # A soft lock, filelock's way out, would go stale.
    return filelock.FileLock(file, fallback_to_soft=False, thread_local=False)


def _release(lock: filelock.BaseFileLock) -> None:
    # First, so that no other's file is taken away; who waits for this one sees that it
    # has no name any more and makes the next. Windows keeps it until it is closed.
    with contextlib.suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()


def _sweep(place: pathlib.Path) -> None:
    """Removes what is left of writers that were killed."""
    # Checkpoints and versions are a level deeper; below that others hold locks.
    for path in [*place.glob(".*"), *place.glob("*/.*")]:
        if is_transient(path.name):
            if lock := _try(path.with_name(path.name[1:].removesuffix(".lock"))):
                _release(lock)
        elif ".partial" in path.name:
            _remove(path)
    for path in list(place.parent.iterdir()):
        if match := _PARTIAL.fullmatch(path.name):
            if match["name"] == place.name:
                _remove(path)
            # Single files are written without a lock, within moments.
            elif path.is_dir() and (other := _try(place.with_name(match["name"]))):
                _remove(path)
                _release(other)
        elif is_transient(path.name) and path.name != f".{place.name}.lock":
            _sweep_lock(path)


def _sweep_lock(file: pathlib.Path) -> None:
    """Removes the lock of a killed process, but no file with something in it.

    Who comes for the lock meanwhile gets one of a file without a name, which filelock
    sees and does not take for held.
    """
    with contextlib.suppress(OSError):
        if file.is_symlink() or not file.is_file() or file.stat().st_size:
            return
        if lock := _try(file.with_name(file.name[1:].removesuffix(".lock"))):
            _release(lock)


def _try(place: pathlib.Path) -> filelock.BaseFileLock | None:
    lock = _lock(place)
    with contextlib.suppress(filelock.Timeout, OSError):
        lock.acquire(blocking=False)
        return lock
    return None


def _remove(path: pathlib.Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _remove_empty(folders: list[pathlib.Path]) -> None:
    with contextlib.suppress(OSError):  # the others hold something by now
        for folder in folders:
            folder.rmdir()
