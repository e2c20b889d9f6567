import csv
import dataclasses

import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.evaluation.report import devices, judging, page, results, summary
from nexperia_tf.evaluation.subjects import Subject


def test_golden_devices_are_named_when_they_escape(compared, table):
    _, report = compared
    escaped = {run.name: run.golden.escaped for run in report.runs}
    assert all(run.golden.n == 2 for run in report.runs)
    assert escaped["a"] == ()
    low = judging.judge(
        Subject(name="a", scored=table(300, 600), calibration=table(700)),
        results.Settings(golden=("d899",)),  # a good device escapes for certain
    )
    assert [device.image_id for device in low.golden.escaped] == ["d899"]
    first = summary.of_run(low)[0]
    at = f"proposed threshold ({low.operating_point.threshold:.4g})"
    assert first.answer == f"No: 1 of 1 golden devices escape at the {at}."
    assert "d899" in first.details[0]


def test_an_unscored_golden_device_is_refused_by_name(subject):
    with pytest.raises(errors.BadInput, match="first is 'nobody'"):
        judging.judge(subject(), results.Settings(golden=("d1", "nobody")))


def test_changed_devices_are_counted_at_each_runs_own_threshold(compared):
    subjects, report = compared
    pair = report.comparisons[1]
    one, two = (report.runs[i].operating_point.threshold for i in (0, 2))
    rejected = subjects[0].scored.score >= one
    then = subjects[2].scored.score >= two
    defect = subjects[0].scored.label == 1
    assert pair.newly_missed.count == np.sum(defect & rejected & ~then)
    assert pair.newly_overkilled.count == np.sum(~defect & ~rejected & then)
    for device in pair.newly_overkilled.devices:
        assert device.score_first < one <= 1 and device.score >= two


def test_the_table_lists_what_the_confusion_counts_worst_first(compared):
    subjects, report = compared
    rows = list(csv.DictReader(devices.misses(subjects, report.runs).splitlines()))
    for subject, run in zip(subjects, report.runs):
        mine = [row for row in rows if row["run"] == subject.name]
        escapes = [float(r["score"]) for r in mine if r["label"] == "defect"]
        overkills = [float(r["score"]) for r in mine if r["label"] == "good"]
        counted = run.confusion
        assert (len(escapes), len(overkills)) == (counted.escaped, counted.rejected)
        assert counted.caught + counted.escaped == run.n_defect
        assert sum(vars(counted).values()) == run.n
        assert escapes == sorted(escapes) and overkills == sorted(overkills)[::-1]
        assert len(mine) == len(escapes) + len(overkills) and mine[0]["lot"]
        assert all(s < run.judged_at.threshold for s in escapes)


def test_nothing_is_missed_by_a_model_that_separates(subject):
    one = subject()
    apart = dataclasses.replace(
        one.scored, score=np.where(one.scored.label == 1, 0.9, 0.1)
    )
    one = dataclasses.replace(one, scored=apart, calibration=None)
    facts = {"split": "test", "labels": None, "notes": []}
    report = page.report_of([one], results.Settings(), **facts)
    assert devices.misses([one], report.runs).count("\n") == 1
    text = page.page(report, [one], {})
    assert "all of these are caught" in text and "all of these pass" in text
