import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.training import monitor

LABELS = np.array([0, 1])


def follow(labels=LABELS, **knobs):
    knobs = {
        "patience": 3,
        "image_ids": lambda epoch, step: [f"{epoch}-{step}"],
    } | knobs
    return monitor.Follow("unused", (None, labels), **knobs)


def after(follow, aucs, seconds=0.0):
    """As after epochs that reached these AUCs."""
    follow._history = [{"val_auc": auc, "val_log_loss": 0.5} for auc in aucs]
    follow._best_epoch = int(np.argmax(aucs)) + 1
    follow._spent = seconds
    return follow


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_lost_loss_names_step_and_pictures(loss):
    watching = follow(image_ids=lambda epoch, step: [f"lot{epoch}/{step}", "lot9/b"])
    watching.on_epoch_begin(2)
    watching.on_train_batch_end(6, {"loss": 0.3})
    with pytest.raises(errors.BadInput, match="step 7 in epoch 3 .*lot2/6, lot9/b"):
        watching.on_train_batch_end(6, {"loss": loss})


def test_it_waits_as_many_epochs_as_told():
    assert not follow().stopped
    assert not after(follow(patience=2), [0.8, 0.9, 0.7]).stopped
    assert after(follow(patience=2), [0.8, 0.9, 0.7, 0.7]).stopped


def test_it_says_why_no_epoch_is_begun():
    waited = after(follow(patience=2, epochs=9), [0.8, 0.9, 0.7, 0.7]).outcome
    assert waited == {
        "planned": 9,
        "trained": 4,
        "best": 2,
        "monitor": "auc",
        "stopped": "nothing improved for 2 epochs (--patience 2)",
    }
    late = after(follow(minutes=5, epochs=9), [0.5, 0.6], seconds=201).outcome
    assert late["stopped"] == "one more would not fit (--time-budget 5)"
    # Neither is why a run ends that has trained all its epochs.
    assert after(follow(patience=1, epochs=2), [0.8, 0.7]).outcome["stopped"] == ""


def test_no_epoch_is_begun_that_would_not_fit():
    assert not after(follow(minutes=5), [0.5, 0.6], seconds=200).stopped
    assert after(follow(minutes=5), [0.5, 0.6], seconds=201).stopped
    assert not after(follow(minutes=0), [0.5, 0.6], seconds=1e9).stopped


@pytest.mark.parametrize("n_defect,figure", [(999, "auc"), (1000, "partial_auc")])
def test_enough_defects_are_judged_at_the_business_end(n_defect, figure):
    row = {"val_auc": 0.1, "val_partial_auc": 0.2, "val_log_loss": 0.3}
    row["val_accuracy"] = 0.4
    labels = np.repeat([0, 1], [10, n_defect])
    assert follow(labels)._rank(row) == (row[f"val_{figure}"], -0.3)
    assert follow(labels, monitor="auc")._rank(row) == (0.1, -0.3)
    assert follow(labels, monitor="accuracy")._rank(row) == (0.4, -0.3)


def test_the_last_epoch_is_kept_where_told():
    watching = follow(monitor="last")
    rows = [{"epoch": n, "val_auc": 1 / n, "val_log_loss": n} for n in (1, 2, 3)]
    assert max(rows, key=watching._rank)["epoch"] == 3
