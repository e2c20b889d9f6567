"""What a SavedModel consists of: the functions of its graph, and its signatures."""

from collections.abc import Callable

import tensorflow as tf

from nexperia_tf import labels, preprocess, sizes
from nexperia_tf.models import classifier
from nexperia_tf.serving import servable


def module(
    logit: Callable,
    image_size: sizes.Size,
    channels: int,
    features: Callable | None = None,
) -> tf.Module:
    """The calibrated logit as a function, with the variables that it reads.

    Where it gives more than that, `everything` gives a dict of all. Arguments are those
    of `export.publish_logit`.
    """
    graph = tf.Module()
    # An ensemble calls them: its members then share one decode.
    images = tf.TensorSpec((None, *image_size, channels), tf.uint8)
    graph.logit = traced = _function(logit, images)
    if features:
        graph.features = _function(features, images)
    called = traced.get_concrete_function()
    if isinstance(called.structured_outputs, dict):
        graph.everything = traced
        graph.logit = _function(lambda images: traced(images)[classifier.LOGIT], images)
    # As the function lists them. Keras' variables are wrappers: a session restores what
    # is tracked, and the graph reads what is wrapped.
    graph.variables_read = list(called.variables)
    return graph


def answerer(graph: tf.Module) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """From letterboxed pictures to `score` and, where there are, what else is given."""

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        if not hasattr(graph, "everything"):
            return {servable.SCORE: tf.sigmoid(graph.logit(images))}
        found = dict(graph.everything(images))
        return {servable.SCORE: tf.sigmoid(found.pop(classifier.LOGIT)), **found}

    return answer


def signatures(
    answered: Callable, image_size: sizes.Size, channels: int, threshold: float
) -> dict[str, Callable]:
    """Both signatures, of one graph."""
    names = tf.constant(labels.NAMES)

    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        # oneDNN's fused convolutions fail on an empty batch: it gets one blank.
        count = tf.shape(images)[0]
        blanks = tf.cast(count == 0, tf.int32)
        images = tf.pad(images, [[0, blanks], [0, 0], [0, 0], [0, 0]])
        found = {name: value[:count] for name, value in answered(images).items()}
        is_defect = tf.cast(found[servable.SCORE] >= threshold, tf.int32)
        return found | {servable.LABEL: tf.gather(names, is_defect)}

    def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        def boxed(content: tf.Tensor) -> tf.Tensor:
            picture = preprocess.decode(content, channels)
            return preprocess.letterbox(picture, image_size)

        return answer(tf.map_fn(boxed, image_bytes, fn_output_signature=tf.uint8))

    def from_pixels(image_pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        def boxed(picture: tf.Tensor) -> tf.Tensor:
            return preprocess.letterbox(picture, image_size)

        return answer(tf.map_fn(boxed, image_pixels, fn_output_signature=tf.uint8))

    content = tf.TensorSpec((None,), tf.string, name="image_bytes")
    pixels = tf.TensorSpec((None, None, None, channels), tf.uint8, "image_pixels")
    return {
        servable.BYTES: _function(from_bytes, content),
        servable.PIXELS: _function(from_pixels, pixels),
    }


def _function(function: Callable, argument: tf.TensorSpec) -> Callable:
    # Nothing here needs AutoGraph, which would translate all of Keras.
    return tf.function(function, input_signature=[argument], autograph=False)
