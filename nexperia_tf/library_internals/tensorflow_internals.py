"""Names of TensorFlow that it does not document, and why they are used."""

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

# The messages of a saved_model.pb, which can be looked into before it is loaded.
MetaGraphDef = meta_graph_pb2.MetaGraphDef
SavedModel = saved_model_pb2.SavedModel


def computes_with_onednn(dtype: tf.DType = tf.float32) -> bool:
    """Whether this process computes convolutions of that number type with oneDNN.

    TF_ENABLE_ONEDNN_OPTS only says what was asked for, not what this build can do.
    """
    try:
        from tensorflow.python.util import _pywrap_util_port, _pywrap_utils
    except ImportError:  # gone: the convolution that runs everywhere is taken
        return False
    if not _pywrap_util_port.IsMklEnabled():
        return False
    if dtype.size != 2:
        return dtype == tf.float32
    takes = getattr(_pywrap_utils, "IsDataTypeSupportedByOneDNNOnThisCPU", None)
    return bool(takes and takes(dtype))


def forget_custom_gradients() -> None:
    """Lets go of the gradient of each tf.custom_gradient that was traced.

    TensorFlow registers them for good, and with each the graph and all that ran it
    (https://github.com/tensorflow/tensorflow/issues/97697).
    """
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]
