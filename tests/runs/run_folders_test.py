import json

import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.runs import run_folders


def test_old_files_have_no_offset_and_no_guarantee(tmp_path):
    path = tmp_path / "calibration.json"
    path.write_text('{"schema": 1, "temperature": 1.5, "threshold": 0.5}')
    assert run_folders.read_calibration(path) == run_folders.Calibration(
        temperature=1.5
    )
    path.write_text('{"schema": 1, "temperature": 1.5, "threshold": 0.12}')
    words = "threshold 0.12 (stored by an older version, not guaranteed)"
    assert run_folders.read_calibration(path).words == words


def test_what_is_written_is_read_again(tmp_path):
    before = run_folders.Calibration(
        temperature=0.7,
        offset=-2.5,
        threshold=0.31,
        origin=run_folders.TARGET,
        basis="tpr=.99 on a validation",
        reject_from=0.9,
    )
    run_folders.write_calibration(tmp_path / "calibration.json", before)
    assert run_folders.read_calibration(tmp_path / "calibration.json") == before
    assert before.words == "threshold 0.31 (tpr=.99 on a validation, not guaranteed)"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", 0),
        ("temperature", None),
        ("temperature", float("inf")),
        ("offset", "2"),
        ("offset", float("nan")),
        ("threshold", 0),
        ("threshold", 1.5),
        ("threshold", True),
        ("origin", "guess"),
        ("reject_from", 0),
        ("reject_from", 1.5),
        ("reject_from", "high"),
    ],
)
def test_a_calibration_without_sense_is_refused_by_name(tmp_path, key, value):
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"temperature": 1, "threshold": 0.5} | {key: value}))
    with pytest.raises(errors.BadInput, match=f"calibration.json: {key} is "):
        run_folders.read_calibration(path)


def test_arrays_and_tensors_get_the_same_logit():
    in_force = run_folders.Calibration(temperature=2.0, offset=-1.0)
    raw = np.array([-40, 0, 3, 800], np.float32)
    np.testing.assert_array_equal(in_force.logits(raw), [-21, -1, 0.5, 399])
    np.testing.assert_array_equal(
        in_force.logits(tf.constant(raw)), in_force.logits(raw)
    )
    assert in_force.scores(raw)[3] == 1 and 0 < in_force.scores(raw)[0] < 1e-9
