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
import itertools
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nexperia_tf import errors, files, locks

COLUMNS = ("path", "score", "label", "threshold", "problem")
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

    def __init__(self, file: io.FileIO, name: str):
        self.rows = self.defects = 0
        self.problems: collections.Counter = collections.Counter()
        self.seen: dict[str, None] = {}
        self._file, self._name = file, name
        self._synced = time.monotonic()

    def begin(self) -> None:
        """Writes the header."""
        self._write([COLUMNS])

    def append(self, rows: Sequence[Mapping]) -> None:
        """Writes rows with the keys of `COLUMNS`; scores keep every bit.

        Raises:
            BrokenPipeError: nobody reads them any more.
            OSError: they cannot be written; what was before stays.
        """
        self._write([[row[name] for name in COLUMNS] for row in rows])
        self._count(rows)

    def take_up(self, rows: Sequence[Mapping]) -> None:
        """Counts rows that an earlier job has written."""
        self._count(rows)
        self.seen.update((row["path"], None) for row in rows)

    def sync(self) -> None:
        """Has the disk hold what was written."""
        with contextlib.suppress(OSError):  # a pipe has no disk
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def _count(self, rows: Sequence[Mapping]) -> None:
        self.rows += len(rows)
        self.defects += sum(row["label"] == "defect" for row in rows)
        self.problems.update(row["problem"] for row in rows if row["problem"])

    def _write(self, rows: Iterable[Sequence]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        left = memoryview(text.getvalue().encode())
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            error.filename = error.filename or self._name
            raise
        if time.monotonic() - self._synced >= _SYNC_EVERY:
            self.sync()


def partial_of(out: pathlib.Path) -> pathlib.Path:
    """Where rows are until all are there. Not hidden, as what locks sweep is."""
    return out.with_name(f"{out.name}.partial")


def settings_of(out: pathlib.Path) -> pathlib.Path:
    """Where it is written what these rows were scored with."""
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
    check_table(out, force=force)
    path = pathlib.Path(os.path.realpath(out))
    if partial_of(path).exists() and not (resume or force):
        raise errors.BadInput(
            f"{partial_of(path)}: holds the rows of a job that has not ended; pass "
            "--resume to go on from there, or --force to begin anew."
        )


def check_table(out: str, *, force: bool) -> None:
    """Whether a file can be written there, or in place of the one that is.

    Raises:
        errors.BadInput: there is one already, or no place for it.
    """
    path = pathlib.Path(out)
    if not path.absolute().parent.is_dir():
        raise errors.BadInput(
            f"{out}: there is no folder {path.parent}; make it, or name another table."
        )
    if path.exists() and not path.is_file():
        raise errors.BadInput(
            f"{out}: is no file; name a table, or - for standard output."
        )
    if path.exists() and not force:
        raise errors.BadInput(
            f"{out}: exists already; name another table, or pass --force to replace it."
        )
    files.check_writable(os.path.realpath(path))


@contextlib.contextmanager
def written(
    out: str, settings: Mapping, paths: Sequence[str], *, resume: bool
) -> Iterator[Table]:
    """A table to append to; it stands at `out` when the block ends well.

    Args:
        out: its place; `-` is standard output.
        settings: what the rows come from; a resumed table must have the same. One of
            them is batch_size, the number of rows that are appended at once.
        paths: those of all rows in their order.
        resume: go on from what an earlier job has left, if there is something.

    Raises:
        errors.BadInput: the table to be resumed has other settings, or another process
            is writing it.
    """
    if out == STANDARD_OUTPUT:
        sys.stdout.flush()
        # A handle of its own: that of `sys.stdout` outlasts a closed pipe.
        with open(os.dup(sys.stdout.fileno()), "wb", buffering=0) as file:
            table = Table(file, "standard output")
            table.begin()
            yield table
        return
    path = pathlib.Path(os.path.realpath(out))  # a link stays one
    with locks.held(path):
        if resume and partial_of(path).exists():
            _check_same(path, settings)
        else:
            files.write_json(settings_of(path), dict(settings))
            partial_of(path).unlink(missing_ok=True)
        with _growing(path, settings["batch_size"]) as table:
            yield table
        if list(table.seen) != list(paths[: len(table.seen)]):
            _reorder(partial_of(path), paths)
        files.move_into_place(partial_of(path), path)
        settings_of(path).unlink(missing_ok=True)


@contextlib.contextmanager
def _growing(path: pathlib.Path, batch_size: int) -> Iterator[Table]:
    """What is to become the table at `path`, behind the batches that are in it."""
    partial = partial_of(path)
    with open(partial, "ab", buffering=0) as file:
        table = Table(file, str(partial))
        try:
            end = 0
            for place, rows in _batches(partial, batch_size):
                table.take_up(rows)
                end = place
            os.truncate(partial, end)
            if not end:
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
            else:
                partial.unlink(missing_ok=True)
                settings_of(path).unlink(missing_ok=True)
            raise


def _check_same(path: pathlib.Path, settings: Mapping) -> None:
    """Refuses to go on with rows that were scored otherwise."""
    before = files.read_json(settings_of(path))
    for name, value in settings.items():
        if before.get(name) != value:
            raise errors.BadInput(
                f"{partial_of(path)}: was begun with {name.replace('_', ' ')} "
                f"{before.get(name)}, not {value}; repeat that, or begin anew with "
                "--force in place of --resume."
            )


def _batches(
    partial: pathlib.Path, batch_size: int
) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """Where a batch ends, in bytes, and its rows; what is torn at the end is none.

    Only whole batches: each is then scored in the same company as without a break, and
    a resumed table is that of an undisturbed job to the last bit.
    """
    records = _records(partial)
    if next(records, (0, []))[1] != list(COLUMNS):
        return
    while batch := list(itertools.islice(records, batch_size)):
        if len(batch) == batch_size:
            yield batch[-1][0], [dict(zip(COLUMNS, cells)) for _, cells in batch]


def _records(partial: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Where a record ends, in bytes, and its cells; up to the first that is damaged."""
    end, record = 0, b""
    with open(partial, "rb") as file:
        for line in file:
            record += line
            if not line.endswith(b"\n") or record.count(b'"') % 2:
                continue  # a path may hold the end of a line
            try:
                (cells,) = csv.reader(io.StringIO(record.decode(), newline=""))
            except (ValueError, csv.Error):
                return
            if len(cells) != len(COLUMNS):
                return
            end, record = end + len(record), b""
            yield end, cells


def _reorder(partial: pathlib.Path, paths: Sequence[str]) -> None:
    """Puts rows into the order of their paths: files came between those of before."""
    place = {path: i for i, path in enumerate(paths)}
    content = partial.read_bytes()
    header, *records = _records(partial)
    starts = [header[0], *(end for end, _ in records)]
    pieces = [
        (place.get(cells[0], len(place)), content[start:end])
        for start, (end, cells) in zip(starts, records)
    ]
    pieces.sort(key=lambda piece: piece[0])
    files.write_bytes(
        partial, content[: header[0]] + b"".join(row for _, row in pieces)
    )
