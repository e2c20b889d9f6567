import numpy as np
import pytest

from nexperia_tf import errors, predictions
from nexperia_tf.audit import held_out
from nexperia_tf.data import manifest

ROWS = [
    manifest.Row(image_id=name, path=f"{name}.png", label=label, group=group)
    for name, label, group in (
        ("a", "good", "lot 1"),
        ("b", "defect", "lot 1"),
        ("c", "good", "c"),
        ("d", "defect", "lot 2"),
    )
]


def _table(scores, labels=None):
    label_of = {row.image_id: int(row.label == "defect") for row in ROWS}
    names = np.array(list(scores), object)
    labels = [label_of.get(name, 0) for name in names] if labels is None else labels
    score = np.array(list(scores.values()))
    return predictions.Predictions(names, np.array(labels, np.int8), score, {}, "run")


def _joined(*tables):
    looks = np.arange(8, dtype=np.float32).reshape(4, 2)
    return held_out.by_runs(ROWS, tables, looks, names=["1", "2"])


def test_runs_are_joined_in_the_order_of_the_rows():
    found = _joined(_table({"b": 0.9, "a": 0.2}), _table({"c": 0.1}))
    assert [row.image_id for row in found.rows] == ["a", "b", "c"]
    np.testing.assert_allclose(found.score, [0.2, 0.9, 0.1])
    assert found.looks.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert found.facts["not_held_out"] == 1
    assert found.groups == ["lot 1", "lot 1", ""]


def test_a_picture_held_out_twice_gets_the_mean_of_its_logits():
    found = _joined(_table({"a": 0.5, "b": 0.9}), _table({"a": 0.9}))
    assert found.score[0] == pytest.approx(0.75)  # odds of 1 and 9: 3


def test_runs_of_other_pictures_or_labels_are_refused():
    with pytest.raises(errors.BadInput, match="z is none of the first run's"):
        _joined(_table({"a": 0.5, "z": 0.5}))
    with pytest.raises(errors.BadInput, match="labels a otherwise"):
        _joined(_table({"a": 0.5}, labels=[1]))


def test_folds_keep_groups_whole():
    rows = [
        manifest.Row(image_id=str(i), path=str(i), group=f"lot {i // 4}", label=label)
        for i, label in enumerate(["good", "defect"] * 12)
    ]
    folds = held_out.dealt(rows, 3)
    scored = np.concatenate([scored for _, scored in folds])
    assert sorted(scored) == list(range(24))
    for fitted_on, scored in folds:
        groups = [{rows[i].group for i in places} for places in (fitted_on, scored)]
        assert not set.intersection(*groups)
