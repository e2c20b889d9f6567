"""Which devices a promotion may be decided on, from lists of hashes alone."""

import numpy as np
import pytest

from nexperia_tf import errors, predictions
from nexperia_tf.evaluation import golden
from nexperia_tf.promotion import held_out, models
from nexperia_tf.runs import training_pictures as known


def held(labels=(1, 1, 1, 0, 0, 0), tied=None):
    """Devices d0, d1 ... with pictures p0, p1 ..."""
    names = [f"d{i}" for i in range(len(labels))]
    table = predictions.Predictions(
        names, labels, np.zeros(len(labels)), {}, "the folder"
    )
    own = {name: f"p{i}" for i, name in enumerate(names)}
    hashes = known.PictureHashes(own, dict.fromkeys(names, ()) | (tied or {}))
    return held_out.HeldOut(table, hashes, ask=None, pixels=None)


def model(name, *trained, chose=(), what=known.PICTURE):
    lines = tuple(known.Line(each, what, "run") for each in (*trained, "other"))
    return models.Model(name, None, None, known.TrainingSet(lines), frozenset(chose))


def test_pictures_and_twins_of_either_model_are_left_out_and_counted():
    devices = held(tied={"d4": ["twin of p4"]})
    left = held_out.unseen(devices, model("new", "p0"), model("old", "twin of p4"))
    assert list(left.table.image_id) == ["d1", "d2", "d3", "d5"]
    assert left.left_out == {
        "new was trained on, or on a copy or twin": 1,
        "old was trained on, or on a copy or twin": 1,
    }


def test_devices_that_chose_epoch_or_threshold_are_left_out():
    left = held_out.unseen(held(), model("new", chose=["p1", "p5"]), model("old"))
    assert list(left.table.image_id) == ["d0", "d2", "d3", "d4"]
    assert left.left_out == {"have chosen epoch or threshold of new": 2}


@pytest.mark.parametrize(
    ("trained", "said"),
    [
        (["p0", "p1", "p2"], "0 defects and 3 good devices are left .*3 new was"),
        ([f"p{i}" for i in range(6)], "the folder: no device is left: 6 new was"),
    ],
)
def test_too_few_devices_are_refused_with_what_was_left_out(trained, said):
    with pytest.raises(errors.BadInput, match=said):
        held_out.unseen(held(), model("new", *trained), model("old"))


def test_the_hash_is_of_pictures_and_labels_in_any_order():
    devices = held()
    turned = held_out.HeldOut(
        devices.table.take(np.arange(5, -1, -1)), devices.hashes, None, None
    )
    assert turned.sha256 == devices.sha256
    assert held(labels=(1, 1, 0, 0, 0, 0)).sha256 != devices.sha256


def test_golden_verdicts_and_labels_must_agree():
    lines = [golden.Line("a.png", "defect", "p0"), golden.Line("b.png", "good", "pX")]
    held_out.check_golden(held(), lines)
    lines.append(golden.Line("c.png", "good", "p1"))
    with pytest.raises(errors.BadInput, match="d1 is labelled defect, but golden as"):
        held_out.check_golden(held(), lines)


def test_a_model_that_kept_no_list_is_refused_by_name():
    with pytest.raises(errors.BadInput, match="m: nobody knows which pictures run was"):
        models.check_known(model("m", what=known.UNKNOWN))
    models.check_known(model("m"))
