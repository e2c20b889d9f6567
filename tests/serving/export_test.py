import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from nexperia_tf import errors, files
from nexperia_tf.serving import export


@pytest.fixture(scope="module")
def version(publish_tiny, tmp_path_factory):
    return publish_tiny(tmp_path_factory.mktemp("tiny") / "saved_model")


def _pictures(count: int, size: tuple[int, int] = (40, 30)) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *size, 1), np.uint8)


def _answer(served: export.Served, request: predict_pb2.PredictRequest):
    """What a server does: tensors out of the request, tensors into the response."""
    signature = served.signature(request.model_spec.signature_name)
    inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
    response = predict_pb2.PredictResponse()
    for name, tensor in signature(**inputs).items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor))
    return predict_pb2.PredictResponse.FromString(response.SerializeToString())


def test_every_warm_up_record_is_a_request_that_the_model_answers(version):
    served = export.load(version)
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(
            record
        ).predict_log.request
        asked.append(request.model_spec.signature_name)
        score = tf.make_ndarray(_answer(served, request).outputs["score"])
        assert score.shape == (1,) and 0 <= score[0] <= 1
    assert asked == ["serving_default", "image_pixels"]


def test_a_predict_request_is_answered_by_both_signatures_alike(version):
    served = export.load(version)
    pictures = _pictures(3)
    contents = [tf.io.encode_png(picture).numpy() for picture in pictures]
    by_bytes = predict_pb2.PredictRequest()
    by_bytes.model_spec.signature_name = "serving_default"
    by_bytes.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(contents))
    by_pixels = predict_pb2.PredictRequest()
    by_pixels.model_spec.signature_name = "image_pixels"
    by_pixels.inputs["image_pixels"].CopyFrom(tf.make_tensor_proto(pictures))
    first, second = _answer(served, by_bytes), _answer(served, by_pixels)
    scores = [tf.make_ndarray(r.outputs["score"]) for r in (first, second)]
    np.testing.assert_array_equal(*scores)
    words = tf.make_ndarray(first.outputs["label"]).tolist()
    assert words == [b"defect" if s >= 0.5 else b"good" for s in scores[0]]


@pytest.mark.slow
def test_saved_model_cli_shows_the_contract(version):
    tool = "tensorflow.python.tools.saved_model_cli"
    shown = subprocess.run(
        [sys.executable, "-m", tool, "show", "--dir", str(version), "--all"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for words in ("serving_default", "image_pixels", "image_bytes", "score", "label"):
        assert f"['{words}']" in shown


def test_a_flipped_bit_is_found_before_it_is_served(version, tmp_path):
    damaged = shutil.copytree(version, tmp_path / "1")
    weights = next(damaged.glob("variables/*.data-*"))
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(errors.BadInput, match="differs from its SHA-256"):
        export.load(tmp_path)


def test_versions_count_upwards_and_the_newest_is_found(
    version, publish_tiny, tmp_path
):
    assert version.name == "1"
    shutil.copytree(version, tmp_path / "1")
    assert publish_tiny(tmp_path).name == "2"
    assert export.find(tmp_path).name == "2"
    files.verify_manifest(tmp_path / "1")
