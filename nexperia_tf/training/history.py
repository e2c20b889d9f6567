"""The epochs of a run so far: which one is best, whether to go on, how it is shown.

All of it is plain numbers: no network and no TensorFlow is needed to know it.
"""

import csv
import dataclasses
import math
import pathlib
from collections.abc import Mapping

import numpy as np

from nexperia_tf import files
from nexperia_tf.statistics import metrics

TARGETS = (0.991, 0.995)  # TPRs at which the FPR is followed during training
# The area at TPR >= .99 hangs on one defect in a hundred: under ten of them, on luck.
PARTIAL_AUC_DEFECTS = 1000
LAST = "last"


@dataclasses.dataclass(frozen=True)
class History:
    """What the epochs that have ended reached.

    Attributes:
        rows: figures of each epoch by column of history.csv, in order.
        best_epoch: the epoch that is kept, counted from 1; 0 before the first.
        seconds: that all of them took, with validation.
    """

    rows: tuple[Mapping[str, float], ...] = ()
    best_epoch: int = 0
    seconds: float = 0.0

    @property
    def best(self) -> Mapping[str, float]:
        """Figures of the epoch that is kept."""
        return self.rows[self.best_epoch - 1]

    def extended(self, row: Mapping[str, float], *, monitor: str) -> "History":
        """The history with one more epoch, which is the best if it ranks highest.

        Args:
            row: figures of the epoch.
            monitor: the figure that decides, as `decisive` gives it.
        """
        epoch = len(self.rows) + 1
        better = not self.rows or rank(row, monitor) > rank(self.best, monitor)
        best_epoch = epoch if better else self.best_epoch
        return dataclasses.replace(self, rows=(*self.rows, row), best_epoch=best_epoch)

    def seconds_left(self, epochs: int) -> float:
        """How long the rest of `epochs` takes at the mean pace; 0 before the first."""
        done = len(self.rows)
        return self.seconds / done * (epochs - done) if done else 0.0


@dataclasses.dataclass(frozen=True)
class Stopping:
    """When a run ends.

    Attributes:
        epochs: planned.
        patience: epochs to wait for a better one.
        minutes: training ends before an epoch that would not fit in; 0 is no limit.
        before: seconds of them that the stage before has taken.
    """

    epochs: int
    patience: int
    minutes: float = 0.0
    before: float = 0.0

    def reason(self, history: History) -> str:
        """Why no further epoch is to be begun, "" where one is.

        >>> Stopping(epochs=9, patience=1).reason(History(({}, {}), best_epoch=1))
        'nothing improved for 1 epoch (--patience 1)'
        """
        if not history.rows:
            return ""
        if waited(history) >= self.patience:
            epochs = f"{self.patience} epoch{'s' * (self.patience > 1)}"
            return f"nothing improved for {epochs} (--patience {self.patience})"
        seconds = self.before + seconds_with_one_more(history)
        if self.minutes and seconds > 60 * self.minutes:
            return f"one more would not fit (--time-budget {self.minutes:g})"
        return ""


def waited(history: History) -> int:
    """Epochs since the best one."""
    return len(history.rows) - history.best_epoch


def seconds_with_one_more(history: History) -> float:
    """What another epoch at the mean pace makes of the time spent."""
    done = len(history.rows)
    return history.seconds * (done + 1) / done


def decisive(monitor: str, n_defect: int) -> str:
    """The figure that `--monitor` names; auto depends on the validation defects."""
    if monitor != "auto":
        return monitor
    return "partial_auc" if n_defect >= PARTIAL_AUC_DEFECTS else "auc"


def rank(row: Mapping[str, float], monitor: str) -> tuple[float, float]:
    """How good an epoch is: by the figure, by log loss among equals (1, say).

    >>> row = {"epoch": 3, "val_auc": 1.0, "val_log_loss": 0.25}
    >>> rank(row, "auc"), rank(row, "last")
    ((1.0, -0.25), (3, 0.0))
    """
    if monitor == LAST:
        return row["epoch"], 0.0
    return row[f"val_{monitor}"], -row["val_log_loss"]


def validation_figures(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Columns of history.csv that validation gives.

    Args:
        labels: 1 for defect and 0 for good, `(devices,)`.
        scores: probabilities of defect, `(devices,)`, not calibrated yet.
    """
    figures = {
        "val_auc": metrics.auc(labels, scores),
        "val_partial_auc": metrics.partial_auc(labels, scores),
        "val_log_loss": metrics.log_loss(labels, scores),
        "val_accuracy": float(np.mean((scores >= 0.5) == (labels == 1))),
    }
    for point in metrics.fpr_at_tpr(labels, scores, TARGETS):
        figures[_overkill_column(point.tpr)] = point.fpr
    return figures


def _overkill_column(tpr: float) -> str:
    return f"val_fpr_at_tpr_{tpr}"


def summary(history: History, stopping: Stopping, *, monitor: str) -> dict:
    """The epochs for metrics.json: planned, trained, best, by what, why no more."""
    done = len(history.rows)
    return {
        "planned": stopping.epochs,
        "trained": done,
        "best": history.best_epoch,
        "monitor": monitor,
        "stopped": stopping.reason(history) if done < stopping.epochs else "",
    }


def seconds_in(path: pathlib.Path) -> float:
    """What the epochs in a history.csv took to train; 0 where there is none."""
    if not path.is_file():
        return 0.0
    with open(path, newline="", encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


def write(path: pathlib.Path, history: History) -> None:
    """Publishes history.csv."""
    header = list(history.rows[0])
    files.write_csv(
        path, header, ([row[name] for name in header] for row in history.rows)
    )


def epoch_line(
    history: History, *, epochs: int, images_per_s: float, monitor: str = "auc"
) -> str:
    """The newest epoch in one line for a person.

    >>> row = {"epoch": 3, "loss": 0.0412, "val_auc": 0.98123}
    >>> row |= {"val_fpr_at_tpr_0.991": 0.042, "val_fpr_at_tpr_0.995": 0.098}
    >>> past = History(({}, {}, row), best_epoch=3, seconds=360.0)
    >>> for part in epoch_line(past, epochs=9, images_per_s=412.3).split("  "):
    ...     print(part)
    epoch 3/9
    loss .0412
    AUC .9812
    overkill 4.2 % at TPR .991, 9.8 % at .995
    412 images/s
    12 min left
    * best
    """
    row, done = history.rows[-1], len(history.rows)
    overkill = [row[_overkill_column(tpr)] for tpr in TARGETS]
    first, second = (_short(tpr, 3) for tpr in TARGETS)
    parts = [
        numbered(done, epochs),
        f"loss {_short(row['loss'])}",
        f"AUC {_short(row['val_auc'])}",
        f"overkill {overkill[0]:.1%} at TPR {first}, {overkill[1]:.1%} at {second}",
        rate(images_per_s),
    ]
    if done < epochs:
        parts.append(f"{duration(history.seconds_left(epochs))} left")
    if history.best_epoch == done and monitor != LAST:
        parts.append("* best")
    return "  ".join(parts).replace("%", " %")


def step_line(
    epoch: int, epochs: int, step: int, steps: int, *, loss: float, images_per_s: float
) -> str:
    """How far an epoch has come, in one line for a log.

    >>> step_line(3, 20, 120, 600, loss=0.5, images_per_s=64.0)
    'epoch  3/20  step 120/600  loss .5000  64 images/s'
    """
    where = f"step {step}/{steps}"
    return "  ".join(
        [numbered(epoch, epochs), where, f"loss {_short(loss)}", rate(images_per_s)]
    )


def numbered(epoch: int, epochs: int) -> str:
    """The number of an epoch, one below the other.

    >>> numbered(3, 20)
    'epoch  3/20'
    """
    return f"epoch {epoch:{len(str(epochs))}}/{epochs}"


def rate(images_per_s: float) -> str:
    """Whole images a second; of less than ten with a decimal.

    >>> rate(411.8), rate(2.34)
    ('412 images/s', '2.3 images/s')
    """
    return f"{images_per_s:.{0 if images_per_s >= 9.95 else 1}f} images/s"


def duration(seconds: float) -> str:
    """A time that is left, as exact as a guess.

    >>> duration(41.3), duration(90), duration(5400), duration(60 * 60 * 9)
    ('42 s', '2 min', '90 min', '9.0 h')
    """
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    if seconds < 2 * 60 * 60:
        return f"{math.ceil(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _short(value: float, digits: int = 4) -> str:
    """A number without the zero before its point."""
    return f"{value:.{digits}f}".removeprefix("0")
