"""The mean of several runs as one more, and what is known of it."""

import numpy as np
import pytest

from nexperia_tf import predictions
from nexperia_tf.evaluation import subjects
from nexperia_tf.runs.training_pictures import Overlap
from nexperia_tf.statistics import choices

NAMES = ["a", "b", "c", "d"]


def table(scores, names=NAMES):
    label = [NAMES.index(name) % 2 for name in names]
    return predictions.Predictions(names, label, scores)


def subject(scores, **known):
    return subjects.Subject("one", table(scores), **known)


def test_the_mean_is_taken_device_by_device_whatever_the_order():
    one = subject([0.1, 0.2, 0.3, 0.4])
    other = subjects.Subject("other", table([0.8, 0.6, 0.4, 0.2], NAMES[::-1]))
    mean = subjects.average([one, other])
    assert mean.name == "average" and mean.scored.image_id.tolist() == NAMES
    np.testing.assert_allclose(mean.scored.score, [0.15, 0.3, 0.45, 0.6])
    np.testing.assert_array_equal(mean.scored.label, one.scored.label)


def test_the_threshold_is_chosen_on_the_mean_of_all_calibration_devices_or_none():
    scores = table([0.0, 0.2, 0.4, 0.6])
    both = subjects.average(
        [subject([0.5] * 4, calibration=scores), subject([0.5] * 4, calibration=scores)]
    )
    np.testing.assert_allclose(both.chosen_on.score, scores.score)
    one = subjects.average([subject([0.5] * 4, calibration=scores), subject([0.1] * 4)])
    assert one.calibration is None and one.chosen_on is one.scored


def test_a_mean_could_have_been_of_any_epochs():
    members = [subject([0.5] * 4, selection=choices.of_epochs(n)) for n in (3, 4)]
    assert subjects.average(members).selection.count == 12
    members.append(subject([0.5] * 4, selection=choices.UNKNOWN))
    assert subjects.average(members).selection.count is None


def test_what_any_member_has_seen_the_mean_has_seen():
    seen = [Overlap(4, ("a",), ("b", "c"), by=("x",)), Overlap(4, ("b",), (), ("y",))]
    mean = subjects.average([subject([0.5] * 4, seen=each) for each in seen])
    assert mean.seen == Overlap(4, ("a", "b"), ("c",), ("x", "y"))


@pytest.mark.parametrize("known", [[], [Overlap(4)]])
def test_a_member_of_which_nobody_knows_leaves_the_mean_unknown(known):
    members = [subject([0.5] * 4, seen=each) for each in [*known, None]]
    assert subjects.average(members).seen is None
