"""One convolution, dense or grouped, that trains on a CPU and exports without XLA.

Keras wraps every grouped convolution in `tf.function(jit_compile=True)`: slow on a CPU
and fatal for several servers and converters. TensorFlow's own grouped `conv2d` is fast
forwards; on a CPU it lacks the gradient, which is given here.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="nexperia_tf")
class Convolution(keras.layers.Conv2D):
    """Two-dimensional convolution padded by `kernel_size // 2` on every side.

    The padding is PyTorch's, so published weights mean the same here; Keras's "same"
    pads the other side when the stride is 2. Weights, names and configuration are those
    of `keras.layers.Conv2D`.

    Args:
        filters: number of output channels.
        kernel_size: odd side of the kernel.
        strides: step in both directions.
        groups: number of groups that input and output channels are divided into.
    """

    def __init__(self, filters, kernel_size, strides=1, groups=1, **kwargs):
        kwargs |= {"padding": "valid", "data_format": "channels_last"}
        super().__init__(filters, kernel_size, strides, groups=groups, **kwargs)
        if self.kernel_size[0] % 2 == 0 or len(set(self.kernel_size)) > 1:
            raise ValueError(
                "Convolution needs a square kernel of odd side. "
                f"Received kernel_size={self.kernel_size}."
            )
        if len(set(self.strides)) > 1 or set(self.dilation_rate) != {1}:
            raise ValueError(
                "Convolution needs one stride and no dilation. Received "
                f"strides={self.strides}, dilation_rate={self.dilation_rate}."
            )

    @property
    def margin(self) -> int:
        """Rows and columns of zeros added on each side."""
        return self.kernel_size[0] // 2

    def convolution_op(self, inputs, kernel):
        if keras.backend.backend() == "tensorflow":
            from nexperia_tf.models import tensorflow_ops

            return tensorflow_ops.convolution(
                inputs, kernel, stride=self.strides[0], margin=self.margin
            )
        rows = (self.margin, self.margin)
        return super().convolution_op(
            ops.pad(inputs, ((0, 0), rows, rows, (0, 0))), kernel
        )

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        padded = [
            side if side is None else side + 2 * self.margin for side in (height, width)
        ]
        return super().compute_output_shape((batch, *padded, channels))
