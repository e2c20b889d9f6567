import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.training import history, monitor


def watching(image_ids):
    return monitor.Monitor(
        "unused",
        (None, np.array([0, 1])),
        stopping=history.Stopping(epochs=3, patience=3),
        steps=monitor.Steps(9, batch_size=8, image_ids=image_ids),
    )


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_lost_loss_names_step_and_pictures(loss):
    watched = watching(lambda epoch, step: [f"lot{epoch}/{step}", "lot9/b"])
    watched.on_epoch_begin(2)
    for batch in range(6):
        watched.on_train_batch_end(batch, {"loss": 0.3})
    with pytest.raises(errors.BadInput, match="step 7 in epoch 3 .*lot2/6, lot9/b"):
        watched.on_train_batch_end(6, {"loss": loss})


def test_the_pace_is_that_of_all_steps_of_the_epoch(monkeypatch):
    now = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr(monitor.time, "monotonic", lambda: next(now))
    watched = watching(lambda epoch, step: [])
    watched.on_epoch_begin(0)
    watched.on_train_batch_end(0, {"loss": 0.3})
    assert watched.images_per_s == 4.0
    watched.on_train_batch_end(1, {"loss": 0.3})
    assert (watched.step, watched.images_per_s) == (2, 4.0)
