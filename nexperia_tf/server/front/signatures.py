"""The two signatures that every model here has, as clients name them.

`serving.servable` writes them into SavedModels; that module needs TensorFlow.
"""

from nexperia_tf.server import refusals

BYTES, PIXELS = "serving_default", "image_pixels"
INPUTS = {BYTES: "image_bytes", PIXELS: "image_pixels"}


def input_of(name: str) -> tuple[str, str]:
    """The signature that a client means, and its one input.

    >>> input_of("")
    ('serving_default', 'image_bytes')

    Raises:
        refusals.Refused: there is none of that name.
    """
    signature = name or BYTES
    if signature in INPUTS:
        return signature, INPUTS[signature]
    message = f'Serving signature name: "{signature}" not found in signature def'
    raise refusals.Refused(refusals.INVALID_ARGUMENT, message)
