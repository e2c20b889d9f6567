"""What happens beside the training steps: judging, keeping, stopping, warning."""

import math
import pathlib
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import rich
import tensorflow as tf

from nexperia_tf import errors, files
from nexperia_tf.models import classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import metrics
from nexperia_tf.training import checkpoints, devices, weight_average

HISTORY_TARGETS = (0.991, 0.995)  # FPR at these TPR is followed during training
# The area at TPR >= .99 hangs on one defect in a hundred: under ten of them, on luck.
PARTIAL_AUC_DEFECTS = 1000


class Follow(keras.callbacks.Callback):
    """Judges each epoch on the validation split and keeps what must survive.

    After each epoch: exact AUC and FPR at TPR into `logs`, the best model into
    model.keras, the table into history.csv and a checkpoint of everything. What is
    judged and kept is a float32 copy, so its scores are those of the SavedModel. Of
    several workers the chief does all this, and the others do as it decides.

    Args:
        folder: the run folder.
        validation: batches in record order and their labels of shape `(devices,)`.
        monitor: the figure that decides: auc, partial_auc, accuracy or auto; last takes
            the last epoch.
        patience: epochs to wait for a better one.
        minutes: training ends before an epoch that would not fit in; 0 is no limit.
        average: judged and kept in place of the weights, when there is one.
        image_ids: gives the ids in a batch from epoch and step, both counted from 0.
        batch_size: devices in a step.
        steps: in an epoch.
        epochs: in all, from which the time left is guessed.
        every: steps between two checkpoints within an epoch; 0 is none.
        keep: how many of the last checkpoints stay, beside that of the best epoch.
        team: the workers that train together; this one alone by default.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        validation: tuple[tf.data.Dataset, np.ndarray],
        *,
        monitor: str = "auto",
        patience: int,
        minutes: float = 0.0,
        average: weight_average.WeightAverage | None = None,
        image_ids: Callable[[int, int], Sequence[str]],
        batch_size: int = 1,
        steps: int = 1,
        epochs: int = 1,
        every: int = 0,
        keep: int = 2,
        team: devices.Team | None = None,
    ):
        super().__init__()
        self._folder = folder
        self._batches, self._labels = validation
        self._monitor = _decisive(monitor, int(np.sum(self._labels == 1)))
        self._patience = patience
        self._budget = 60 * minutes or math.inf
        self._average = average
        self._image_ids = image_ids
        self._batch_size = batch_size
        self._steps = steps
        self._epochs = epochs
        self._every = every
        self._keep = keep
        self._team = team or devices.Team(tf.distribute.get_strategy())
        self._history: list[dict] = []
        self._best_epoch = 0
        self._epoch = 0
        self._spent = 0.0  # seconds, epochs and their judging
        self._started = 0.0
        self._seconds = 0.0  # of this epoch, before it was resumed
        self._first = 0  # steps of this epoch, before it was resumed
        self._unfinished: dict = {}  # of the epoch that a checkpoint lies within
        self._judged: keras.Model | None = None

    def restore(self) -> tuple[int, int]:
        """Takes up the newest checkpoint; returns epochs finished and steps since."""
        state, warnings = checkpoints.restore(
            self._folder / run_folders.CHECKPOINTS, **self._tracked()
        )
        for warning in warnings:
            rich.print(f"[yellow]warning:[/] {warning}")
        state = state or {"epoch": 0, "history": [], "best_epoch": 0}
        epoch, step = state["epoch"], state.get("step", 0)
        if len(set(self._team.gathered([epoch + 1e-9 * step])[:, 0])) > 1:
            raise errors.BadInput(
                f"{self._folder}: the workers see different checkpoints; --out must be "
                "a folder that all of them share."
            )
        self._history = state["history"]
        self._best_epoch = state["best_epoch"]
        self._spent = state.get("spent", 0.0)
        self._unfinished = state.get("unfinished", {})
        if self._history and self._team.chief:
            self._write_history()
        return epoch, step

    @property
    def stopped(self) -> bool:
        """Whether no further epoch is to be begun."""
        return bool(self._because())

    @property
    def outcome(self) -> dict:
        """The epochs for metrics.json: planned, trained, best, by what, why no more."""
        done = len(self._history)
        return {
            "planned": self._epochs,
            "trained": done,
            "best": self._best_epoch,
            "monitor": self._monitor,
            "stopped": self._because() if done < self._epochs else "",
        }

    def _because(self) -> str:
        """Why no further epoch is to be begun, "" where one is."""
        done = len(self._history)
        if not done:
            return ""
        if done - self._best_epoch >= self._patience:
            epochs = f"{self._patience} epoch{'s' * (self._patience > 1)}"
            return f"nothing improved for {epochs} (--patience {self._patience})"
        if self._spent * (done + 1) / done > self._budget:
            return f"one more would not fit (--time-budget {self._budget / 60:g})"
        return ""

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._started = time.monotonic()
        self._seconds, self._first = 0.0, 0
        if self._unfinished:  # fit has just reset its means
            self._seconds, self._first = (
                self._unfinished[name] for name in ("seconds", "step")
            )
            self._set_means(self._unfinished["means"])
            self._unfinished = {}

    def on_train_batch_end(self, batch, logs=None):
        step = self._first + batch + 1
        # The loss is a mean since the epoch began: once lost, it stays lost.
        if not np.isfinite(logs["loss"]):
            ids = ", ".join(self._image_ids(self._epoch, step - 1))
            raise errors.BadInput(
                f"the training diverged: the loss of step {step} in epoch "
                f"{self._epoch + 1} is not finite; pass a smaller --learning-rate, "
                f"--clip-norm 1 or --precision float32, or look at its pictures: {ids}"
            )
        seconds = time.monotonic() - self._started
        logs["images_per_s"] = round(self._batch_size * (batch + 1) / seconds)
        if self._every and step % self._every == 0 and step < self._steps:
            self._save(step)

    def on_epoch_end(self, epoch, logs=None):
        if self._team.chief:
            self._end(epoch, logs)
        # By the chief's clock and judgement, so that no worker waits for another.
        self.model.stop_training = bool(self._team.told(self.stopped))

    def _end(self, epoch: int, logs: dict) -> None:
        seconds = self._seconds + time.monotonic() - self._started
        judged = self._judged_model()
        logs.update(self._judge(judged))
        rate = float(self.model.optimizer.learning_rate)
        row = {"epoch": epoch + 1, "seconds": round(seconds, 3), "learning_rate": rate}
        row |= {name: float(value) for name, value in logs.items()}
        self._history.append(row)
        if not self._best_epoch or self._rank(row) > self._rank(
            self._history[self._best_epoch - 1]
        ):
            self._best_epoch = epoch + 1
            save_model(judged, self._folder / run_folders.MODEL)
        self._spent += self._seconds + time.monotonic() - self._started
        self._write_history()
        self._save(0)
        # Shown by Keras, too; written nowhere, as no run repeats them.
        logs["images_per_s"] = round(self._steps * self._batch_size / seconds)
        left = self._spent / len(self._history) * (self._epochs - len(self._history))
        logs["minutes_left"] = round(left / 60, 1)

    def _save(self, step: int) -> None:
        """A checkpoint after `step` steps of this epoch, or after its end."""
        unfinished = {}
        if step:
            seconds = self._seconds + time.monotonic() - self._started
            means = self._team.gathered(self._means()).tolist()
            unfinished = {"seconds": seconds, "step": step, "means": means}
        if not self._team.chief:
            return
        checkpoints.save(
            self._folder / run_folders.CHECKPOINTS,
            epoch=len(self._history),
            step=step,
            state={
                "history": self._history,
                "best_epoch": self._best_epoch,
                "spent": self._spent,
                "unfinished": unfinished,
            },
            keep=self._keep,
            best_epoch=self._best_epoch,
            **self._tracked(),
        )

    def _mean_variables(self) -> list[tf.Variable]:
        """What the means of an epoch are kept in, for each replica of this worker."""
        here = self._team.strategy.experimental_local_results
        return [
            part
            for metric in self.model.metrics
            for variable in metric.variables
            for part in here(variable.value)
        ]

    def _means(self) -> list[float]:
        return [float(variable) for variable in self._mean_variables()]

    def _set_means(self, means: list[list[float]]) -> None:
        """Sets them to this worker's row."""
        for variable, value in zip(self._mean_variables(), means[self._team.rank]):
            variable.assign(value)

    def _tracked(self) -> dict:
        """What a checkpoint holds beside the state."""
        average = {"average": self._average.state} if self._average else {}
        return {"model": self.model, "optimizer": self.model.optimizer, **average}

    def _judged_model(self) -> keras.Model:
        """The float32 copy with the weights of now, or their average."""
        learning = classifier.without_map(self.model)
        if self._judged is None:
            with self._team.alone():
                self._judged = classifier.in_float32(learning)
        chosen = self._average.numpy() if self._average else learning.get_weights()
        self._judged.set_weights(chosen)
        return self._judged

    def _judge(self, model: keras.Model) -> dict[str, float]:
        logits = model.predict(self._batches, verbose=0).ravel()
        if not np.isfinite(logits).all():
            raise errors.BadInput(
                "the training diverged (validation logits are not finite); pass a "
                "smaller --learning-rate, --clip-norm 1 or --precision float32."
            )
        scores = run_folders.probability(logits)
        judged = {
            "val_auc": metrics.auc(self._labels, scores),
            "val_partial_auc": metrics.partial_auc(self._labels, scores),
            "val_log_loss": metrics.log_loss(self._labels, scores),
            "val_accuracy": float(np.mean((scores >= 0.5) == (self._labels == 1))),
        }
        for point in metrics.fpr_at_tpr(self._labels, scores, HISTORY_TARGETS):
            judged[f"val_fpr_at_tpr_{point.tpr}"] = point.fpr
        return judged

    def _rank(self, row: dict) -> tuple[float, float]:
        """How good an epoch is: by the figure, by log loss among equals (1, say)."""
        if self._monitor == "last":
            return row["epoch"], 0.0
        return row[f"val_{self._monitor}"], -row["val_log_loss"]

    def _write_history(self) -> None:
        header = list(self._history[0])
        rows = ([row[name] for name in header] for row in self._history)
        files.write_csv(self._folder / run_folders.HISTORY, header, rows)


def _decisive(monitor: str, n_defect: int) -> str:
    if monitor != "auto":
        return monitor
    return "partial_auc" if n_defect >= PARTIAL_AUC_DEFECTS else "auc"


def save_model(model: keras.Model, path: pathlib.Path) -> None:
    """Publishes the model alone; the optimizer is in the checkpoints."""
    beside = path.with_name(".best.partial.keras")  # Keras insists on the ending
    try:
        model.save(beside)
        files.move_into_place(beside, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)
