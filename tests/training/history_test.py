import dataclasses
import math

import numpy as np
import pytest

from nexperia_tf.statistics import metrics
from nexperia_tf.training import history


def reached(*aucs, seconds=0.0, log_losses=()):
    """The history of epochs that reached these AUCs."""
    past = history.History(seconds=seconds)
    for epoch, auc in enumerate(aucs, 1):
        log_loss = log_losses[epoch - 1] if log_losses else 0.5
        row = {"epoch": epoch, "val_auc": auc, "val_log_loss": log_loss}
        past = past.extended(row, monitor="auc")
    return past


def stopping(*, epochs=9, patience=3, minutes=0.0):
    return history.Stopping(epochs=epochs, patience=patience, minutes=minutes)


def test_the_best_epoch_is_that_with_the_highest_figure():
    assert reached(0.7, 0.9, 0.8).best_epoch == 2
    assert reached(0.7, 0.9, 0.8).best["val_auc"] == 0.9


def test_of_equal_figures_the_lower_log_loss_is_best_and_then_the_earlier_epoch():
    assert reached(1.0, 1.0, 1.0, log_losses=(0.3, 0.1, 0.2)).best_epoch == 2
    assert reached(1.0, 1.0, 1.0, log_losses=(0.3, 0.1, 0.1)).best_epoch == 2


def test_the_last_epoch_is_kept_where_asked_for():
    past = history.History()
    for epoch in (1, 2, 3):
        row = {"epoch": epoch, "val_auc": 1 / epoch, "val_log_loss": epoch}
        past = past.extended(row, monitor="last")
    assert past.best_epoch == 3


@pytest.mark.parametrize("n_defect,figure", [(999, "auc"), (1000, "partial_auc")])
def test_enough_defects_are_judged_at_the_business_end(n_defect, figure):
    assert history.decisive("auto", n_defect) == figure
    assert history.decisive("auc", n_defect) == "auc"
    row = {"val_auc": 0.1, "val_partial_auc": 0.2, "val_accuracy": 0.4}
    row["val_log_loss"] = 0.3
    assert history.rank(row, figure) == (row[f"val_{figure}"], -0.3)
    assert history.rank(row, "accuracy") == (0.4, -0.3)


def test_it_waits_as_many_epochs_as_asked():
    two = stopping(patience=2)
    assert not two.reason(history.History())
    assert not two.reason(reached(0.8, 0.9, 0.7))
    stopped = two.reason(reached(0.8, 0.9, 0.7, 0.7))
    assert stopped == "nothing improved for 2 epochs (--patience 2)"


def test_no_epoch_is_begun_that_would_not_fit():
    five = stopping(minutes=5)
    assert not five.reason(reached(0.5, 0.6, seconds=200))
    late = five.reason(reached(0.5, 0.6, seconds=201))
    assert late == "one more would not fit (--time-budget 5)"
    assert not stopping().reason(reached(0.5, 0.6, seconds=1e9))


def test_the_stage_before_has_taken_some_of_the_minutes(tmp_path):
    past = reached(0.5, 0.6, seconds=100)
    rows = ({"epoch": 1, "seconds": 60.5}, {"epoch": 2, "seconds": 40.25})
    history.write(tmp_path / "history.csv", history.History(rows))
    assert history.seconds_in(tmp_path / "history.csv") == 100.75
    assert history.seconds_in(tmp_path / "none.csv") == 0
    five = dataclasses.replace(stopping(minutes=5), before=150)
    assert not five.reason(past)
    assert dataclasses.replace(five, before=151).reason(past)


def test_metrics_json_says_why_no_epoch_was_begun():
    past = reached(0.8, 0.9, 0.7, 0.7)
    assert history.summary(past, stopping(patience=2), monitor="auc") == {
        "planned": 9,
        "trained": 4,
        "best": 2,
        "monitor": "auc",
        "stopped": "nothing improved for 2 epochs (--patience 2)",
    }
    # Patience is not why a run ends that has trained all its epochs.
    ended = history.summary(past, stopping(epochs=4, patience=2), monitor="auc")
    assert ended["stopped"] == ""


def test_the_time_left_is_that_of_the_epochs_that_are_left():
    assert reached(0.5, 0.6, seconds=100).seconds_left(10) == 400
    assert history.History().seconds_left(10) == 0


def test_validation_figures_are_those_of_the_metrics():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [300, 200])
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0.01, 0.99)
    figures = history.validation_figures(labels, scores)
    assert figures["val_auc"] == metrics.auc(labels, scores)
    assert figures["val_accuracy"] == np.mean((scores >= 0.5) == labels)
    for point in metrics.fpr_at_tpr(labels, scores, (0.991, 0.995)):
        assert figures[f"val_fpr_at_tpr_{point.tpr}"] == point.fpr
    assert all(math.isfinite(value) for value in figures.values())


def test_the_table_has_a_line_for_each_epoch(tmp_path):
    history.write(tmp_path / "history.csv", reached(0.5, 0.75))
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        "epoch,val_auc,val_log_loss",
        "1,0.5,0.5",
        "2,0.75,0.5",
    ]


def line(*aucs, epochs=20, monitor="auc", **figures):
    row = {"epoch": len(aucs), "loss": 0.0412, "val_auc": aucs[-1]}
    row |= {"val_fpr_at_tpr_0.991": 0.042, "val_fpr_at_tpr_0.995": 1.0, **figures}
    past = reached(*aucs, seconds=60.0)
    past = history.History((*past.rows[:-1], row), past.best_epoch, past.seconds)
    return history.epoch_line(past, epochs=epochs, images_per_s=412.3, monitor=monitor)


def test_only_the_best_epoch_is_marked():
    assert line(0.7, 0.9).endswith("9 min left  * best")
    assert line(0.9, 0.7).endswith("9 min left")
    assert not line(0.7, 0.9, monitor="last").endswith("best")


def test_the_last_epoch_has_no_time_left():
    assert "left" not in line(0.7, 0.9, epochs=2)


def test_figures_stand_one_below_the_other():
    assert line(0.9).index("loss") == line(0.9, 1.0).index("loss")
    assert "AUC 1.0000" in line(1.0) and "loss 12.5000" in line(1.0, loss=12.5)
    assert "overkill 4.2 % at TPR .991, 100.0 % at .995" in line(1.0)
