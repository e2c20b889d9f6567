import tensorflow as tf

from nexperia_tf.library_internals import tensorflow_internals


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
