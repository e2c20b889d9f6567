import dataclasses

import numpy as np
import pytest

from nexperia_tf import files, predictions
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.training import finish


def scores(n=400, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    score = 1 / (1 + np.exp(-2 * random.normal(labels - 0.5)))
    return predictions.Predictions([f"d{i}" for i in range(n)], labels, score)


@pytest.fixture
def reached():
    seen = training_pictures.Overlap(400, ("d1",), ("d2",), ("base",))
    table = scores()
    good = dataclasses.replace(table, label=np.zeros(400, int))
    scored = {"validation": table, "test": scores(seed=1), "calibration": good}
    overlaps = dict.fromkeys(scored, seen)
    epochs = {"trained": 9, "planned": 20, "monitor": "auc", "best": 3, "stopped": ""}
    return finish._metrics(scored, overlaps, epochs)


def test_a_split_of_one_class_is_not_judged(reached):
    assert reached.keys() == {"schema", "epochs", "validation", "test"}


def test_only_of_validation_the_auc_is_that_of_the_best_epoch(reached):
    assert reached["validation"]["epoch"] == "best of 9 epochs"
    assert "epoch" not in reached["test"]


def test_what_is_printed_names_pictures_that_were_trained_on(
    reached, tmp_path, terminal, capsys, monkeypatch
):
    reached["baseline"] = {"skipped": "split train: 9 good and 0 defect"}
    files.write_json(tmp_path / run_folders.METRICS, reached)
    run_folders.write_calibration(
        tmp_path / run_folders.CALIBRATION, run_folders.Calibration()
    )
    monkeypatch.setattr(finish.export, "find", lambda folder: folder)
    finish.print_summary(tmp_path)
    out = capsys.readouterr().out
    assert "validation: AUC of the best of 9 epochs" in out
    assert "warning: 2 of 400 test pictures" in out
    assert "baseline: skipped, split train: 9 good and 0 defect" in out
    assert f"{reached['test']['auc']['value']:.4f}" in out
