"""Files that are either whole or absent: write to a partial file, fsync, rename."""

import contextlib
import csv
import hashlib
import io
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Sequence

from nexperia_tf import errors, locks

MANIFEST = "MANIFEST.sha256"


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Publishes `content` at `path`; an older file stays whole until the rename.

    Raises:
        OSError: the disk is full or the place not writable; nothing is left behind.
    """
    with new_file(path) as file:
        file.write(content)


@contextlib.contextmanager
def new_file(path: str | os.PathLike) -> Iterator[io.BufferedWriter]:
    """Yields a partial file that becomes `path` when the block ends well.

    Raises:
        OSError: the disk is full or the place not writable; nothing is left behind.
    """
    path = pathlib.Path(path)
    partial = locks.partial(path)
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        _name(error, path)
        partial.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Publishes `text` as UTF-8 with newlines as given."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike, payload: object) -> None:
    """Publishes `payload` as indented JSON; NaN and infinity are refused."""
    write_text(path, json.dumps(payload, indent=2, allow_nan=False) + "\n")


def write_csv(
    path: str | os.PathLike, header: Sequence[str], rows: Iterable[Sequence]
) -> None:
    """Publishes a table with `\\n` line ends; None becomes an empty cell."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: str | os.PathLike) -> dict:
    """The JSON object in `path`.

    Raises:
        errors.BadInput: the file is missing or no JSON object.
    """
    try:
        payload = json.loads(pathlib.Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise errors.BadInput(f"{path}: no such file.") from None
    except (ValueError, RecursionError) as error:  # of JSON, UTF-8, digits, depth
        raise errors.BadInput(f"{path}: not valid JSON ({error}).") from None
    if not isinstance(payload, dict):
        raise errors.BadInput(f"{path}: a JSON object is expected.")
    return payload


@contextlib.contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a partial folder that becomes `path` when the block ends well.

    Raises:
        errors.BadInput: `path` exists already, its place cannot be written, or another
            process is writing it.
    """
    path = pathlib.Path(path)
    refuse_existing(path)
    with locks.held(path):
        refuse_existing(path)  # by now
        partial = locks.partial(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        except OSError as error:
            raise errors.BadInput(
                f"{path}: cannot be written ({error.strerror}); choose another folder."
            ) from None
        try:
            yield partial
            publish(partial, path)
        except BaseException as error:
            _name(error, path)
            shutil.rmtree(partial, ignore_errors=True)
            raise


def refuse_existing(path: str | os.PathLike) -> None:
    """Raises errors.BadInput when something already stands at `path`."""
    if os.path.lexists(path):
        locks.refuse_busy(path)  # rather than have it removed under a writer
        raise errors.BadInput(
            f"{path}: exists already; name another folder or remove it first."
        )


def check_writable(path: str | os.PathLike) -> None:
    """Raises errors.BadInput when nothing could be written at `path`."""
    path = pathlib.Path(path).absolute()
    parent = next(folder for folder in path.parents if folder.exists())
    probe = locks.partial(parent / "probe")
    try:
        probe.mkdir()  # permissions alone do not tell: file systems can be read-only
        with contextlib.suppress(FileNotFoundError):  # swept by another command
            probe.rmdir()
    except OSError as error:
        raise errors.BadInput(
            f"{path}: cannot be written ({error.strerror}); choose another folder."
        ) from None


def move_into_place(partial: pathlib.Path, path: pathlib.Path) -> None:
    """Syncs the file `partial`, written by a library, and renames it to `path`."""
    _sync(partial)
    os.replace(partial, path)
    _sync_folder(path.parent)


def publish(partial: pathlib.Path, path: pathlib.Path) -> None:
    """Syncs every file below `partial` and renames the folder to `path`."""
    for folder, _, names in os.walk(partial):
        for name in names:
            _sync(pathlib.Path(folder) / name)
        _sync_folder(pathlib.Path(folder))
    os.rename(partial, path)
    _sync_folder(path.parent)


def sha256(path: str | os.PathLike) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: str | os.PathLike) -> None:
    """Writes MANIFEST.sha256 over all files below `folder`, as `sha256sum -c` reads."""
    folder = pathlib.Path(folder)
    write_text(folder / MANIFEST, _lines(folder))


def fingerprint(folder: str | os.PathLike) -> str:
    """Hex SHA-256 that stands for all files below `folder`, as its manifest does."""
    folder = pathlib.Path(folder)
    if (folder / MANIFEST).is_file():
        return sha256(folder / MANIFEST)
    return hashlib.sha256(_lines(folder).encode()).hexdigest()


def _lines(folder: pathlib.Path) -> str:
    names = _names_below(folder)
    return "".join(f"{sha256(folder / name)}  {name}\n" for name in names)


def verify_manifest(
    folder: str | os.PathLike, *, only: str | None = None, whole: str | None = None
) -> None:
    """Checks every file that MANIFEST.sha256 names, or some of them.

    Args:
        folder: that of the manifest.
        only: the name of one file, to check no other.
        whole: a folder below, or "." for `folder` itself, to check no file outside of
            it and refuse any in it that the manifest does not name.

    Raises:
        errors.BadInput: the manifest or a file is missing, a file is not named or
            differs from its SHA-256; the message names the first one.
    """
    folder = pathlib.Path(folder)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise errors.BadInput(f"{manifest}: no such file; the folder is incomplete.")
    names = []
    text = manifest.read_bytes().decode("utf-8", errors="replace")
    # splitlines would take a damaged line end for another kind of line end.
    for line in text.removesuffix("\n").split("\n") if text else ():
        digest, _, name = line.partition("  ")
        names.append(name)
        if only not in (None, name) or not _lies_in(name, whole):
            continue
        file = folder / name
        if not name or not file.is_file():
            raise errors.BadInput(f"{file}: named by {MANIFEST} but missing.")
        if sha256(file) != digest:
            raise errors.BadInput(
                f"{file}: differs from its SHA-256 in {MANIFEST}; the file is damaged, "
                "restore it or make it again."
            )
    if not names or only not in (None, *names):
        raise errors.BadInput(
            f"{manifest}: names {'no file' if only is None else f'no {only}'}; "
            "it is damaged."
        )
    for name in set(_names_below(folder)) - set(names) if whole else ():
        if _lies_in(name, whole) and not name.rpartition("/")[2].startswith("."):
            raise errors.BadInput(f"{folder / name}: is not named by {MANIFEST}.")


def _lies_in(name: str, folder: str | None) -> bool:
    return folder in (None, ".") or name.startswith(f"{folder}/")


def _names_below(folder: pathlib.Path) -> list[str]:
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(
        name
        for name in names
        if name != MANIFEST and not locks.is_transient(name.rpartition("/")[2])
    )


def _name(error: BaseException, path: pathlib.Path) -> None:
    """Says in an OSError what was to be written; a full disk names no file."""
    if isinstance(error, OSError) and error.errno and not error.filename:
        error.filename = str(path)


def _sync(path: pathlib.Path) -> None:
    # Windows flushes only handles that are open for writing.
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: pathlib.Path) -> None:
    if os.name != "posix":  # a folder cannot be opened elsewhere, nor needs it
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
