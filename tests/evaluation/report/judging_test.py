import numpy as np
import pytest

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import judging, results
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.statistics import metrics


def test_figures_are_those_of_the_scores(report, table):
    scored = table()
    assert report.runs[0].auc.value == metrics.auc(scored.label, scored.score)
    point = report.runs[0].operating_point
    assert point.guaranteed
    assert point.threshold in table(seed=9, n_defect=700, n_good=700).score
    assert not point.in_sample
    escapes = np.sum(scored.score[:300] < point.threshold)
    assert point.escape_rate.count == escapes
    assert point.escape_rate.value == escapes / 300
    assert point.overkill_rate.of == 600
    assert report.runs[0].partial_auc.value == metrics.partial_auc(
        scored.label, scored.score
    )


def test_targets_that_300_defects_cannot_tell_apart_say_so(report):
    same = {row.tpr: row.same_as for row in report.runs[0].fpr_at_tpr}
    # 300 defects: 298, 298, 299, 300 and 300 have to be caught.
    assert same == {0.991: None, 0.993: 0.991, 0.995: None, 0.997: None, 1.0: 0.997}


def test_economics_follow_from_the_rates(subject):
    settings = results.Settings(prevalence=0.002)
    found = judging.judge(subject(), settings)
    (case,) = found.economics
    point = found.operating_point
    assert case.prevalence == 0.002
    overkill = point.overkill_rate.value
    assert case.yield_loss.value == pytest.approx(overkill * 0.998)
    escaped = 0.002 * point.certified_escape
    assert case.dppm_certified == pytest.approx(1e6 * escaped / (0.998 + escaped))


def test_groups_that_repeat_the_lots_are_sliced_once(table):
    scored = table(60, 60)
    lot = scored.columns["lot"].copy()
    lot[:3] = ""  # devices without a lot are groups of their own
    group = np.where(lot == "", scored.image_id, lot)
    alike = predictions.Predictions(
        image_id=scored.image_id,
        label=scored.label,
        score=scored.score,
        columns={"lot": lot, "group": group},
    )
    found = judging.judge(Subject(name="a", scored=alike), results.Settings())
    assert {part.by for part in found.slices} == {"lot"}
    assert found.auc.groups == len(set(group))
