import csv
import dataclasses

import numpy as np

from nexperia_tf.evaluation.report import misses, page, results


def test_the_table_lists_what_the_confusion_counts_worst_first(compared):
    subjects, report = compared
    rows = list(csv.DictReader(misses.table(subjects, report.runs).splitlines()))
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
    assert misses.table([one], report.runs).count("\n") == 1
    text = page.page(report, [one], {})
    assert "all of these are caught" in text and "all of these pass" in text
