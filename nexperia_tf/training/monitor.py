"""What happens around the training steps: validating, keeping, stopping, resuming.

What numbers alone decide is decided in `history`; this callback brings it together with
the model and the run folder.
"""

import dataclasses
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
from nexperia_tf.training import checkpoints, devices, weight_average
from nexperia_tf.training import history as histories


@dataclasses.dataclass(frozen=True)
class Steps:
    """The steps of an epoch.

    Attributes:
        count: in an epoch.
        batch_size: devices in each.
        checkpoint_every: steps between two checkpoints within an epoch; 0 is none.
        image_ids: gives the ids in a batch from epoch and step, both counted from 0.
    """

    count: int
    batch_size: int
    image_ids: Callable[[int, int], Sequence[str]]
    checkpoint_every: int = 0

    def checkpoint_after(self, step: int) -> bool:
        """Whether a checkpoint follows `step`, counted from 1; the last has its own.

        >>> steps = Steps(6, batch_size=8, image_ids=list, checkpoint_every=3)
        >>> [step for step in range(1, 7) if steps.checkpoint_after(step)]
        [3]
        """
        every = self.checkpoint_every
        return bool(every) and step % every == 0 and step < self.count


class Diverged(errors.BadInput):
    """A loss or a logit is no longer finite."""


class Monitor(keras.callbacks.Callback):
    """Validates each epoch and keeps what must survive.

    After each epoch: exact AUC and FPR at TPR into `logs`, the best model into
    model.keras, the table into history.csv and a checkpoint of everything. What is
    validated and kept is a float32 copy, so its scores are those of the SavedModel; it
    keeps its map where it learns one, and is judged by its logit alone. Of several
    workers the chief does all this, and the others stop when it says so.

    Args:
        folder: the run folder.
        validation: batches in record order and their labels of shape `(devices,)`.
        monitor: the figure that decides: auc, partial_auc, accuracy or auto; last takes
            the last epoch.
        stopping: when the run ends.
        steps: of an epoch.
        average: validated and kept in place of the weights, when there is one.
        keep: how many of the last checkpoints stay, beside that of the best epoch.
        workers: that train together; this process alone by default.

    Attributes:
        history: of the epochs that have ended.
        epoch: the one that is trained now, counted from 0.
        step: steps of it that have been taken.
        images_per_s: that it has been trained with so far.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        validation: tuple[tf.data.Dataset, np.ndarray],
        *,
        monitor: str = "auto",
        stopping: histories.Stopping,
        steps: Steps,
        average: weight_average.WeightAverage | None = None,
        keep: int = 2,
        workers: devices.Workers | None = None,
    ):
        super().__init__()
        self.history = histories.History()
        self.epoch = self.step = 0
        self.images_per_s = 0.0
        self.stopping = stopping
        self.steps = steps
        self._folder = folder
        self._batches, self._labels = validation
        n_defect = int(np.sum(self._labels == 1))
        self._monitor = histories.decisive(monitor, n_defect)
        self._average = average
        self._keep = keep
        self._workers = workers or devices.Workers(tf.distribute.get_strategy())
        self._started = 0.0
        self._resumed: dict = {}  # seconds, step and means of an epoch begun before
        self._seconds = 0.0  # of this epoch, before it was resumed
        self._kept: keras.Model | None = None
        self._judged: keras.Model | None = None  # by its logit; shares the layers

    @property
    def stopped(self) -> bool:
        """Whether no further epoch is to be begun."""
        return bool(self.stopping.reason(self.history))

    @property
    def summary(self) -> dict:
        """The epochs as metrics.json holds them."""
        return histories.summary(self.history, self.stopping, monitor=self._monitor)

    @property
    def epoch_line(self) -> str:
        """The newest epoch in one line for a person."""
        return histories.epoch_line(
            self.history,
            epochs=self.stopping.epochs,
            images_per_s=self.images_per_s,
            monitor=self._monitor,
        )

    def restore(self) -> tuple[int, int]:
        """Takes up the newest checkpoint; returns epochs finished and steps since."""
        state, warnings = checkpoints.restore(
            self._folder / run_folders.CHECKPOINTS, **self._tracked()
        )
        for warning in warnings:
            rich.print(f"[yellow]warning:[/] {warning}")
        state = state or {"epoch": 0, "history": [], "best_epoch": 0}
        epoch, step = state["epoch"], state.get("step", 0)
        if len(set(self._workers.gather([epoch + 1e-9 * step])[:, 0])) > 1:
            raise errors.BadInput(
                f"{self._folder}: the workers see different checkpoints; --out must be "
                "a folder that all of them share."
            )
        self.history = histories.History(
            tuple(state["history"]), state["best_epoch"], state.get("spent", 0.0)
        )
        self._resumed = state.get("unfinished", {})
        if self.history.rows and self._workers.chief:
            self._write_history()
        return epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        self._started = time.monotonic()
        self._seconds, self.step = 0.0, 0
        if self._resumed:  # fit has just reset its means
            self._seconds, self.step = self._resumed["seconds"], self._resumed["step"]
            self._set_means(self._resumed["means"])
            self._resumed = {}

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self._check_loss(logs["loss"])
        seconds = time.monotonic() - self._started
        self.images_per_s = self.steps.batch_size * (batch + 1) / seconds
        if self.steps.checkpoint_after(self.step):
            self._save(self.step)

    def on_epoch_end(self, epoch, logs=None):
        if self._workers.chief:
            self._end(epoch, logs)
        # By the chief's clock and judgement, so that no worker waits for another.
        self.model.stop_training = bool(self._workers.broadcast(self.stopped))

    def _check_loss(self, loss: float) -> None:
        # The loss is a mean since the epoch began: once lost, it stays lost.
        if not np.isfinite(loss):
            ids = ", ".join(self.steps.image_ids(self.epoch, self.step - 1))
            raise Diverged(
                f"the training diverged: the loss of step {self.step} in epoch "
                f"{self.epoch + 1} is not finite; pass a smaller --learning-rate, "
                f"--clip-norm 1 or --precision float32, or look at its pictures: {ids}"
            )

    def _end(self, epoch: int, logs: dict) -> None:
        """Validates, keeps and writes at the end of an epoch."""
        seconds = self._elapsed()
        model = self._model_to_keep()
        logs.update(self._validate())
        rate = float(self.model.optimizer.learning_rate)
        row = {"epoch": epoch + 1, "seconds": round(seconds, 3), "learning_rate": rate}
        row |= {name: float(value) for name, value in logs.items()}
        self.history = self.history.extended(row, monitor=self._monitor)
        if self.history.best_epoch == epoch + 1:
            save_model(classifier.as_kept(model), self._folder / run_folders.MODEL)
        spent = self.history.seconds + self._elapsed()
        self.history = dataclasses.replace(self.history, seconds=spent)
        self._write_history()
        self._save(0)
        # TensorBoard shows it; history.csv does not, as no run repeats it.
        logs["images_per_s"] = self.images_per_s

    def _elapsed(self) -> float:
        """Seconds of this epoch, with those before it was resumed."""
        return self._seconds + time.monotonic() - self._started

    def _save(self, step: int) -> None:
        """A checkpoint after `step` steps of this epoch, or after its end."""
        unfinished = {}
        if step:
            seconds = self._elapsed()
            means = self._workers.gather(self._means()).tolist()
            unfinished = {"seconds": seconds, "step": step, "means": means}
        if not self._workers.chief:
            return
        checkpoints.save(
            self._folder / run_folders.CHECKPOINTS,
            epoch=len(self.history.rows),
            step=step,
            state={
                "history": self.history.rows,
                "best_epoch": self.history.best_epoch,
                "spent": self.history.seconds,
                "unfinished": unfinished,
            },
            keep=self._keep,
            best_epoch=self.history.best_epoch,
            **self._tracked(),
        )

    def _mean_variables(self) -> list[tf.Variable]:
        """What the means of an epoch are kept in, for each replica of this worker."""
        here = self._workers.strategy.experimental_local_results
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
        own = means[self._workers.rank]
        for variable, value in zip(self._mean_variables(), own, strict=True):
            variable.assign(value)

    def _tracked(self) -> dict:
        """What a checkpoint holds beside the state."""
        average = {"average": self._average.state} if self._average else {}
        return {"model": self.model, "optimizer": self.model.optimizer, **average}

    def _model_to_keep(self) -> keras.Model:
        """The float32 copy with the weights of now, or their average."""
        if self._kept is None:
            with self._workers.own_scope():
                self._kept = classifier.in_float32(self.model)
                self._judged = classifier.without_map(self._kept)
        weights = self._average.numpy() if self._average else self.model.get_weights()
        self._kept.set_weights(weights)
        return self._kept

    def _validate(self) -> dict[str, float]:
        logits = self._judged.predict(self._batches, verbose=0).ravel()
        if not np.isfinite(logits).all():
            raise Diverged(
                "the training diverged (validation logits are not finite); pass a "
                "smaller --learning-rate, --clip-norm 1 or --precision float32."
            )
        scores = run_folders.probability(logits)
        figures = histories.validation_figures(self._labels, scores)
        return figures | {"val_loss": self._loss(logits)}

    def _loss(self, logits: np.ndarray) -> float:
        """What training lowers, on validation: beside `loss`, or a map's `logit_loss`.

        Training's own is of changed pictures, and weighted where classes are.
        """
        loss = self.model.loss
        of_logits = loss[classifier.LOGIT] if isinstance(loss, dict) else loss
        return float(of_logits(self._labels, logits))

    def _write_history(self) -> None:
        histories.write(self._folder / run_folders.HISTORY, self.history)


def save_model(model: keras.Model, path: pathlib.Path) -> None:
    """Publishes the model alone; the optimizer is in the checkpoints."""
    partial = path.with_name(".best.partial.keras")  # Keras insists on the ending
    try:
        model.save(partial)
        files.move_into_place(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
