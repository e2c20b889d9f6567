import keras
import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf.training import weight_average


def trained(momentum, steps):
    """An average, and the weights after each step, batch norm's among them."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    average = weight_average.WeightAverage(model, momentum)
    seen = [model.get_weights()]
    rng = np.random.default_rng(0)
    for step in range(steps):
        model.train_on_batch(rng.normal(size=(8, 4)), rng.normal(size=(8, 4)))
        average.on_train_batch_end(step)
        seen.append(model.get_weights())
    return average, seen


def test_it_is_tensorflows_average_of_all_weights_and_statistics():
    average, seen = trained(0.9, 30)
    peer = tf.train.ExponentialMovingAverage(0.9)
    shadows = [tf.Variable(value) for value in seen[0]]
    peer.apply(shadows)
    for step, values in enumerate(seen[1:], 1):
        peer._num_updates = tf.constant(float(step))
        for shadow, value in zip(shadows, values):
            shadow.assign(value)
        peer.apply(shadows)
    for ours, shadow in zip(average.numpy(), shadows):
        np.testing.assert_allclose(ours, peer.average(shadow), rtol=1e-5, atol=1e-7)


def test_its_state_survives_a_checkpoint(tmp_path):
    average, _ = trained(0.9, 5)
    tf.train.Checkpoint(a=average.state).write(str(tmp_path / "a"))
    again, _ = trained(0.9, 0)
    tf.train.Checkpoint(a=again.state).read(str(tmp_path / "a")).assert_consumed()
    for one, other in zip(average.numpy(), again.numpy()):
        np.testing.assert_array_equal(one, other)
    assert again.state.steps == 5


def test_a_momentum_of_one_is_refused():
    with pytest.raises(ValueError, match=r"Received 1\.0"):
        trained(1.0, 0)
