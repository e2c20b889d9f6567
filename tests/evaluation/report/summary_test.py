import dataclasses
import re

import numpy as np
import pytest

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import judging, page, results, summary
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import choices


def test_scores_alone_choose_their_own_threshold_and_say_so(table):
    alone = Subject(name="alone", scored=table(700, 700, lots=False))
    found = judging.judge(alone, results.Settings())
    assert found.operating_point.in_sample
    assert found.operating_point.escape_rate.count == 0
    first = summary.of_run(found)[0]
    assert first.tone == summary.CAUTION
    assert "--calibration" in " ".join(first.details)


def test_devices_whose_choices_nobody_knows_certify_nothing(subject):
    unknown = dataclasses.replace(subject(), selection=choices.UNKNOWN)
    found = judging.judge(unknown, results.Settings(max_escape=0.01))
    assert not found.operating_point.guaranteed
    assert found.band.reject_from is None
    ship, threshold, *_ = summary.of_run(found)
    assert "--choices N" in ship.details[0]
    said = " ".join(threshold.details)
    assert "No review band either" in said and "hold together" not in said
    some = training_pictures.Overlap(9, ("a", "b"), ("c",), ("base",))
    learned = dataclasses.replace(subject(), seen_calibration=some)
    found = judging.judge(learned, results.Settings(max_escape=0.01))
    known = "3 of the calibration devices, or their twins, were trained on"
    point = found.operating_point
    assert known in point.refusal and known in summary.threshold_by(found)
    assert point.certified_escape == 1
    assert all(
        case.dppm_certified == pytest.approx(case.dppm_uninspected)
        for case in found.economics
    )
    said = " ".join(summary.of_run(found)[2].details)
    assert f"Nothing is certified: {known}." in said
    assert "Certified" not in said and "per million" not in said
    known = judging.judge(subject(), results.Settings(max_escape=0.01))
    said = " ".join(summary.of_run(known)[1].details)
    assert known.operating_point.guaranteed
    assert known.band.reject_from is not None
    assert "hold together with 90 % confidence" in said


def test_too_few_defects_refuse_and_count_what_is_missing(table):
    few = Subject(name="few", scored=table(827, 900, lots=False))
    found = judging.judge(few, results.Settings(max_escape=0.003))
    assert not found.operating_point.guaranteed
    assert found.operating_point.defects_needed == 998
    first = summary.of_run(found)[0]
    assert first.tone == summary.NO
    assert "99.7 %" in first.details[0] and "998 are needed" in first.details[0]


def test_a_broken_promise_is_a_no(table):
    shifted = table(300, 600)
    shifted = predictions.Predictions(
        image_id=shifted.image_id,
        label=shifted.label,
        score=np.where(shifted.label == 1, shifted.score / 50, shifted.score),
    )
    calibration = table(seed=9, n_defect=700, n_good=700, lots=False)
    found = judging.judge(
        Subject(name="s", scored=shifted, calibration=calibration),
        results.Settings(),
    )
    ship, threshold, escapes, *_ = summary.of_run(found)
    assert ship.answer == "No: the guarantee does not hold on these devices."
    assert {ship.tone, threshold.tone, escapes.tone} == {summary.NO}
    said = " ".join(escapes.details)
    assert "Certified" not in said
    assert f"at most {found.economics[0].dppm.high:,.1f} defective" in said


@pytest.mark.parametrize(
    "columns, word",
    [
        ({}, None),
        ({"group": [f"d{i}" for i in range(900)]}, None),
        ({"group": ["module1", "module2"] * 450}, "group"),
        ({"lot": ["1", "2"] * 450}, "lot"),
        ({"lot": ["1", "2"] * 450, "group": ["1", "2"] * 450}, "lot"),
    ],
)
def test_lots_and_groups_are_spoken_of_where_there_are_some(columns, word, table):
    scored = dataclasses.replace(table(lots=False), columns=columns)
    known = frozenset({"module1", "1"})
    one = Subject(name="a", scored=scored, training_groups=known)
    report = page.report_of(
        [one], results.Settings(), split="test", labels=None, notes=[]
    )
    said = " ".join(
        text for a in summary.of_run(report.runs[0]) for text in (a.answer, *a.details)
    )
    said += page.page(report, [one], {}).partition("</style>")[2]
    assert report.runs[0].grouped_by == word
    for other in ("lot", "group"):
        about = re.search(rf"within one {other}|{other}s seen in training", said)
        assert bool(about) == (other == word)
        assert bool(re.search(rf"on a new {other}\b", said)) == (other == word)


def test_a_certificate_beside_more_escapes_says_why(table, others):
    """None of 700 missed certifies .43 %; 2 of 300 here are more, by chance."""
    scored = table(n_defect=300, n_good=600, lots=False)
    calibration = others(n_defect=700, n_good=700)
    lowest = calibration.score[calibration.label == 1].min()
    score = np.where(scored.label == 1, 0.99, scored.score)
    score[:2] = lowest / 2
    one = Subject(
        name="a",
        scored=dataclasses.replace(scored, score=score),
        calibration=calibration,
    )
    found = judging.judge(one, results.Settings())
    assert found.operating_point.guaranteed
    assert not found.operating_point.broken
    escapes = " ".join(summary.of_run(found)[2].details)
    assert "2 of 300 here are more, but within chance for so few" in escapes


def test_a_guarantee_in_force_is_not_replaced_by_a_threshold_without_one(subject):
    one = subject()
    kept = run_folders.Calibration(
        threshold=0.2, origin=run_folders.GUARANTEED, basis="15 %"
    )
    found = judging.judge(
        dataclasses.replace(one, in_force=kept), results.Settings(max_escape=0.001)
    )
    assert not found.operating_point.guaranteed
    said = summary.proposal(found)
    assert "has the guarantee that it states" in said and "--set-threshold" not in said
    assert "is not guaranteed; 0.2 is in force" in summary.of_run(found)[1].answer
