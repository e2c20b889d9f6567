"""The one pass over the files: read, hash, decode and measure each image once.

Several processes share the work. They are started afresh ("spawn") and import neither
TensorFlow nor the caller's main module, so each stays small, on every system. What is
measured depends on the bytes alone and is kept by their hash: a second run over a grown
folder decodes only what is new, and files whose size, times and inode are as before are
not even read.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import pathlib
import sqlite3
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import PIL

from nexperia_tf.data import dedupe, images, manifest

MAX_BYTES = 512 * 1024 * 1024  # a larger file is no device image
THUMBNAIL = 32  # pixels a side, for the product's template
_CHUNK = 64  # files per task of a worker
_PER_WORKER = 400  # files that pay for starting one more process
_SETTLED_NS = 2_000_000_000  # a younger file may change within its time stamp's tick

# Measures of other code or other decoders are not these measures.
_VERSION = f"1-{dedupe.SIGNATURE_VERSION}-{PIL.__version__}-{cv2.__version__}"


@dataclasses.dataclass(frozen=True, slots=True)
class Measures:
    """What one file's bytes say.

    Attributes:
        problem: `unreadable` or `unsupported`, or empty.
        message: the problem in one line, with its remedy.
        signature: what `dedupe` compares.
        thumbnail: uint8 luma of `THUMBNAIL` x `THUMBNAIL` pixels.
    """

    sha256: str = ""
    problem: str = ""
    message: str = ""
    pixel_sha256: str = ""
    width: int | None = None
    height: int | None = None
    mode: str = ""
    format: str = ""
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    signature: bytes = b""
    thumbnail: bytes = b""


def measure(
    raw: pathlib.Path,
    paths: Sequence[str],
    *,
    workers: int | None = None,
    cache: pathlib.Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Measures]:
    """Measures of every file, in any order of paths and number of workers the same.

    Args:
        raw: folder that the paths start from.
        paths: POSIX paths of the files.
        workers: processes; the number of cores by default, fewer for few files. With
            1 the work is done in this process.
        cache: folder of measures by content hash; None keeps none.
        progress: called as `progress("read", done, total)`.
    """
    done: dict[str, Measures] = {}
    with _Cache.opened(cache) as kept:
        stamps = {path: _stamp(raw / path) for path in paths}
        done.update(kept.by_stamp(raw, stamps))
        todo = [path for path in paths if path not in done]
        tell = progress or (lambda step, done, total: None)
        tell("read", len(done), len(paths))
        for path, measures in _passed(raw, todo, _count(workers, todo), kept.file):
            done[path] = measures
            kept.add(raw, path, stamps[path], measures)
            tell("read", len(done), len(paths))
    return done


def measure_bytes(content: bytes, *, sha256: str | None = None) -> Measures:
    """Measures of one file; a damaged or foreign one has a problem, never raises."""
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    try:
        picture = images.load(content)
    except images.UnreadableImage as error:
        return Measures(sha256, "unreadable", str(error))
    except images.UnsupportedImage as error:
        return Measures(sha256, "unsupported", str(error))
    grey = images.grey(picture.pixels)
    mean, deviation = cv2.meanStdDev(grey)
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return Measures(
        sha256=sha256,
        pixel_sha256=images.pixel_hash(picture.pixels),
        width=picture.width,
        height=picture.height,
        mode=picture.mode,
        format=picture.format,
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        sharpness=float(edges[0, 0]) ** 2,
        signature=dedupe.signature(picture.pixels),
        thumbnail=small.tobytes(),
    )


def fill(row: manifest.Row, measures: Measures) -> None:
    """Copies measures into the columns of the manifest."""
    for name in _COLUMNS:
        setattr(row, name, getattr(measures, name))
    row.dropped_because = measures.problem
    if measures.signature:
        row.phash = dedupe.phash(measures.signature)


_COLUMNS = tuple(
    field.name
    for field in dataclasses.fields(Measures)
    if field.name in manifest.COLUMNS
)


def thumbnails(measures: Sequence[Measures]) -> np.ndarray:
    """uint8 array of shape `(n, THUMBNAIL, THUMBNAIL)`."""
    joined = np.frombuffer(b"".join(m.thumbnail for m in measures), np.uint8)
    return joined.reshape(-1, THUMBNAIL, THUMBNAIL)


def default_cache() -> pathlib.Path:
    """The user's cache folder for measures; it can be removed at any time."""
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return pathlib.Path(home or pathlib.Path.home() / ".cache") / "nexperia_tf"


def _count(workers: int | None, todo: Sequence[str]) -> int:
    if workers is not None:
        return max(1, workers)
    return max(1, min(os.cpu_count() or 1, len(todo) // _PER_WORKER))


def _passed(
    raw: pathlib.Path, paths: Sequence[str], workers: int, cache: str | None
) -> Iterator[tuple[str, Measures]]:
    if workers == 1 or len(paths) < 2:
        for path in paths:
            yield path, _measure_file(raw / path, cache)
        return
    size = max(1, min(_CHUNK, len(paths) // workers))
    chunks = [paths[start : start + size] for start in range(0, len(paths), size)]
    with concurrent.futures.ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        with _empty_main():
            tasks = [pool.submit(_measure_chunk, raw, c, cache) for c in chunks]
        try:
            for chunk, task in zip(chunks, tasks):
                yield from zip(chunk, task.result())
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


def _measure_chunk(
    raw: pathlib.Path, paths: Sequence[str], cache: str | None
) -> list[Measures]:
    cv2.setNumThreads(1)  # the processes are the parallelism
    return [_measure_file(raw / path, cache) for path in paths]


def _measure_file(file: pathlib.Path, cache: str | None) -> Measures:
    try:
        if file.stat().st_size > MAX_BYTES:
            limit = MAX_BYTES // 1024**2
            return Measures("", "unsupported", f"the file is larger than {limit} MiB")
        content = file.read_bytes()
    except OSError as error:
        return Measures("", "unreadable", f"cannot be opened: {error.strerror}")
    sha256 = hashlib.sha256(content).hexdigest()
    return _known(cache, sha256) or measure_bytes(content, sha256=sha256)


def _known(cache: str | None, sha256: str) -> Measures | None:
    """Measures that an earlier run kept for the same bytes under another name."""
    if cache is None:
        return None
    query = "SELECT measures, signature, thumbnail FROM content WHERE sha256 = ?"
    try:
        found = _reader(cache).execute(query, (sha256,)).fetchone()
    except sqlite3.Error:  # busy or damaged: measuring again is always right
        return None
    return found and _unpacked(*found)


@functools.lru_cache(maxsize=1)
def _reader(cache: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{pathlib.Path(cache).as_uri()}?mode=ro", uri=True)


def _packed(measures: Measures) -> tuple[str, bytes, bytes]:
    values = dataclasses.asdict(measures)
    signature, thumbnail = values.pop("signature"), values.pop("thumbnail")
    return json.dumps(values), signature, thumbnail


def _unpacked(values: str, signature: bytes, thumbnail: bytes) -> Measures:
    return Measures(**json.loads(values), signature=signature, thumbnail=thumbnail)


def _stamp(file: pathlib.Path) -> str:
    """Changes whenever the file does; empty when that cannot be told."""
    try:
        stat = file.stat()
    except OSError:
        return ""
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < _SETTLED_NS:
        return ""
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"


class _Cache:
    """Measures by content hash, and content hashes by file and stamp, in SQLite.

    A cache that cannot be written or read is done without.
    """

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
                    "(sha256 PRIMARY KEY, measures, signature, thumbnail)"
                )
                database.execute(
                    "CREATE TABLE IF NOT EXISTS file (path PRIMARY KEY, stamp, sha256)"
                )
            self.file = str(file)
        except (OSError, sqlite3.Error):
            self._database = None

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: pathlib.Path | None) -> Iterator["_Cache"]:
        cache = cls(folder and pathlib.Path(folder) / f"measures-{_VERSION}.sqlite")
        try:
            yield cache
        finally:
            cache._write()
            if cache._database:
                cache._database.close()

    def by_stamp(
        self, raw: pathlib.Path, stamps: dict[str, str]
    ) -> dict[str, Measures]:
        """Measures of the files that are as an earlier run left them."""
        if not self._database:
            return {}
        query = (
            "SELECT measures, signature, thumbnail FROM file JOIN content "
            "USING (sha256) WHERE path = ? AND stamp = ?"
        )
        done = {}
        try:
            for path, stamp in stamps.items():
                key = (_key(raw, path), stamp)
                found = stamp and self._database.execute(query, key).fetchone()
                if found:
                    done[path] = _unpacked(*found)
        except sqlite3.Error:
            return {}
        return done

    def add(self, raw: pathlib.Path, path: str, stamp: str, measures: Measures) -> None:
        if not self._database or not measures.sha256:
            return
        self._pending.append((_key(raw, path), stamp, measures))
        if len(self._pending) >= 4096:  # an interrupted pass keeps what it has done
            self._write()

    def _write(self) -> None:
        if not self._database or not self._pending:
            return
        with contextlib.suppress(sqlite3.Error), self._database as database:
            database.executemany(
                "INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)",
                ((m.sha256, *_packed(m)) for _, _, m in self._pending),
            )
            database.executemany(
                "INSERT OR REPLACE INTO file VALUES (?, ?, ?)",
                ((key, stamp, m.sha256) for key, stamp, m in self._pending if stamp),
            )
        self._pending.clear()


def _key(raw: pathlib.Path, path: str) -> str:
    return f"{raw.resolve().as_posix()}/{path}"
