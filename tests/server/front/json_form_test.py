"""JSON in the form of TensorFlow Serving; its words are those of its json_tensor.cc."""

import base64
import dataclasses
import json

import numpy as np
import pytest

from nexperia_tf.server import asking, refusals
from nexperia_tf.server.front import json_form
from nexperia_tf.server.history import tables

B64 = {"b64": base64.b64encode(b"BM..").decode()}


def entry(**changed) -> tables.Entry:
    plain = {"time": "", "station": "s", "source": "rest", "picture_sha256": ""}
    plain |= {"model": "line", "version": 1, "score": 0.25, "threshold": 0.5}
    return tables.Entry(**plain | {"label": "good", "verdict": "review"} | changed)


UNREADABLE = entry(score=None, label="", verdict="", problem="is torn")


@pytest.mark.parametrize(
    "asked",
    [
        {"instances": [B64, B64]},
        {"instances": [{"image_bytes": B64}, {"image_bytes": B64}]},
        {"inputs": [B64, B64]},
        {"inputs": {"image_bytes": [B64, B64]}},
        {"inputs": [B64, B64], "signature_name": "serving_default"},
    ],
)
def test_both_forms_give_the_bytes(asked):
    request = json_form.parse(json.dumps(asked).encode())
    assert [picture.content for picture in request.pictures] == [b"BM..", b"BM.."]
    assert request.form in asked


def test_pixels_are_taken_under_their_signature():
    pixels = np.arange(24).reshape(2, 2, 3, 2)
    for form in ("instances", "inputs"):
        asked = {"signature_name": "image_pixels", form: pixels.tolist()}
        request = json_form.parse(json.dumps(asked).encode())
        assert [picture.shape for picture in request.pictures] == [(2, 3, 2)] * 2
        found = b"".join(picture.content for picture in request.pictures)
        assert found == bytes(range(24))


PIXELS = {"signature_name": "image_pixels"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: "),
        (b"\xff", "JSON Parse error: "),
        (b"[" * 100_000, "JSON Parse error: "),
        (b"[1]", "JSON Value: [1] Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"inputs": [], "instances": []}, "expecting only one of"),
        ({"instances": 1}, "to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": [1]}, "Type: Number is not of expected type: string"),
        ({"instances": [{"b64": 1}]}, "not formatted correctly for base64 data"),
        ({"instances": [{"b64": "?"}]}, "Unable to base64 decode"),
        ({"instances": [{"other": B64}]}, "keys must be equal to: image_bytes"),
        ({"instances": [B64, {"image_bytes": B64}]}, "got object at item 1"),
        ({"inputs": {"other": [B64]}}, "Missing named input: image_bytes"),
        ({"inputs": B64}, "a list is expected"),
        ({"inputs": [B64], "signature_name": 1}, "must be a string value"),
        (
            {"inputs": [B64], "signature_name": "other"},
            'Serving signature name: "other" not found in signature def',
        ),
        (PIXELS | {"inputs": [[[[256]]]]}, "expected type: uint8"),
        (PIXELS | {"inputs": [[[[-1]]]]}, "expected type: uint8"),
        (PIXELS | {"inputs": [[[[0.5]]]]}, "expected type: uint8"),
        (PIXELS | {"inputs": [[[1], [[1]]]]}, "unexpected size"),
        (PIXELS | {"inputs": [[1]]}, "[height,width,channels] expected"),
        (PIXELS | {"inputs": [[[[1]]], [[[1], [1]]]]}, "Expecting shape"),
    ],
)
def test_what_is_no_request_is_refused_in_servings_words(body, said):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(refusals.Refused) as told:
        json_form.parse(body)
    assert said in str(told.value) and told.value.http == 400
    assert len(str(told.value)) < 400


def test_answers_have_the_form_of_the_request_and_bad_pictures_a_problem():
    judged = asking.Judged("line", 1, [entry(), UNREADABLE], [{"map": [[0.5]]}, {}])
    assert json_form.answer(judged, "instances") == {
        "predictions": [
            {"label": "good", "score": 0.25, "map": [[0.5]]},
            {"label": "", "score": None, "problem": "is torn"},
        ]
    }
    told = dataclasses.replace(judged, with_verdict=True)
    assert json_form.answer(told, "inputs") == {
        "outputs": {
            "label": ["good", ""],
            "score": [0.25, None],
            "map": [[[0.5]], None],
            "problem": ["", "is torn"],
            "verdict": ["review", ""],
        }
    }
    entries, more = [entry(unfamiliar=1.5), UNREADABLE], [{"unfamiliar": 1.5}, {}]
    far = asking.Judged("line", 1, entries, more, with_verdict=True)
    assert json_form.answer(far, "instances")["predictions"] == [
        {"label": "good", "score": 0.25, "unfamiliar": 1.5, "verdict": "review"},
        {"label": "", "score": None, "problem": "is torn", "verdict": ""},
    ]
    json_form.refuse_if_unreadable(judged)
    with pytest.raises(refusals.Refused, match="no picture can be read: is torn"):
        json_form.refuse_if_unreadable(asking.Judged("line", 1, [UNREADABLE], [{}]))
