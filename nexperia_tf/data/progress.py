"""How far a long step is: a bar on a terminal, lines in a pipe or a log."""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import rich.console
import rich.progress
import rich.text

Callback = Callable[[str, int, int], None]  # step, done, total

SCREEN = rich.console.Console(stderr=True)  # apart from a command's answer
LOG_EVERY = 60.0  # seconds between two lines of a step where no bar can be drawn


def track(
    items: Iterable,
    step: str,
    *,
    total: int | None = None,
    size: Callable[[Any], int] = lambda item: 1,
) -> Iterator:
    """`items`, while the error stream shows how many are done.

    Args:
        items: what is worked on, one after another.
        step: what is done with them, as "Scoring pictures".
        total: how many there are, where `items` has no length or is batched.
        size: how many an item is, where it is a batch.
    """
    total = len(items) if total is None else total  # type: ignore[arg-type]
    done = 0
    with reporting() as on_progress:
        on_progress(step, 0, total)
        for item in items:
            yield item
            done += size(item)
            on_progress(step, done, total)


@contextlib.contextmanager
def reporting(
    *,
    console: rich.console.Console = SCREEN,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callback]:
    """Gives what is called as `report(step, done, total)` and shows that.

    A terminal gets a bar for each step until all are done. Elsewhere a step gets a line
    a minute, and one at its end.
    """
    if not can_draw(console):
        yield _Lines(console, clock)
        return
    columns = *rich.progress.Progress.get_default_columns()[:-1], _TimeLeft()
    with rich.progress.Progress(*columns, console=console, transient=True) as bars:
        yield _Bars(bars)


def silent(step: str, done: int, total: int) -> None:
    """Shows nothing."""


def can_draw(console: rich.console.Console) -> bool:
    """Whether a bar can be drawn over: on a terminal, whatever colours are forced."""
    file: Any = console.file
    return bool(getattr(file, "isatty", bool)()) and not console.is_dumb_terminal


class _TimeLeft(rich.progress.ProgressColumn):
    """By the pace since the step began; that of the last half minute jumps."""

    max_refresh = 0.5  # seconds

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        told = "-:--:--"
        if task.total and task.completed and task.elapsed:
            left = task.elapsed * (task.total - task.completed) / task.completed
            told = str(datetime.timedelta(seconds=round(left)))
        return rich.text.Text(told, style="progress.remaining")


class _Bars:
    def __init__(self, bars: rich.progress.Progress):
        self._bars = bars
        self._tasks: dict[str, rich.progress.TaskID] = {}

    def __call__(self, step: str, done: int, total: int) -> None:
        if step not in self._tasks:
            self._tasks[step] = self._bars.add_task(step, total=total)
        self._bars.update(self._tasks[step], completed=done, total=total)


class _Lines:
    def __init__(self, console: rich.console.Console, clock: Callable[[], float]):
        self._console = console
        self._clock = clock
        self._started: dict[str, float] = {}
        self._ended: set[str] = set()
        self._printed = clock()

    def __call__(self, step: str, done: int, total: int) -> None:
        now = self._clock()
        start = self._started.setdefault(step, now)
        if done >= total and step not in self._ended:
            self._ended.add(step)
            self._print(f"{step}: {done} in {now - start:.1f} s", now)
        elif done < total and now - self._printed >= LOG_EVERY:
            self._print(f"{step}: {done} of {total}", now)

    def _print(self, line: str, now: float) -> None:
        self._printed = now
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)
