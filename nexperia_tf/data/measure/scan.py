"""The one pass over the files: read, hash, decode and measure each image once.

Several processes share the work. They are started afresh ("spawn") and import neither
TensorFlow nor the caller's main module, so each stays small, on every system. Files
whose measures are kept from an earlier run are not decoded again.
"""

import concurrent.futures
import contextlib
import hashlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence

import cv2

from nexperia_tf.data import images, progress
from nexperia_tf.data.measure import measurement, scan_cache
from nexperia_tf.data.measure.measurement import Measures
from nexperia_tf.data.raw import file_names

MAX_BYTES = 512 * 1024 * 1024  # a larger file is no device image
STEP = "Reading pictures"
_CHUNK = 64  # files per task of a worker
_PER_WORKER = 400  # files that pay for starting one more process


def measure(
    raw: pathlib.Path,
    paths: Sequence[str],
    *,
    workers: int | None = None,
    cache: pathlib.Path | None = None,
    max_pixels: int = images.MAX_PIXELS,
    on_progress: progress.Callback = progress.silent,
) -> dict[str, Measures]:
    """Measures of every file, in any order of paths and number of workers the same.

    Args:
        raw: folder that the paths start from.
        paths: POSIX paths of the files, in the form of tables (`file_names.as_text`).
        workers: processes; the number of cores by default, fewer for few files. With
            1 the work is done in this process.
        cache: folder of measures by content hash; None keeps none.
        max_pixels: a picture with more is `unsupported`. Measures are kept for the
            default alone.
        on_progress: called as `on_progress(step, done, total)`.
    """
    done: dict[str, Measures] = {}
    cache = cache if max_pixels == images.MAX_PIXELS else None
    with scan_cache.Cache.opened(cache) as kept:
        stamps = {
            path: scan_cache.stamp(file_names.on_disk(raw, path)) for path in paths
        }
        done.update(kept.by_stamp(raw, stamps))
        todo = [path for path in paths if path not in done]
        on_progress(STEP, len(done), len(paths))
        passed = _passed(raw, todo, _count(workers, todo), kept.file, max_pixels)
        for path, measures in passed:
            done[path] = measures
            kept.add(raw, path, stamps[path], measures)
            on_progress(STEP, len(done), len(paths))
    return done


def _count(workers: int | None, todo: Sequence[str]) -> int:
    if workers is not None:
        return max(1, workers)
    return max(1, min(os.cpu_count() or 1, len(todo) // _PER_WORKER))


def _passed(
    raw: pathlib.Path,
    paths: Sequence[str],
    workers: int,
    cache: str | None,
    max_pixels: int,
) -> Iterator[tuple[str, Measures]]:
    if workers == 1 or len(paths) < 2:
        with scan_cache.lookup(cache) as known:
            for path in paths:
                file = file_names.on_disk(raw, path)
                yield path, _measure_file(file, known, max_pixels)
        return
    size = max(1, min(_CHUNK, len(paths) // workers))
    chunks = [paths[start : start + size] for start in range(0, len(paths), size)]
    with concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_end_with_parent,
    ) as pool:
        with _empty_main(), _deaf_to_the_keyboard():
            tasks = [
                pool.submit(_measure_chunk, raw, chunk, cache, max_pixels)
                for chunk in chunks
            ]
            started = multiprocessing.active_children()
        try:
            for chunk, task in zip(chunks, tasks):
                yield from zip(chunk, task.result())
        except BaseException:  # a signal, above all: nobody waits for their chunks
            for process in started:
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def _empty_main() -> Iterator[None]:
    """Hides the caller's main module, which a spawned process would import again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _deaf_to_the_keyboard() -> Iterator[None]:
    """Starts processes that leave Ctrl-C, which reaches all of them, to the caller."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    # Its start would let the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Has a process end when the one that has started it is gone, however it went."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _measure_chunk(
    raw: pathlib.Path, paths: Sequence[str], cache: str | None, max_pixels: int
) -> list[Measures]:
    cv2.setNumThreads(1)  # the processes are the parallelism
    with scan_cache.lookup(cache) as known:
        return [
            _measure_file(file_names.on_disk(raw, path), known, max_pixels)
            for path in paths
        ]


def _measure_file(
    file: pathlib.Path, known: Callable[[str], Measures | None], max_pixels: int
) -> Measures:
    try:
        if file.stat().st_size > MAX_BYTES:
            limit = MAX_BYTES // 1024**2
            return Measures("", "unsupported", f"the file is larger than {limit} MiB")
        content = file.read_bytes()
    except OSError as error:
        return Measures("", "unreadable", f"cannot be opened: {error.strerror}")
    sha256 = hashlib.sha256(content).hexdigest()
    return known(sha256) or measurement.measure(
        content, sha256=sha256, max_pixels=max_pixels
    )
