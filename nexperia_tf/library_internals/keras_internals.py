"""Names of Keras that it does not document, and why they are used."""

import contextlib
from collections.abc import Iterator

import keras


def operation_before(layer: keras.Layer) -> keras.Operation:
    """The operation of a functional model whose output a layer takes.

    What Keras documents gives only the model's config, as text.
    """
    return layer.input._keras_history.operation


def momentum(optimizer: keras.optimizers.SGD, variable: keras.Variable):
    """SGD's running gradient of a variable; the order of slots is not documented."""
    return optimizer.momentums[optimizer._get_variable_index(variable)]


def moments(optimizer: keras.optimizers.Adam, variable: keras.Variable) -> tuple:
    """Adam's running gradient of a variable, and that of its square."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def build_loss(model: keras.Model) -> None:
    """Makes the means of each of several losses, which Keras does in the first step.

    Variables that are made while a step is traced have it traced twice.
    """
    model._compile_loss.build(model.output, model.output)  # of targets only the keys


class OwnWeightDecay:
    """Beside an optimizer: it decays weights in its `update_step`, not all at once.

    Only there is the learning rate of each variable known.
    """

    def decays(self, variable: keras.Variable) -> bool:
        """Whether a variable's weights are to decay at all."""
        return self.weight_decay is not None and self._use_weight_decay(variable)

    def _apply_weight_decay(self, variables):
        """Has been done in `update_step`."""


@contextlib.contextmanager
def multiworker_fit() -> Iterator[None]:
    """Has `fit` train a model of several workers, for the length of the block.

    Two places of Keras' TensorFlow trainer take what `MultiWorkerMirroredStrategy`
    gives for plain tensors (https://github.com/keras-team/keras/issues/20585, open in
    3.15). benchmarks/workers.py fails on the day Keras does without: then this goes.
    """
    from keras.src.backend.tensorflow import trainer

    reduce = trainer.reduce_per_replica
    build = trainer.TensorFlowTrainer._maybe_symbolic_build
    trainer.reduce_per_replica = _reduce_by(
        reduce, trainer._collective_all_reduce_multi_worker
    )
    trainer.TensorFlowTrainer._maybe_symbolic_build = _build
    try:
        yield
    finally:
        trainer.reduce_per_replica = reduce
        trainer.TensorFlowTrainer._maybe_symbolic_build = build


def _reduce_by(keras_reduce, has_several_workers):
    """Means over all replicas; Keras asks for them along an axis that scalars lack."""

    def reduce(values, strategy, reduction):
        if not has_several_workers(strategy) or reduction != "auto":
            return keras_reduce(values, strategy, reduction)
        mean = lambda value: strategy.reduce("MEAN", value, axis=None)  # noqa: E731
        return keras.tree.map_structure(mean, values)

    return reduce


def _build(model, iterator=None, data_batch=None):
    """Builds with one replica's batch; Keras tries to average the whole structure."""
    strategy = model.distribute_strategy
    _, _, batches = next(iter(iterator))
    batch = keras.tree.map_structure(
        lambda values: strategy.experimental_local_results(values)[0], next(batches)
    )
    with strategy.scope():
        model._symbolic_build(data_batch=batch)
