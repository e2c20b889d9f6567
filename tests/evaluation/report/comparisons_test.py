from nexperia_tf.evaluation.report import comparisons


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
