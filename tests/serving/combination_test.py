"""How the answers of several models become one."""

import json

import numpy as np
import pytest
import scipy.special

from nexperia_tf import errors
from nexperia_tf.serving import combination

LOGITS = np.array([[-3.0, 0.5], [1.0, -0.5]], "float32")  # (members, N)


def test_a_mean_of_scores_is_their_mean():
    found = combination.asked(["mean"], ["a", "b"]).logit(LOGITS)
    expected = scipy.special.logit(scipy.special.expit(LOGITS.astype(float)).mean(0))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_sure_member_keeps_its_digits_in_the_mean():
    combined = combination.Combination("scores", (0.5, 0.5))
    logits = combined.logit(np.float32([[60, -60, 40], [60, -60, 45]]))
    np.testing.assert_allclose(logits[:2], [60, -60], rtol=1e-6)
    assert 40 < logits[2] < 45


def test_a_sum_of_logits_has_weights_and_a_bias(tmp_path):
    path = tmp_path / "weights.json"
    payload = {"of": "logits", "weights": {"b": 2, "a": 0.5}, "bias": -1}
    path.write_text(json.dumps(payload))
    found = combination.asked(["weights", str(path)], ["a", "b"])
    assert found == combination.Combination("logits", (0.5, 2.0), -1.0)
    expected = 0.5 * LOGITS[0] + 2 * LOGITS[1] - 1
    np.testing.assert_allclose(found.logit(LOGITS), expected, rtol=1e-6)


def test_weights_of_scores_are_shares(tmp_path):
    path = tmp_path / "weights.json"
    path.write_text(json.dumps({"of": "scores", "weights": {"a": 1, "b": 3}}))
    assert combination.read_weights(path, ["a", "b"]).weights == (0.25, 0.75)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"of": "odds", "weights": {"a": 1, "b": 1}}, 'needs "of"'),
        ({"of": "logits"}, 'needs "of"'),
        ({"of": "logits", "weights": {"a": 1}}, "weighs a, but the models are a, b"),
        ({"of": "logits", "weights": {"a": 1, "b": -1}}, r"Received \[1, -1\]"),
        ({"of": "logits", "weights": {"a": True, "b": 1}}, "0 or more"),
        ({"of": "logits", "weights": {"a": 0, "b": 0}}, "one of them above 0"),
        ({"of": "scores", "weights": {"a": 0, "b": 0}}, r"Received \[0, 0\]"),
        ({"of": "scores", "weights": {"a": 1, "b": 1}, "bias": 1}, "take no bias"),
    ],
)
def test_a_file_of_weights_that_does_not_fit_is_refused(tmp_path, payload, said):
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(payload))
    with pytest.raises(errors.BadInput, match=said):
        combination.read_weights(path, ["a", "b"])


def test_an_unknown_method_is_refused():
    with pytest.raises(errors.BadInput, match="Received median"):
        combination.asked(["median"], ["a", "b"])
