"""What happens beside the training steps: judging, keeping, stopping, warning."""

import math
import pathlib
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import rich
import tensorflow as tf

from nexperia_tf import averaging, checkpoints, errors, files, metrics, runs
from nexperia_tf.models import classifier

HISTORY_TARGETS = (0.991, 0.995)  # FPR at these TPR is followed during training
# The area at TPR >= .99 hangs on one defect in a hundred: under ten of them, on luck.
PARTIAL_AUC_DEFECTS = 1000


class Follow(keras.callbacks.Callback):
    """Judges each epoch on the validation split and keeps what must survive.

    After each epoch: exact AUC and FPR at TPR into `logs`, the best model into
    model.keras, the table into history.csv and a checkpoint of everything. What is
    judged and kept is a float32 copy, so its scores are those of the SavedModel.

    Args:
        folder: the run folder.
        validation: batches in record order and their labels of shape `(devices,)`.
        monitor: the figure that decides: auc, partial_auc, accuracy or auto.
        patience: epochs to wait for a better one.
        minutes: training ends before an epoch that would not fit in; 0 is no limit.
        average: judged and kept in place of the weights, when there is one.
        image_ids: gives the ids in a batch from epoch and step, both counted from 0.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        validation: tuple[tf.data.Dataset, np.ndarray],
        *,
        monitor: str = "auto",
        patience: int,
        minutes: float = 0.0,
        average: averaging.WeightAverage | None = None,
        image_ids: Callable[[int, int], Sequence[str]],
    ):
        super().__init__()
        self._folder = folder
        self._batches, self._labels = validation
        self._monitor = _decisive(monitor, int(np.sum(self._labels == 1)))
        self._patience = patience
        self._budget = 60 * minutes or math.inf
        self._average = average
        self._image_ids = image_ids
        self._history: list[dict] = []
        self._best_epoch = 0
        self._epoch = 0
        self._spent = 0.0  # seconds, epochs and their judging
        self._started = 0.0
        self._judged: keras.Model | None = None

    def restore(self) -> int:
        """Takes up the newest checkpoint; returns the epochs finished."""
        state, warnings = checkpoints.restore(
            self._folder / runs.CHECKPOINTS, **self._tracked()
        )
        for warning in warnings:
            rich.print(f"[yellow]warning:[/] {warning}")
        if state is None:
            return 0
        self._history = state["history"]
        self._best_epoch = state["best_epoch"]
        self._spent = state.get("spent", 0.0)
        self._write_history()
        return state["epoch"]

    @property
    def stopped(self) -> bool:
        """Whether no further epoch is to be begun."""
        done = len(self._history)
        if not done:
            return False
        waited = done - self._best_epoch >= self._patience
        return waited or self._spent * (done + 1) / done > self._budget

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch
        self._started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        # The loss is a mean since the epoch began: once lost, it stays lost.
        if not np.isfinite(logs["loss"]):
            ids = ", ".join(self._image_ids(self._epoch, batch))
            raise errors.BadInput(
                f"the training diverged: the loss of step {batch + 1} in epoch "
                f"{self._epoch + 1} is not finite; pass a smaller --learning-rate, "
                f"--clip-norm 1 or --precision float32, or look at its pictures: {ids}"
            )

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self._started
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
            save_model(judged, self._folder / runs.MODEL)
        self._spent += time.monotonic() - self._started
        self._write_history()
        checkpoints.save(
            self._folder / runs.CHECKPOINTS,
            epoch=epoch + 1,
            state={
                "history": self._history,
                "best_epoch": self._best_epoch,
                "spent": self._spent,
            },
            **self._tracked(),
        )
        self.model.stop_training = self.stopped

    def _tracked(self) -> dict:
        """What a checkpoint holds beside the state."""
        average = {"average": self._average.state} if self._average else {}
        return {"model": self.model, "optimizer": self.model.optimizer, **average}

    def _judged_model(self) -> keras.Model:
        """The float32 copy with the weights of now, or their average."""
        if self._judged is None:
            self._judged = classifier.in_float32(self.model)
        chosen = self._average.numpy() if self._average else self.model.get_weights()
        self._judged.set_weights(chosen)
        return self._judged

    def _judge(self, model: keras.Model) -> dict[str, float]:
        logits = model.predict(self._batches, verbose=0).ravel()
        if not np.isfinite(logits).all():
            raise errors.BadInput(
                "the training diverged (validation logits are not finite); pass a "
                "smaller --learning-rate, --clip-norm 1 or --precision float32."
            )
        scores = runs.probability(logits)
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
        return row[f"val_{self._monitor}"], -row["val_log_loss"]

    def _write_history(self) -> None:
        header = list(self._history[0])
        rows = ([row[name] for name in header] for row in self._history)
        files.write_csv(self._folder / runs.HISTORY, header, rows)


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
    finally:
        beside.unlink(missing_ok=True)
