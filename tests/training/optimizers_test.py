import keras
import numpy as np
import pytest

from nexperia_tf.training import optimizers


def trained(optimizer, dtype="float32"):
    """Weights after some steps on fixed gradients of sizes far apart."""
    rng = np.random.default_rng(0)
    shapes = ((3, 4), (4,))
    variables = [keras.Variable(rng.normal(size=s), dtype=dtype) for s in shapes]
    for _ in range(5):
        gradients = [
            keras.ops.convert_to_tensor(rng.normal(size=s) * 10.0**scale, dtype)
            for scale, s in enumerate(shapes)
        ]
        optimizer.apply(gradients, variables)
    return [keras.ops.convert_to_numpy(v) for v in (*variables, *optimizer.variables)]


@pytest.mark.parametrize(
    "kind,knobs",
    [
        ("AdamW", {}),
        ("AdamW", {"weight_decay": 0.3}),
        ("AdamW", {"amsgrad": True}),
        ("AdamW", {"beta_1": 0.5, "clipnorm": 0.1}),
        ("SGD", {}),
        ("SGD", {"momentum": 0.9, "weight_decay": 0.3}),
        ("SGD", {"momentum": 0.9, "nesterov": True, "clipnorm": 0.1}),
    ],
)
def test_updates_are_those_of_keras(kind, knobs):
    ours = trained(getattr(optimizers, kind)(0.01, **knobs))
    theirs = trained(getattr(keras.optimizers, kind)(0.01, **knobs))
    for one, other in zip(ours, theirs, strict=True):
        # Adam's op takes 1 - beta_2 in float32, 1e-5 off Keras's.
        np.testing.assert_allclose(one, other, rtol=5e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["AdamW", "SGD"])
def test_other_number_types_take_the_update_of_keras(kind):
    ours = trained(getattr(optimizers, kind)(0.01), "float16")
    theirs = trained(getattr(keras.optimizers, kind)(0.01), "float16")
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "kind,knobs,op",
    [
        ("AdamW", {}, "ResourceApplyAdam"),
        ("SGD", {}, "ResourceApplyGradientDescent"),
        ("SGD", {"momentum": 0.9}, "ResourceApplyKerasMomentum"),
    ],
)
def test_one_op_updates_a_variable(kind, knobs, op):
    import tensorflow as tf

    optimizer = getattr(optimizers, kind)(0.01, **knobs)
    variable = keras.Variable(np.zeros(3, "float32"))
    optimizer.build([variable])

    @tf.function
    def step():
        optimizer.apply([tf.ones(3)], [variable])

    kinds = [op.type for op in step.get_concrete_function().graph.get_operations()]
    assert kinds.count(op) == 1
