"""Where training steps run: on one device, on all of a machine, on many machines."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import rich
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.library_internals import keras_internals

_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


@dataclasses.dataclass(frozen=True)
class Workers:
    """The processes that train one model together; most runs have a single one.

    Attributes:
        strategy: how a step is shared.
        rank: this worker's number; 0 is the chief, which validates, decides and writes.
        count: workers, each a process.
    """

    strategy: tf.distribute.Strategy
    rank: int = 0
    count: int = 1

    @property
    def chief(self) -> bool:
        """Whether this worker validates, decides and writes."""
        return self.rank == 0

    @property
    def place(self) -> tuple[int, int]:
        """Rank and count, as `batching.training` takes them."""
        return self.rank, self.count

    def own_scope(self) -> contextlib.AbstractContextManager:
        """The scope for a model that this worker uses without the others."""
        return self.strategy.scope() if self.count == 1 else contextlib.nullcontext()

    def distribute(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """What `fit` takes: batches, of which each worker has its own share."""
        if self.count == 1:
            return batches
        here = self.strategy.num_replicas_in_sync // self.count

        def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
            if here == 1:
                return batches
            share = batches.element_spec[0].shape[0]
            return batches.rebatch(share // here)

        return self.strategy.distribute_datasets_from_function(own)

    def patched_fit(self) -> contextlib.AbstractContextManager:
        """To be entered around `fit`, which Keras does not have for several workers."""
        if self.count == 1:
            return contextlib.nullcontext()
        return keras_internals.multiworker_fit()

    def gather(self, numbers: Sequence[float]) -> np.ndarray:
        """The numbers of all workers, `(workers, numbers)`; each waits for all."""
        table = np.zeros((self.count, len(numbers)))
        table[self.rank] = numbers
        if self.count == 1:
            return table
        here = self.strategy.num_replicas_in_sync // self.count
        return _sum(self.strategy, tf.constant(table / here)).numpy()

    def broadcast(self, number: float) -> float:
        """The chief's number, on every worker."""
        return self.gather([number])[0, 0]

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """A block that the chief leaves before the others enter it."""
        if not self.chief:
            self.broadcast(0)
        yield
        if self.chief:
            self.broadcast(0)

    @contextlib.contextmanager
    def last_barrier(self, done: Callable[[], bool]) -> Iterator[None]:
        """A block with the last exchange, in which a lost worker is no error once done.

        A worker that has its number exits, perhaps while others still fetch theirs.
        """
        try:
            yield
        except _LOST:
            if not done():
                raise

    @contextlib.contextmanager
    def losses_reported(self) -> Iterator[None]:
        """Turns the loss of another worker within the block into one clear line."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            raise errors.BadInput(
                f"worker {self.rank} of {self.count} has lost another "
                f"({type(error).__name__}); see what the others said last, then start "
                "all of them again with --resume."
            ) from error


@tf.function
def _sum(strategy: tf.distribute.Strategy, table: tf.Tensor) -> tf.Tensor:
    """The sum of what the replicas have."""
    return strategy.reduce("SUM", strategy.run(lambda: table), axis=None)


def workers(strategy: str, *, batch_size: int) -> Workers:
    """The workers that `--strategy` names.

    Args:
        strategy: none is one device; mirrored shares each batch among all GPUs, or
            logical CPUs where there is none; auto is mirrored where there are several
            GPUs; multiworker shares it among the machines that TF_CONFIG lists.
        batch_size: devices in a batch, of all replicas together.

    Raises:
        errors.BadInput: the batch cannot be shared evenly, or TF_CONFIG is no use.
    """
    if strategy == "multiworker":
        return _multiworker(batch_size)
    gpus = tf.config.list_logical_devices("GPU")
    if strategy == "none" or (strategy == "auto" and len(gpus) < 2):
        return Workers(tf.distribute.get_strategy())
    devices = gpus or tf.config.list_logical_devices("CPU")
    _check_batch(batch_size, len(devices))
    return Workers(tf.distribute.MirroredStrategy([device.name for device in devices]))


def _multiworker(batch_size: int) -> Workers:
    rank, count = place(os.environ.get("TF_CONFIG", ""))
    gpus = len(tf.config.list_physical_devices("GPU"))
    _check_batch(batch_size, count * max(1, gpus))
    if count > 1:
        rich.print(f"worker {rank} of {count}: waiting until all are there")
    return Workers(tf.distribute.MultiWorkerMirroredStrategy(), rank, count)


def place(tf_config: str) -> tuple[int, int]:
    """This worker's number and the count of workers from a TF_CONFIG.

    >>> place('{"cluster": {"worker": ["a:1", "b:1"]}, '
    ...       '"task": {"type": "worker", "index": 1}}')
    (1, 2)

    Raises:
        errors.BadInput: it is missing or lacks cluster or task.
    """
    try:
        settings = json.loads(tf_config)
        kind, index = settings["task"]["type"], int(settings["task"]["index"])
        chiefs = len(settings["cluster"].get("chief", []))
        workers = len(settings["cluster"].get("worker", []))
        rank = {"chief": 0, "worker": chiefs}[kind] + index
        if rank >= chiefs + workers:
            raise IndexError
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise errors.BadInput(
            f"--strategy multiworker: TF_CONFIG is {tf_config or 'not set'!r}; every "
            'worker needs one such as {"cluster": {"worker": ["host1:port", '
            '"host2:port"]}, "task": {"type": "worker", "index": 0}}.'
        ) from None
    return rank, chiefs + workers


def _check_batch(batch_size: int, devices: int) -> None:
    if batch_size % devices:
        raise errors.BadInput(
            f"--batch-size {batch_size} cannot be shared among {devices} devices; "
            f"choose a multiple of {devices}."
        )


def synchronise(model: keras.Model) -> None:
    """Has every batch norm take its statistics over the batches of all replicas."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras' dtype policy for a while."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
