"""TensorFlow's tensor messages, read without TensorFlow and held to what it makes."""

import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf.server import asking, refusals
from nexperia_tf.server.front import tensors
from nexperia_tf.server.history import tables

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 1), np.uint8)


def read(tensor, signature: str = "", name: str = ""):
    name = name or ("image_pixels" if signature else "image_bytes")
    return tensors.pictures({name: tensor}, signature)


def as_values(array: np.ndarray):
    """As clients in other languages send uint8: one `int_val` each."""
    tensor = tf.make_tensor_proto(array)
    values = array.ravel().tolist()
    tensor.tensor_content = b""
    tensor.int_val.extend(values)
    return tensor


def test_strings_are_files():
    for contents in ([b"a", b"bc"], [b"a", b"a"], [b"a"]):
        found = read(tf.make_tensor_proto(contents))
        assert [picture.content for picture in found] == contents
    assert read(tf.make_tensor_proto([], tf.string, shape=(0,))) == []


@pytest.mark.parametrize("made", [tf.make_tensor_proto, as_values])
def test_pixels_come_as_content_or_as_values(made):
    found = read(made(PIXELS), "image_pixels")
    assert [picture.shape for picture in found] == [(4, 5, 1)] * 3
    assert b"".join(picture.content for picture in found) == PIXELS.tobytes()


def test_a_last_value_stands_for_all_that_follow_it():
    tensor = tf.make_tensor_proto(np.full((2, 3, 3, 1), 7, np.uint8))
    tensor.tensor_content = b""
    tensor.int_val[:] = [7]
    expected = tf.make_ndarray(tensor)
    found = read(tensor, "image_pixels")
    assert b"".join(picture.content for picture in found) == expected.tobytes()


@pytest.mark.parametrize(
    ("tensor", "signature", "name"),
    [
        (tf.make_tensor_proto([1.0]), "", ""),
        (tf.make_tensor_proto("a"), "", ""),
        (tf.make_tensor_proto([b"a"]), "", "other"),
        (tf.make_tensor_proto([b"a"]), "image_pixels", ""),
        (tf.make_tensor_proto(PIXELS.astype(np.float32)), "image_pixels", ""),
        (tf.make_tensor_proto(PIXELS[0]), "image_pixels", ""),
        (tf.make_tensor_proto([b"a"]), "other", ""),
    ],
)
def test_other_tensors_are_refused(tensor, signature, name):
    with pytest.raises(refusals.Refused) as told:
        read(tensor, signature, name)
    assert told.value.code == refusals.INVALID_ARGUMENT


def test_few_values_do_not_stand_for_more_than_memory_holds():
    tensor = tf.make_tensor_proto(PIXELS)
    tensor.tensor_content = b""
    tensor.int_val.append(1)
    tensor.tensor_shape.dim[1].size = 1 << 40
    with pytest.raises(refusals.Refused, match="at most"):
        read(tensor, "image_pixels")


def entry(**changed) -> tables.Entry:
    plain = {"time": "", "station": "s", "source": "grpc", "picture_sha256": ""}
    plain |= {"model": "line", "version": 1, "score": 0.1, "threshold": 0.5}
    return tables.Entry(**plain | {"label": "good", "verdict": "good"} | changed)


def test_verdicts_are_tensors_that_tensorflow_reads():
    unreadable = entry(score=None, label="", verdict="", problem="is torn")
    maps = [{"map": [[0.5, 0.25]], "unfamiliar": 0.5}, {}]
    judged = asking.Judged("line", 1, [entry(), unreadable], maps, True)
    found = tensors.outputs(judged)
    arrays = {name: tf.make_ndarray(tensor) for name, tensor in found.items()}
    np.testing.assert_array_equal(arrays["score"], np.float32([0.1, np.nan]))
    assert arrays["label"].tolist() == [b"good", b""]
    assert arrays["problem"].tolist() == [b"", b"is torn"]
    assert arrays["verdict"].tolist() == [b"good", b""]
    assert arrays["map"].shape == (2, 1, 2) and np.isnan(arrays["map"][1]).all()
    np.testing.assert_array_equal(arrays["unfamiliar"], np.float32([0.5, np.nan]))
    plain = asking.Judged("line", 1, [entry()], [{}])
    assert set(tensors.outputs(plain)) == {"score", "label"}
