"""The network without decode and resize, converted to ONNX, gives the same logits.

NEXPERIA_TF_ONNX_SIZE=224 asks for full-size pictures, minutes for the deep networks.
"""

import os

import numpy as np
import pytest

from nexperia_tf.models import classifier

WHY = "ONNX is not a dependency; pip install tf2onnx onnxruntime"
tf2onnx = pytest.importorskip("tf2onnx", reason=WHY)
onnxruntime = pytest.importorskip("onnxruntime", reason=WHY)

SIZE = int(os.environ.get("NEXPERIA_TF_ONNX_SIZE", "64"))


@pytest.mark.parametrize(
    "backbone",
    [
        "resnext26_32x4d",
        "resnet50",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ],
)
def test_onnx_runtime_agrees(backbone):
    import tensorflow as tf

    model = classifier.build(backbone, image_size=SIZE, channels=3)
    rng = np.random.default_rng(0)
    for layer in model.layers:  # fresh ones hide mistakes: their scales are 0 and 1
        if "_bn" in layer.name:
            shape = layer.gamma.shape
            layer.set_weights([rng.uniform(0.5, 1.5, shape) for _ in range(4)])

    @tf.function(input_signature=[tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32)])
    def logits(images):
        return model(images, training=False)

    converted, _ = tf2onnx.convert.from_function(
        logits, input_signature=logits.input_signature, opset=17
    )
    session = onnxruntime.InferenceSession(
        converted.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = rng.uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    expected = logits(tf.constant(images)).numpy()
    apart = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"{backbone}, {SIZE} px: {apart:.1e}")
    assert apart < 1e-4
