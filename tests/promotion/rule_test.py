import dataclasses
import json

import numpy as np
import pytest

from nexperia_tf import errors, predictions
from nexperia_tf.drift import judging
from nexperia_tf.evaluation import golden
from nexperia_tf.promotion import comparing, golden_set
from nexperia_tf.promotion import rule as rules
from nexperia_tf.runs import run_folders

N = 200


def answers(caught, rejected, *, n=N):
    """Of `n` defects so many are caught, of `n` good ones so many rejected."""
    called = np.concatenate([np.arange(n) < caught, np.arange(n) < rejected])
    return comparing.Answers(np.where(called, 0.9, 0.1), called)


def compared(new, old, *, n=N, groups=None):
    columns = {"defect_type": ["crack"] * n + [""] * n}
    if groups:
        columns["lot"] = [f"lot{i % groups}" for i in range(2 * n)]
    devices = predictions.Predictions(
        [f"d{i}" for i in range(2 * n)], [1] * n + [0] * n, np.zeros(2 * n), columns
    )
    return comparing.compare(
        devices, answers(*new, n=n), answers(*old, n=n), confidence=0.95
    )


def failed(checks):
    return [check.what for check in checks if not check.passed]


RULE = rules.Rule(repeat=0)


def test_a_model_that_decides_alike_passes():
    assert failed(rules.decide(RULE, compared((195, 3), (195, 3)))) == []


@pytest.mark.parametrize(
    ("new", "names"),
    [((180, 3), ["catch rate"]), ((195, 30), ["overkill"])],
)
def test_a_worse_model_fails_by_what_is_worse(new, names):
    checks = rules.decide(RULE, compared(new, (195, 3)))
    assert failed(checks) == names
    (said,) = [check.said for check in checks if not check.passed]
    assert "allowed" in said and "too few" not in said


def test_few_devices_show_nothing_and_how_many_would_is_said():
    checks = rules.decide(RULE, compared((50, 0), (50, 0), n=50))
    assert failed(checks) == ["catch rate", "overkill"]
    assert all("at least 149 are needed" in c.said for c in checks[1:])


def test_devices_in_few_lots_show_less():
    assert not failed(rules.decide(RULE, compared((200, 0), (200, 0))))
    # Every device of a lot is decided alike: three lots are three devices.
    few = rules.decide(RULE, compared((200, 0), (200, 0), groups=3))
    assert failed(few) == ["catch rate", "overkill"]


def test_too_few_is_not_said_of_what_passed():
    checks = rules.decide(RULE, compared((50, 0), (30, 0), n=50))
    assert failed(checks) == ["overkill"]
    assert "too few" not in checks[1].said and "too few" in checks[2].said


def checked(*wrong):
    pictures = [
        golden_set.Asked(golden.Line(f"g{i}.png", verdict), 0.4, called)
        for i, (verdict, called) in enumerate([("good", "good"), *wrong])
    ]
    return golden_set.Checked(tuple(pictures), trained_on=0)


def test_no_golden_escape_and_no_golden_overkill_unless_the_rule_allows_them():
    alike = compared((195, 3), (195, 3))
    for wrong in (("defect", "good"), ("good", "defect")):
        checks = rules.decide(RULE, alike, golden=checked(wrong))
        assert failed(checks) == ["golden set"] and "first g1.png" in checks[0].said
    lax = dataclasses.replace(RULE, golden_escapes=1)
    assert not failed(rules.decide(lax, alike, golden=checked(("defect", "good"))))
    assert not failed(rules.decide(RULE, alike, golden=checked()))
    needed = dataclasses.replace(RULE, golden_needed=True)
    assert failed(rules.decide(needed, alike)) == ["golden set"]


def test_a_guarantee_is_not_given_up():
    guaranteed = run_folders.Calibration(origin=run_folders.GUARANTEED, basis="b")
    plain = run_folders.Calibration()
    alike = compared((195, 3), (195, 3))
    lost = rules.decide(RULE, alike, thresholds=[plain, guaranteed])
    assert failed(lost) == ["guarantee"]
    assert not failed(rules.decide(RULE, alike, thresholds=[guaranteed, plain]))
    lax = dataclasses.replace(RULE, keep_guarantee=False)
    assert not failed(rules.decide(lax, alike, thresholds=[plain, guaranteed]))


def test_flips_are_compared_where_the_rule_asks_for_them():
    alike, asks = compared((195, 3), (195, 3)), rules.Rule()
    assert failed(rules.decide(asks, alike)) == ["repeatability"]
    masks = np.arange(100) < 20, np.arange(100) < 2
    found = comparing.flips(*masks, scores=(), groups=None, confidence=0.95)
    assert (found.new, found.old) == (20, 2)
    assert failed(rules.decide(asks, alike, flips=found)) == ["repeatability"]
    found = comparing.flips(*masks[::-1], scores=(), groups=None, confidence=0.95)
    assert not failed(rules.decide(asks, alike, flips=found))


def test_names_of_devices_that_are_newly_missed_and_kinds_are_kept():
    found = compared((190, 5), (195, 3))
    assert found.newly_missed == tuple(f"d{i}" for i in range(190, 195))
    assert found.newly_rejected == ("d203", "d204")
    assert found.kinds == (comparing.OfKind("crack", N, 190, 195),)
    assert found.catch.value == pytest.approx(-0.025)


def window(state):
    changed = judging.Change("brightness", 0.0, 0.2, 0.001, 9, 9, 0.01)
    return judging.Drift(
        state, 900, 9, 0, 40, False, 0, 0.01, 0.001, (changed,) * (state == "changed")
    )


@pytest.mark.parametrize(
    ("state", "needed", "passes"),
    [
        ("steady", True, True),
        ("changed", False, False),
        ("too_little", False, True),
        ("too_little", True, False),
        (None, True, False),
        (None, False, None),
    ],
)
def test_pictures_of_the_line_must_not_have_changed(state, needed, passes):
    alike, asks = (
        compared((195, 3), (195, 3)),
        rules.Rule(repeat=0, drift_needed=needed),
    )
    checks = rules.decide(asks, alike, drift=state and window(state))
    asked = [check.passed for check in checks if check.what == "drift"]
    assert asked == ([] if passes is None else [passes])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"catch_margn": 0.1}, "'catch_margn': unknown; did you mean catch_margin"),
        ({"catch_margin": 2}, "catch_margin 2: a number in"),
        ({"golden_escapes": 0.5}, "golden_escapes 0.5: a whole number"),
        ({"keep_guarantee": "no"}, "keep_guarantee .no.: true or false"),
        ({"schema": 2}, "schema 2: this version reads 1"),
    ],
)
def test_a_rule_file_is_held_to_its_schema(tmp_path, content, said):
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(content))
    with pytest.raises(errors.BadInput, match=said) as refused:
        rules.read(path)
    assert "\n" not in str(refused.value)


def test_a_rule_file_holds_only_what_differs(tmp_path):
    path = tmp_path / "rule.json"
    path.write_text('{"schema": 1, "catch_margin": 0.01, "repeat": 0}')
    found = rules.read(path)
    assert found == rules.Rule(catch_margin=0.01, repeat=0)
    assert found.sha256 != rules.Rule().sha256
