"""Names of Keras that it does not document, and why they are used."""

import contextlib
from collections.abc import Iterator

from keras.src import tree
from keras.src.backend.tensorflow import trainer


@contextlib.contextmanager
def multiworker_fit() -> Iterator[None]:
    """Has `fit` train a model of several workers, for the length of the block.

    Two places of Keras' TensorFlow trainer take what `MultiWorkerMirroredStrategy`
    gives for plain tensors (https://github.com/keras-team/keras/issues/20585, open in
    3.15). benchmarks/workers.py fails on the day Keras does without: then this goes.
    """
    reduce = trainer.reduce_per_replica
    build = trainer.TensorFlowTrainer._maybe_symbolic_build
    trainer.reduce_per_replica = _reduce_by(reduce)
    trainer.TensorFlowTrainer._maybe_symbolic_build = _build
    try:
        yield
    finally:
        trainer.reduce_per_replica = reduce
        trainer.TensorFlowTrainer._maybe_symbolic_build = build


def _reduce_by(keras_reduce):
    """Means over all replicas; Keras asks for them along an axis that scalars lack."""

    def reduce(values, strategy, reduction):
        several = trainer._collective_all_reduce_multi_worker(strategy)
        if not several or reduction != "auto":
            return keras_reduce(values, strategy, reduction)
        mean = lambda value: strategy.reduce("MEAN", value, axis=None)  # noqa: E731
        return tree.map_structure(mean, values)

    return reduce


def _build(model, iterator=None, data_batch=None):
    """Builds with one replica's batch; Keras tries to average the whole structure."""
    strategy = model.distribute_strategy
    _, _, batches = next(iter(iterator))
    one = tree.map_structure(
        lambda values: strategy.experimental_local_results(values)[0], next(batches)
    )
    with strategy.scope():
        model._symbolic_build(data_batch=one)
