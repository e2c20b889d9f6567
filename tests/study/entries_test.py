"""Rows of the study's tables: single, combined, voted, selected."""

import numpy as np
import pytest

from nexperia_tf import files, predictions
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import combination, ensemble_calibration
from nexperia_tf.statistics import calibration, metrics
from nexperia_tf.study import entries

DEVICES = 400


def table(seed, apart, *, split):
    random = np.random.default_rng((seed, len(split)))
    label = np.arange(DEVICES) % 4 == 0
    logits = random.normal(-1, 1, DEVICES) + apart * label
    names = [f"{split}{i}" for i in range(DEVICES)]
    return predictions.Predictions(names, label, run_folders.probability(logits))


def entry(seed, *, apart=2.0):
    scored, chosen = (table(seed, apart, split=s) for s in ("test", "validation"))
    subject = Subject(f"network {seed}", scored, calibration=chosen)
    return entries.Entry(f"n{seed}", subject, (f"run{seed}",))


@pytest.fixture(scope="module")
def three():
    return [entry(seed) for seed in range(3)]


def scores(row):
    return row.subject.scored.score


def test_a_mean_of_scores_is_that_mean_and_asks_all_networks(three):
    mean = entries.mean("mean of three", three)
    expected = np.mean([scores(each) for each in three], axis=0)
    np.testing.assert_allclose(scores(mean), expected, atol=1e-6)
    assert mean.key == "mean-of-scores:n0+n1+n2" == entries.mean("other", three).key
    assert (mean.name, mean.runs) == ("mean of three", ("run0", "run1", "run2"))
    table = mean.subject.calibration
    assert mean.validation_auc == metrics.auc(table.label, table.score)


def test_a_mean_of_logits_is_calibrated_on_validation(three):
    mean = entries.mean("logits", three, "logits")
    logits = [calibration.logits(scores(each)) for each in three]
    raw = run_folders.probability(np.mean(logits, axis=0))
    assert metrics.auc(mean.subject.scored.label, raw) == pytest.approx(
        metrics.auc(mean.subject.scored.label, scores(mean)), abs=1e-6
    )
    validation = [each.subject.calibration for each in three]
    fitted = ensemble_calibration.calibrate(
        entries.even(three, "logits"),
        predictions.Predictions(
            validation[0].image_id,
            validation[0].label,
            run_folders.probability(
                np.mean([calibration.logits(t.score) for t in validation], axis=0)
            ),
        ),
    )
    np.testing.assert_allclose(
        scores(mean), fitted.scores(np.mean(logits, axis=0)), atol=1e-5
    )


def test_each_voter_calls_as_many_defect_as_there_are_on_validation(three):
    vote = entries.voted("vote", "a vote", three)
    assert {*np.round(3 * scores(vote)).astype(int)} <= {0, 1, 2, 3}
    called = 3 * vote.subject.calibration.score.sum()
    defects = 3 * vote.subject.calibration.label.sum()
    assert called == pytest.approx(defects, abs=3)


def test_selection_keeps_the_weights_that_it_answers_with(three, tmp_path):
    worthless = entry(7, apart=-2.0)
    library = [*three, worthless]
    fitted_on = [each.subject.calibration for each in library]
    row = entries.selected("greedy", "greedy", library, fitted_on, tmp_path)
    kept = files.read_json(tmp_path / entries.WEIGHTS / "greedy.json")
    assert kept["of"] == "scores" and "run7" not in kept["weights"]
    assert sum(kept["weights"].values()) == pytest.approx(1)
    assert row.runs == tuple(kept["weights"])
    of_run = {each.runs[0]: scores(each) for each in library}
    expected = sum(weight * of_run[run] for run, weight in kept["weights"].items())
    np.testing.assert_allclose(scores(row), expected, atol=1e-6)
    # The command takes the same file.
    again = combination.read_weights(
        tmp_path / entries.WEIGHTS / "greedy.json", list(row.runs)
    )
    np.testing.assert_allclose(again.weights, list(kept["weights"].values()))


def test_stacking_never_subtracts_a_member(three, tmp_path):
    fitted_on = [each.subject.calibration for each in three]
    row = entries.stacked("stack", "stack", three, fitted_on, tmp_path)
    kept = files.read_json(tmp_path / entries.WEIGHTS / "stack.json")
    assert kept["of"] == "logits" and min(kept["weights"].values()) > 0
    single = max(metrics.auc(e.subject.scored.label, scores(e)) for e in three)
    assert metrics.auc(row.subject.scored.label, scores(row)) > single
