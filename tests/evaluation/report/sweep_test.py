import numpy as np

from nexperia_tf.evaluation.report import judging, sweep


def test_the_slider_starts_at_the_threshold_in_force_and_spans_all_scores(table):
    scored = table(40, 60)
    found = sweep.of(scored, in_force=0.123, confidence=0.95)
    tried = [stop.threshold for stop in found.stops]
    assert tried == sorted({*scored.score.tolist(), 0.123})
    assert tried[found.start] == 0.123


def test_each_stop_says_what_the_report_says_of_that_threshold(table):
    scored = table(40, 60)
    found = sweep.of(scored, in_force=0.5, confidence=0.9)
    here = found.stops[found.start]
    rates = judging.rates(scored, 0.5, 0.9)
    missed, rejected = rates["escape_rate"].count, rates["overkill_rate"].count
    assert here.escape.startswith(f"{missed} of 40 defects escape: ")
    assert here.overkill.startswith(f"{rejected} of 60 good devices are rejected: ")
    first, last = found.stops[0], found.stops[-1]
    assert first.escape.startswith("0 of 40") and last.overkill.startswith("0 of 60")


def test_many_devices_get_few_stops_of_both_classes_with_the_ends(table):
    scored = table(700, 5000)
    found = sweep.of(scored, in_force=0.5, confidence=0.95)
    tried = np.array([stop.threshold for stop in found.stops])
    assert len(tried) <= sweep.MOST + 1
    assert {scored.score.min(), scored.score.max()} <= set(tried)
    defects = scored.score[scored.label == 1]
    assert np.isin(tried, defects).sum() >= sweep.MOST // 2
    assert defects.min() in tried  # the highest threshold without an escape
