"""The table of a job that scores: it grows beside its place and is published whole.

    scores.csv.partial        rows so far, synced while the job runs
    scores.csv.partial.json   what they were scored with
    scores.csv                the finished table, by rename

A killed job leaves the first two, from which `--resume` goes on.
"""

import collections
import contextlib
import csv
import io
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO

from nexperia_tf import errors, files, locks
from nexperia_tf.serving.scoring import COLUMNS

STANDARD_OUTPUT = "-"
_SYNC_EVERY = 1.0  # seconds of work that a power cut may cost


class Table:
    """Rows on their way to a file.

    Attributes:
        rows: how many there are, those of an earlier job counted.
        defects: how many of these are called defect.
        problems: why the others have no score.
        seen: paths of the rows of an earlier job, in their order.
    """

    def __init__(self, file: BinaryIO, name: str):
        self.rows = self.defects = 0
        self.problems: collections.Counter = collections.Counter()
        self.seen: dict[str, None] = {}
        self._file, self._name = file, name
        self._synced = time.monotonic()

    def append(self, rows: Sequence[Mapping]) -> None:
        """Writes rows with the keys of `COLUMNS`; scores keep every bit.

        Raises:
            BrokenPipeError: nobody reads them any more.
            OSError: they cannot be written; what was before stays.
        """
        self._write([[row[name] for name in COLUMNS] for row in rows])
        for row in rows:
            self._count(row)

    def begin(self) -> None:
        """Writes the header."""
        self._write([COLUMNS])

    def take_up(self, rows: Iterable[Mapping]) -> None:
        """Counts rows of an earlier job."""
        for row in rows:
            self._count(row)
            self.seen[row["path"]] = None

    def sync(self) -> None:
        """Has the disk hold what was written."""
        with contextlib.suppress(OSError, io.UnsupportedOperation):  # a pipe has none
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def _count(self, row: Mapping) -> None:
        self.rows += 1
        self.defects += row["label"] == "defect"
        if row["problem"]:
            self.problems[row["problem"]] += 1

    def _write(self, rows: Iterable[Sequence]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        try:
            self._file.write(text.getvalue().encode())
            self._file.flush()
        except OSError as error:
            error.filename = error.filename or self._name
            raise
        if time.monotonic() - self._synced >= _SYNC_EVERY:
            self.sync()


def partial_of(out: pathlib.Path) -> pathlib.Path:
    """Where rows are until all are there. Not hidden, as what locks sweep is."""
    return out.with_name(f"{out.name}.partial")


def _settings_of(out: pathlib.Path) -> pathlib.Path:
    return out.with_name(f"{out.name}.partial.json")


def check(out: str, *, resume: bool, force: bool) -> None:
    """Whether a table could be written, asked before anything is scored.

    Raises:
        errors.BadInput: there is one already, or one begun, or no place for it.
    """
    if out == STANDARD_OUTPUT:
        if resume or force:
            flag = "--resume" if resume else "--force"
            raise errors.BadInput(f"{flag}: has no effect with --out -; leave it out.")
        return
    path = pathlib.Path(out)
    if not path.absolute().parent.is_dir():
        raise errors.BadInput(f"{path.parent}: no such folder; make it for {path.name}.")
    if path.exists() and not path.is_file():
        raise errors.BadInput(
            f"{out}: is no file; name a table, or - for standard output."
        )
    if path.exists() and not force:
        raise errors.BadInput(
            f"{out}: exists already; name another table, or pass --force to replace it."
        )
    if partial_of(path).exists() and not (resume or force):
        raise errors.BadInput(
            f"{partial_of(path)}: holds the rows of a job that has not ended; pass "
            "--resume to go on from it, or --force to begin anew."
        )
    files.check_writable(out)


@contextlib.contextmanager
def written(
    out: str, settings: Mapping, order: Sequence[str], *, resume: bool
) -> Iterator[Table]:
    """A table to append to; it stands at `out` when the block ends well.

    Args:
        out: its place; `-` is standard output.
        settings: what the rows come from; a resumed table must have the same.
        order: paths of all rows in their order.
        resume: go on from what a killed job has left.

    Raises:
        errors.BadInput: the table to be resumed has other settings, or another process
            is writing it.
    """
    if out == STANDARD_OUTPUT:
        yield from _streamed()
        return
    # A link stays one.
    path = pathlib.Path(os.path.realpath(out))
    partial, facts = partial_of(path), _settings_of(path)
    with locks.held(path):
        if not (resume and partial.exists()):
            files.write_json(facts, dict(settings))
            partial.unlink(missing_ok=True)
        else:
            _check_same(partial, files.read_json(facts), settings)
        with _opened(partial, settings["batch_size"]) as table:
            yield table
        if list(table.seen) != list(order[: len(table.seen)]):
            _reorder(partial, order)
        files.move_into_place(partial, path)
        facts.unlink(missing_ok=True)


def _streamed() -> Iterator[Table]:
    sys.stdout.flush()
    # A handle of its own: `command` keeps a closed pipe from the other's users.
    with open(os.dup(1), "wb", buffering=0) as file:
        table = Table(_Whole(file), "standard output")
        table.begin()
        yield table


class _Whole:
    """An unbuffered file that writes all or raises."""

    def __init__(self, file: io.FileIO):
        self._file = file
        self.fileno, self.flush = file.fileno, file.flush

    def write(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]


@contextlib.contextmanager
def _opened(partial: pathlib.Path, batch_size: int) -> Iterator[Table]:
    """The table that grows at `partial`, behind what is whole in it."""
    with open(partial, "ab", buffering=0) as file:
        table = Table(_Whole(file), str(partial))
        whole = _take_up(table, partial, batch_size)
        os.ftruncate(file.fileno(), whole)
        try:
            if not whole:
                table.begin()
            yield table
            table.sync()
        except BaseException as error:
            table.sync()
            if table.rows:
                error.add_note(
                    f"{table.rows} rows are in {partial}; the same command with "
                    "--resume goes on from there."
                )
            raise
        finally:
            if not table.rows:
                partial.unlink(missing_ok=True)
                _settings_of_partial(partial).unlink(missing_ok=True)
