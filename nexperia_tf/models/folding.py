"""Inference models without batch normalisation: it is folded into the convolutions."""

import keras
import numpy as np

from nexperia_tf.library_internals import keras_internals
from nexperia_tf.models import convolution

# What lies between the scaled pixels and the pooled features.
BODY = (
    convolution.Convolution,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
    keras.layers.ZeroPadding2D,
)


def fold_batch_norm(model: keras.Model, *, number_type: str = "float32") -> keras.Model:
    """A copy for inference, in which convolutions carry the normalisation.

    A normalisation with fixed statistics multiplies and shifts channels, as a kernel
    and a bias do. The copy has the same layers by the same names; what was batch
    normalisation passes its input on.

    Args:
        model: a functional model whose batch normalisations each follow a convolution.
        number_type: of the weights and the computation from the scaled pixels to the
            last stage: float32 or bfloat16. All else is float32 in either.

    Returns:
        model with the same inputs and outputs, equal in inference up to rounding.
    """
    norms = {}  # convolution's name -> normalisation that follows it
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            source = keras_internals.operation_before(layer)
            if not isinstance(source, convolution.Convolution):
                raise ValueError(
                    f"{layer.name} follows {source.name}, a {type(source).__name__}; "
                    "only normalisation that follows a Convolution can be folded."
                )
            norms[source.name] = layer

    def copy(layer):
        config = layer.get_config()
        config["dtype"] = number_type if isinstance(layer, BODY) else "float32"
        if isinstance(layer, keras.layers.BatchNormalization):
            return keras.layers.Identity(name=layer.name, dtype=number_type)
        if layer.name in norms:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer, inputs, **_):  # a normalisation's own `mask` stays behind
        return layer(inputs)

    folded = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.name in norms:
            weights = _folded(layer, norms[layer.name])
        elif isinstance(layer, keras.layers.BatchNormalization):
            continue
        else:
            weights = layer.get_weights()
        folded.get_layer(layer.name).set_weights(weights)
    return folded


def _folded(convolution, norm):
    """Kernel and bias that do both layers' work, computed in float64."""

    def value(variable, default):
        if variable is None:
            return np.float64(default)
        return keras.ops.convert_to_numpy(variable).astype("float64")

    variance = value(norm.moving_variance, 1)
    factor = value(norm.gamma, 1) / np.sqrt(variance + norm.epsilon)
    kernel = keras.ops.convert_to_numpy(convolution.kernel).astype("float64")
    centre = value(convolution.bias, 0) - value(norm.moving_mean, 0)
    bias = value(norm.beta, 0) + centre * factor
    return [(kernel * factor).astype("float32"), bias.astype("float32")]
