"""One trial: a recipe learned on all parts but one, and judged on that."""

import dataclasses
import logging
import pathlib
import shutil
import statistics
import time

import keras
import numpy as np

from nexperia_tf import configs, predictions
from nexperia_tf.data.input import batching
from nexperia_tf.data.input import order as ordering
from nexperia_tf.data.records import reading
from nexperia_tf.models import classifier, tensorflow_ops
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.training import devices, fitting, history, monitor, run_data
from nexperia_tf.training.search import plan

TIMED = 8  # steps whose median is what a step takes
WARMING = 2  # before them; the first traces the network


@dataclasses.dataclass(frozen=True)
class Setup:
    """What all trials share.

    Attributes:
        records: of the run.
        workers: that train.
        parts: image ids of each part of the training split.
    """

    records: run_data.Records
    workers: devices.Workers
    parts: tuple[frozenset[str], ...]

    def data(
        self, config: configs.Config, part: int
    ) -> tuple[configs.Config, run_data.Data]:
        """A recipe with its epochs, and what it learns from without a part.

        Args:
            config: as `run_data.closed` gives it.
            part: that is left out.
        """
        return self._dealt(config, self.parts[part])

    def whole(self, config: configs.Config) -> tuple[configs.Config, run_data.Data]:
        """The same with no part left out."""
        return self._dealt(config, frozenset())

    def _dealt(self, config: configs.Config, left_out: frozenset[str]):
        nothing = training_pictures.TrainingSet()  # no trial is kept
        return run_data.dealt(config, self.records, nothing, left_out=left_out)

    def length(self, config: configs.Config, part: int) -> plan.Length:
        """How long a recipe is trained in full, without a part."""
        return length_of(*self.data(config, part))


class Held:
    """Decoded pictures of one size, kept from one trial to the next."""

    def __init__(self):
        self._size = self._taker = None

    def hold(self, setup: Setup, config: configs.Config) -> None:
        """Decodes the training pictures, unless they are those of the trial before."""
        if self._size != config.pictures.image_size:
            self._taker = None  # first, or both sizes would be in memory
            pictures = setup.data(config, 0)[1].pictures
            self._taker = pictures.taker(setup.records.dataset, batching.TRAIN)
            self._size = config.pictures.image_size


def length_of(config: configs.Config, data: run_data.Data) -> plan.Length:
    """Epochs and steps of a config with nothing left open."""
    first = data.first.steps if data.first else 0
    epochs = config.first.first_epochs, config.optimisation.epochs
    return plan.Length(*epochs, first, data.order.steps)


def run(
    setup: Setup, config: configs.Config, trial: plan.PlannedTrial, folder: pathlib.Path
) -> tuple[predictions.Predictions, float]:
    """Trains and judges, or what is left of that.

    Args:
        setup: what all trials share.
        config: the recipe, as `run_data.closed` gives it.
        trial: which part is left out, how long is trained.
        folder: for checkpoints; removed by whoever keeps the scores.

    Returns:
        scores of the devices left out, and the seconds of training.
    """
    _forget_others()
    config, data = setup.data(config, trial.part)
    config = config.changed(
        first_epochs=trial.first_epochs, epochs=trial.epochs, monitor=history.LAST
    )
    with devices.dtype_policy(config.network.precision):
        try:
            fitting.stages(
                config,
                data,
                folder,
                setup.workers,
                begin=lambda: folder.mkdir(exist_ok=True),
                quiet=True,
            )
        except monitor.Diverged:
            scored = _scored(None, config, data)
        else:
            kept = run_folders.load_model(folder / run_folders.MODEL)
            scored = _scored(classifier.without_map(kept), config, data)
    stages = folder / run_folders.FIRST, folder
    seconds = sum(history.seconds_in(s / run_folders.HISTORY) for s in stages)
    return scored, round(seconds, 1)


def _forget_others() -> None:
    """Frees what the network of the trial before took."""
    keras.backend.clear_session()  # with the dtype policy, which is set again
    tensorflow_ops.forget_gradients()
    logging.getLogger("tensorflow").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a log line is more than that a function was traced again.

    Each trial is a network of its own, which TensorFlow takes for one that is traced
    again and again.
    """
    return "triggered tf.function retracing" not in record.getMessage()


def _scored(
    model: keras.Model | None, config: configs.Config, data: run_data.Data
) -> predictions.Predictions:
    """The devices that were left out, in the order of the records.

    All are alike to a model that diverged, which is none.
    """
    batch_size = 2 * config.optimisation.batch_size
    batches, label = fitting.judged(data, batch_size=batch_size)
    logits = np.zeros(len(label))
    if model is not None:
        logits = model.predict(batches, verbose=0).ravel()
    columns = reading.metadata(data.dataset, batching.TRAIN, ("image_id", "group"))
    left_out = np.array([n in data.order.left_out for n in columns["image_id"]])
    return predictions.Predictions(
        image_id=columns["image_id"][left_out],
        label=label,
        score=run_folders.probability(logits),
        columns={"group": columns["group"][left_out]},
        source="a trial",
    )


def remove(folder: pathlib.Path) -> None:
    """Removes what a trial needed while it ran."""
    shutil.rmtree(folder, ignore_errors=True)


class _Clock(keras.callbacks.Callback):
    """Notes when each step has ended."""

    def __init__(self):
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.monotonic())


def measured(setup: Setup, config: configs.Config) -> plan.Cost:
    """What training by the standard recipe costs here, from a few steps of it.

    Args:
        setup: what all trials share.
        config: the standard recipe, as `run_data.closed` gives it.
    """
    config, data = setup.data(config, 0)
    clock, start = _Clock(), time.monotonic()
    steps = WARMING + TIMED
    with devices.dtype_policy(config.network.precision):
        model = fitting.built(config, data, setup.workers)
        epochs = -(-steps // data.order.steps)
        begun = ordering.Position()
        batches = fitting.batches_of(config, data, setup.workers, begun, epochs)
        model.fit(
            setup.workers.distribute(batches),
            steps_per_epoch=steps,
            callbacks=[clock],
            shuffle=False,
            verbose=0,
        )
    taken = np.diff(clock.ends)[WARMING - 1 :]
    return plan.Cost(
        setup=clock.ends[WARMING - 1] - start,
        step=statistics.median(map(float, taken)),
        batch=config.optimisation.batch_size,
    )
