"""What a person sees of the training: a line an epoch, a bar within it."""

import time
from collections.abc import Callable

import keras
import rich.console
import rich.progress

from nexperia_tf.data import progress
from nexperia_tf.training import history, monitor


class Display(keras.callbacks.Callback):
    """Prints one line for each epoch, and within it draws a bar on a terminal.

    Elsewhere (a pipe, a log file) a line a minute stands for the bar. To be called
    after the monitor, and closed whatever ends the training: a bar hides the cursor.

    Args:
        watched: what knows the epochs and the pace.
        console: where to write, standard output by default.
        clock: gives seconds.
    """

    def __init__(
        self,
        watched: monitor.Monitor,
        *,
        console: rich.console.Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self._watched = watched
        self._console = console or rich.console.Console()
        self._clock = clock
        self._printed = clock()  # when the last line was
        self._bar: rich.progress.Progress | None = None

    def on_epoch_begin(self, epoch, logs=None):
        self._printed = self._clock()
        if progress.can_draw(self._console):
            number = history.numbered(epoch + 1, self._watched.stopping.epochs)
            self._bar = _bar(self._console)
            self._bar.add_task(number, total=self._watched.steps.count, pace="")
            self._bar.start()

    def on_train_batch_end(self, batch, logs=None):
        if self._bar:
            self._move_bar(logs)
        elif self._clock() - self._printed >= progress.LOG_EVERY:
            self._print(self._step_line(logs))

    def on_epoch_end(self, epoch, logs=None):
        self.close()
        self._print(self._watched.epoch_line)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _move_bar(self, logs: dict) -> None:
        pace = f"loss {logs['loss']:.4f}  {history.rate(self._watched.images_per_s)}"
        last = self._watched.step == self._watched.steps.count
        self._bar.update(
            self._bar.task_ids[0],
            completed=self._watched.step,
            pace="validating" if last else pace,
            refresh=last,  # now: the epoch may end before the next redrawing
        )

    def _step_line(self, logs: dict) -> str:
        watched = self._watched
        return history.step_line(
            watched.epoch + 1,
            watched.stopping.epochs,
            watched.step,
            watched.steps.count,
            loss=logs["loss"],
            images_per_s=watched.images_per_s,
        )

    def _print(self, line: str) -> None:
        self._printed = self._clock()
        self._console.print(line, soft_wrap=True, markup=False, highlight=False)


def _bar(console: rich.console.Console) -> rich.progress.Progress:
    return rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[pace]}"),
        rich.progress.TimeRemainingColumn(),
        console=console,
        transient=True,
    )
