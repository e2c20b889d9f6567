import dataclasses

from nexperia_tf.evaluation.report import page, results, terminal


def test_each_run_has_its_lines_and_each_pair_a_verdict(compared):
    _, report = compared
    said = "\n".join(terminal.lines(report, {"a": "runs/a"}))
    for run in report.runs:
        assert f"{run.name}: AUC {run.auc.value:.4f}" in said
    assert said.count("Can I ship this?") == 3
    assert "What is uncertain?" not in said  # stands on the page
    assert "a and b are not distinguishable." in said


def test_a_threshold_without_a_guarantee_is_refused_with_its_reason(subject):
    facts = {"split": "test", "labels": None, "notes": []}
    strict = results.Settings(max_escape=0.0001)
    report = page.report_of([subject()], strict, **facts)
    assert "cannot be certified" in terminal.refusal(report)
    loose = dataclasses.replace(strict, max_escape=0.05)
    assert terminal.refusal(page.report_of([subject()], loose, **facts)) is None
