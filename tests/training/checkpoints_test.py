import errno
import itertools
import os

import keras
import numpy as np
import pytest

from nexperia_tf import errors, files
from nexperia_tf.training import checkpoints

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("float32")


def _model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),  # its seed moves with every step
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.AdamW(0.01), "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def _fit(model):
    model.fit(X, Y, batch_size=16, shuffle=False, verbose=0)


def _save(folder, model, epoch, **more):
    folder.mkdir(exist_ok=True)
    checkpoints.save(
        folder,
        epoch=epoch,
        model=model,
        optimizer=model.optimizer,
        state={"best_epoch": epoch},
        **more,
    )


def _names(folder):
    return [path.name for path in checkpoints.saved(folder)]


def _damage(checkpoint):
    weights = next(checkpoint.glob("weights.data*"))
    content = bytearray(weights.read_bytes())
    content[100] ^= 1
    weights.write_bytes(content)


def _restore(folder):
    model = _model()
    restored = checkpoints.restore(folder, model=model, optimizer=model.optimizer)
    return model, *restored


def test_two_epochs_and_two_after_a_restore_are_four(tmp_path):
    model = _model()
    for epoch in range(2):
        _fit(model)
        _save(tmp_path / "c", model, epoch + 1)
    resumed, state, warnings = _restore(tmp_path / "c")
    assert state == {"epoch": 2, "step": 0, "best_epoch": 2} and not warnings
    for _ in range(2):
        _fit(model)
        _fit(resumed)
    for straight, again in zip(model.get_weights(), resumed.get_weights()):
        np.testing.assert_array_equal(straight, again)


def test_loss_scale_and_gathered_gradients_are_saved(tmp_path):
    def built():
        model = _model()
        inner = keras.optimizers.AdamW(0.01, gradient_accumulation_steps=3)
        optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0)
        model.compile(optimizer, "mse", jit_compile=False)
        optimizer.build(model.trainable_variables)
        return model

    model, again = built(), built()
    _fit(model)  # four steps: an update, and one step towards the next
    model.optimizer.dynamic_scale.assign(32.0)
    _save(tmp_path / "c", model, 1)
    checkpoints.restore(tmp_path / "c", model=again, optimizer=again.optimizer)
    saved, loaded = model.optimizer.variables, again.optimizer.variables
    assert "dynamic_scale" in {variable.name for variable in saved}
    assert any("accumulator" in variable.name for variable in saved)
    for one, other in zip(saved, loaded):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


def test_only_the_last_are_kept(tmp_path):
    model = _model()
    for epoch in range(1, 5):
        _save(tmp_path / "c", model, epoch)
    assert _names(tmp_path / "c") == ["epoch-0003", "epoch-0004"]


def test_the_best_is_kept_beside_the_last_that_were_asked_for(tmp_path):
    model = _model()
    for epoch in range(1, 7):
        _save(tmp_path / "c", model, epoch, keep=3, best_epoch=2)
    kept = ["epoch-0002", "epoch-0004", "epoch-0005", "epoch-0006"]
    assert _names(tmp_path / "c") == kept


def test_one_within_an_epoch_lies_between_its_ends(tmp_path):
    model = _model()
    for epoch, step in ((1, 0), (1, 50), (1, 1000), (2, 0)):
        _save(tmp_path / "c", model, epoch, step=step, keep=9)
    *_, within, end = _names(tmp_path / "c")
    assert (within, end) == ("epoch-0001-step-001000", "epoch-0002")
    _damage(tmp_path / "c" / end)
    _, state, warnings = _restore(tmp_path / "c")
    assert (state["epoch"], state["step"]) == (1, 1000)
    assert "epoch-0002 is left aside" in warnings[0]


def test_damaged_ones_make_way_for_what_is_trained_again(tmp_path):
    model = _model()
    for epoch in (1, 2):
        _save(tmp_path / "c", model, epoch)
    _damage(tmp_path / "c" / "epoch-0002")
    _save(tmp_path / "c", model, 1, step=10)  # as a resumed run does
    assert _names(tmp_path / "c") == ["epoch-0001", "epoch-0001-step-000010"]


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path):
    model = _model()
    _save(tmp_path / "c", model, 1)
    _save(tmp_path / "c", model, 2)
    _damage(tmp_path / "c" / "epoch-0002")
    _, state, warnings = _restore(tmp_path / "c")
    assert state["epoch"] == 1
    assert len(warnings) == 1 and "epoch-0002 is left aside" in warnings[0]


def test_when_every_checkpoint_is_damaged_nothing_is_loaded(tmp_path):
    _save(tmp_path / "c", _model(), 1)
    (tmp_path / "c" / "epoch-0001" / "state.json").write_text("{}")
    with pytest.raises(errors.BadInput, match="no checkpoint can be used"):
        _restore(tmp_path / "c")


def test_without_a_checkpoint_there_is_no_state(tmp_path):
    _, state, warnings = _restore(tmp_path / "none")
    assert state is None and not warnings


def test_a_disk_that_is_full_at_any_write_leaves_what_was_there(tmp_path, monkeypatch):
    model = _model()
    _save(tmp_path / "c", model, 1)
    sync = os.fsync
    for allowed in itertools.count():
        left = iter(range(allowed))

        def full(handle, left=left):
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(handle)

        monkeypatch.setattr(os, "fsync", full)
        try:
            _save(tmp_path / "c", model, 2)
            break
        except OSError as error:
            assert error.filename and str(tmp_path / "c") in error.filename
            files.verify_manifest(tmp_path / "c" / "epoch-0001")
            *_, newest = checkpoints.saved(tmp_path / "c")
            files.verify_manifest(newest)
            assert not list((tmp_path / "c").glob(".*"))
    assert allowed > 6  # weights, their index, state, manifest and folders
