import dataclasses

import numpy as np
import pytest

from nexperia_tf.evaluation.report import comparisons, judging, page, results, terminal
from nexperia_tf.evaluation.subjects import Baseline


def test_several_runs_have_the_same_keys_each_and_every_pair_is_judged(compared):
    _, report = compared
    names = [run.name for run in report.runs]
    assert names == ["a", "b", "bad"]
    written = report.as_json()
    assert written["auc"] == written["runs"][0]["auc"]
    assert len({frozenset(run) for run in written["runs"]}) == 1
    assert written["runs"][0].keys() < written.keys()
    found = {(p.first, p.second): p.verdict for p in report.comparisons}
    assert found == {
        ("a", "b"): "not distinguishable",
        ("a", "bad"): "distinguishable",
        ("b", "bad"): "distinguishable",
    }
    sentences = comparisons.sentences(report.comparisons)
    assert sentences[0].startswith("a and b are not distinguishable.")
    assert "devices like these would show" in sentences[0]
    assert sentences[1].startswith("a ranks better than bad.")


def _beside(subject, simple):
    """What is said of a run beside the scores of simple numbers."""
    known = Baseline(simple, model="trees", advice="--image-size 512")
    return judging.baseline(dataclasses.replace(subject, baseline=known), 0.95)


@pytest.mark.parametrize("lots", [False, True])
def test_a_run_beats_only_a_baseline_that_is_worse(subject, table, lots):
    ours = subject("run", lots=lots)
    worse, alike = (table(noise=n, seed=3, lots=lots) for n in (9, 1.01))
    beaten = _beside(ours, worse)
    assert beaten.beaten and beaten.difference.difference.value > 0
    assert beaten.said.startswith("run beats the baseline of simple numbers (AUC 0.9")
    assert "--image-size" not in beaten.said
    equal = _beside(ours, alike)
    assert not equal.beaten
    assert "does not beat the baseline of simple numbers by a paired test" in equal.said
    assert equal.said.endswith("; below 0.01 counts); try --image-size 512.")
    other = _beside(dataclasses.replace(ours, scored=worse), ours.scored)
    assert not other.beaten and "run is worse than the baseline" in other.said


def test_a_single_defect_gives_no_verdict_beside_the_baseline(subject, table):
    ours = subject("run", n_defect=1, n_good=40, lots=False)
    found = _beside(ours, table(n_defect=1, n_good=40, seed=5, lots=False))
    assert found.difference is None and not found.beaten
    assert found.said.startswith("too few devices to show that run beats")


def test_few_lots_give_no_verdict_beside_the_baseline(subject, table):
    ours = subject("run", lots=False)
    lots = {"lot": np.array([f"L{i % 3}" for i in range(900)], object)}
    scored, simple = (
        dataclasses.replace(t, columns=lots)
        for t in (ours.scored, table(noise=9, seed=3, lots=False))
    )
    found = _beside(dataclasses.replace(ours, scored=scored), simple)
    assert not found.beaten and found.said.startswith("too few lots to show that run")


def test_the_baseline_stands_in_the_terminal_the_page_and_the_file(subject, table):
    simple = Baseline(table(noise=9, seed=3), model="trees", alone={"darkness": 0.7})
    ours = dataclasses.replace(subject("run"), baseline=simple)
    facts = {"split": "test", "labels": None, "notes": []}
    report = page.report_of([ours], results.Settings(), **facts)
    said = report.runs[0].baseline.said
    assert f"  {said}" in list(terminal.lines(report, {}))
    html = page.page(report, [ours], {})
    assert said in html and "AUC of darkness alone" in html
    written = report.as_json()["baseline"]
    assert written["alone"] == {"darkness": 0.7}
    assert written["auc"]["value"] == report.runs[0].baseline.auc.value
    without = page.report_of([subject("run")], results.Settings(), **facts)
    assert "baseline" not in without.as_json()
