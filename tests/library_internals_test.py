"""Names that libraries do not promise: in one module each, and tested here."""

import ast
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import nexperia_tf
from nexperia_tf.library_internals import keras_internals, tensorflow_internals

PACKAGE = pathlib.Path(nexperia_tf.__file__).parent
PRIVATE_MODULES = (
    "keras.src",
    "tensorflow.core",
    "tensorflow.python",
    "tensorflow_datasets.core",
    "tensorflow_datasets.public_api",
)


def parsed() -> dict[pathlib.Path, ast.Module]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {path: ast.parse(path.read_text("utf-8")) for path in files}


def outside(tree: dict) -> dict[pathlib.Path, ast.Module]:
    return {p: t for p, t in tree.items() if p.parent.name != "library_internals"}


def imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_only_the_internals_import_what_is_private():
    tree = parsed()
    inside = set().union(
        *(imported(t) for p, t in tree.items() if p not in outside(tree))
    )
    assert any(name.startswith("tensorflow.python.") for name in inside)  # it is seen
    for path, module in outside(tree).items():
        found = [n for n in imported(module) if n.startswith(PRIVATE_MODULES)]
        assert not found, f"{path}: {found} belong into library_internals"


def test_every_private_attribute_is_one_of_ours():
    tree = outside(parsed())
    nodes = [node for module in tree.values() for node in ast.walk(module)]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    ours = {n.attr for n in attributes if isinstance(n.ctx, ast.Store)}
    ours |= {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    ours |= {n.id for n in nodes if isinstance(n, ast.Name)}
    private = {n.attr for n in attributes if n.attr.startswith("_")}
    theirs = {name for name in private - ours if not name.startswith("__")}
    assert not theirs, f"{theirs} belong into library_internals"


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


def test_traced_gradients_are_forgotten():
    @tf.custom_gradient
    def square(x):
        return x * x, lambda upstream: 2 * x * upstream

    @tf.function
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = square(x)
        return tape.gradient(value, x)

    def registered():
        from tensorflow.python.framework import ops

        names = ops.gradient_registry._registry
        return [name for name in names if name.startswith("CustomGradient-")]

    assert slope(tf.constant(3.0)) == 6.0
    assert registered()
    tensorflow_internals.forget_custom_gradients()
    assert not registered()


def test_tensorflow_says_whether_it_uses_onednn():
    from tensorflow.python.util import _pywrap_util_port

    known = tensorflow_internals.computes_with_onednn()
    assert known is _pywrap_util_port.IsMklEnabled()


def test_a_saved_model_can_be_looked_into(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x).get_concrete_function(
        tf.TensorSpec([], tf.float32)
    )
    tf.saved_model.save(module, str(tmp_path))
    saved = tensorflow_internals.SavedModel()
    saved.ParseFromString((tmp_path / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    assert isinstance(graph, tensorflow_internals.MetaGraphDef)
    assert list(graph.meta_info_def.tags) == ["serve"]
