import keras
import numpy as np
import pytest

from nexperia_tf.library_internals import keras_internals


def test_a_layer_knows_the_operation_before_it():
    inputs = keras.Input((4,))
    dense, norm = keras.layers.Dense(3), keras.layers.BatchNormalization()
    keras.Model(inputs, norm(dense(inputs)))
    assert keras_internals.operation_before(norm) is dense


@pytest.mark.parametrize(
    "optimizer", [keras.optimizers.SGD(0.1, momentum=0.9), keras.optimizers.Adam(0.1)]
)
def test_running_gradients_are_those_of_the_variable(optimizer):
    variables = [keras.Variable(np.zeros(n)) for n in (2, 3)]
    optimizer.build(variables)
    optimizer.apply([np.ones(2), np.full(3, 7.0)], variables)
    for variable, slope in zip(variables, (1.0, 7.0)):
        if isinstance(optimizer, keras.optimizers.SGD):
            running = keras_internals.momentum(optimizer, variable)
            expected = -0.1 * slope
        else:
            running, squares = keras_internals.moments(optimizer, variable)
            np.testing.assert_allclose(squares, 0.001 * slope**2, rtol=1e-5)
            expected = 0.1 * slope
        assert running.shape == variable.shape
        np.testing.assert_allclose(running, expected, rtol=1e-5)


def test_an_optimizer_with_its_own_decay_is_not_decayed_by_keras_as_well():
    class Plain(keras_internals.OwnWeightDecay, keras.optimizers.SGD):
        pass

    optimizer = Plain(0.1, weight_decay=0.5)
    decaying, spared = (keras.Variable(np.ones(2), name=name) for name in "ab")
    optimizer.exclude_from_weight_decay([spared])
    optimizer.build([decaying, spared])
    assert optimizer.decays(decaying) and not optimizer.decays(spared)
    optimizer.apply([np.zeros(2), np.zeros(2)], [decaying, spared])
    np.testing.assert_array_equal(decaying, np.ones(2))


def test_keras_trainer_is_left_as_it_was():
    from keras.src.backend.tensorflow import trainer

    def patched():
        build = trainer.TensorFlowTrainer._maybe_symbolic_build
        return trainer.reduce_per_replica, build

    before = patched()
    with keras_internals.multiworker_fit():
        assert all(now is not was for now, was in zip(patched(), before))
    assert patched() == before
