import keras
import numpy as np
import pytest

from nexperia_tf import configs
from nexperia_tf.models import backbones
from nexperia_tf.training import model_setup

SHAPE = backbones.Shape((1, 1), groups=4, width=16, planes=(8, 16), stem=8)
CONFIG = configs.of(
    backbone="tiny", image_size=32, epochs=1, warmup_epochs=0, weight_decay=0.1
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "tiny", SHAPE)


def built(**flags):
    config = CONFIG.changed(**flags)
    return model_setup.build(config, channels=1, prior=0.2, steps=100)


def fitted(model, *, batch_size, count=8):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 1), dtype="uint8")
    labels = (np.arange(count) % 3 == 0).astype("float32")
    model.fit(images, labels, batch_size=batch_size, shuffle=False, verbose=0)
    return model


def moved(model, start):
    return {
        weight.path.split("_")[0].split("/")[0]
        for weight, before in zip(model.weights, start)
        if not np.array_equal(weight, before)
    }


def test_frozen_parts_do_not_move():
    model = built(freeze="stage1")
    start = model.get_weights()
    assert moved(fitted(model, batch_size=8), start) == {"stage2", "logit"}


def test_frozen_batch_norm_keeps_its_statistics():
    model = built(freeze_batch_norm=True)
    start = model.get_weights()
    fitted(model, batch_size=8)
    for weight, before in zip(model.weights, start):
        assert np.array_equal(weight, before) == ("_bn" in weight.path)


def test_a_part_learns_at_its_share_of_the_rate():
    # One step of AdamW moves every weight by the rate, whatever the gradient's size.
    model = built(layer_decay=0.5, weight_decay=0.0, learning_rate=1e-3)
    start = model.get_weights()
    fitted(model, batch_size=8)
    steps = dict.fromkeys(("stem", "stage1", "stage2", "logit"), 0.0)
    for weight, before in zip(model.weights, start):
        if "moving" not in weight.path:
            part = weight.path.split("_")[0].split("/")[0]
            steps[part] = max(steps[part], np.abs(weight.numpy() - before).max())
    shares = {"stem": 1 / 32, "stage1": 1 / 16, "stage2": 1 / 8, "logit": 1}
    assert steps == pytest.approx({k: 1e-3 * v for k, v in shares.items()}, rel=1e-2)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_accumulated_steps_are_one_step_of_the_whole_batch(optimizer):
    # Frozen batch norm: a batch of four has other statistics than one of eight.
    flags = {"optimizer": optimizer, "freeze_batch_norm": True, "learning_rate": 1e-3}
    whole = built(**flags)
    parts = built(**flags, accumulate=2)
    parts.set_weights(whole.get_weights())
    fitted(whole, batch_size=8)
    fitted(parts, batch_size=4)
    for one, other in zip(whole.get_weights(), parts.get_weights()):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_the_rate_falls_by_steps_where_asked():
    model = built(epochs=9, schedule="step", step_epochs=3, learning_rate=0.1)
    rate = model.optimizer._learning_rate
    found = [float(rate(step)) for step in (0, 299, 300, 899)]
    np.testing.assert_allclose(found, [0.1, 0.1, 0.01, 0.001], rtol=1e-5)


def test_gradients_are_cut_to_a_common_norm():
    flags = {"optimizer": "sgd", "weight_decay": 0.0, "learning_rate": 1.0}
    model = built(**flags, clip_norm=1e-3)
    start = model.get_weights()
    fitted(model, batch_size=8)
    change = [
        weight.numpy() - before
        for weight, before in zip(model.weights, start)
        if "moving" not in weight.path
    ]
    # Nesterov's first step is 1.9 times the gradient.
    norm = np.sqrt(sum(np.sum(part**2) for part in change))
    assert norm == pytest.approx(1.9e-3, rel=1e-2)


@pytest.fixture
def policy():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_follows_float32(policy, precision):
    flags = {"optimizer": "sgd", "learning_rate": 1e-2}
    exact = built(**flags)
    policy(precision)
    half = built(**flags)
    half.set_weights(exact.get_weights())
    for _ in range(3):
        for model in (exact, half):
            fitted(model, batch_size=8, count=16)
    for one, other in zip(exact.get_weights(), half.get_weights()):
        np.testing.assert_allclose(one, other, atol=0.02)
    assert half.get_layer("logit").compute_dtype == "float32"
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (8, 32, 32, 1), dtype="uint8")
    near = [model.predict(images, verbose=0) for model in (exact, half)]
    np.testing.assert_allclose(*near, atol=0.05)
    assert near[1].dtype == np.float32


def test_a_step_that_overflows_is_skipped_and_the_scale_halved(policy):
    policy("mixed_float16")
    model = built(weight_decay=0.0)
    optimizer = model.optimizer
    optimizer.dynamic_scale.assign(2.0**60)  # no gradient fits into 16 bits
    start = model.get_weights()
    fitted(model, batch_size=8)
    assert float(optimizer.dynamic_scale) == 2.0**59
    for weight, before in zip(model.weights, start):
        if "moving" not in weight.path:
            np.testing.assert_array_equal(weight, before)
    optimizer.dynamic_scale.assign(2.0**10)
    fitted(model, batch_size=8)
    assert float(optimizer.dynamic_scale) == 2.0**10
    assert "logit" in moved(model, start)


def test_a_step_is_traced_once_also_where_a_map_is_learned(monkeypatch):
    model = built(drawn_map=1.0)
    traced = []
    step = model.train_step
    monkeypatch.setattr(
        model, "train_step", lambda data: traced.append(1) or step(data)
    )
    images = np.zeros((8, 32, 32, 1), "uint8")
    places = model.output["map"].shape[1:]
    targets = {"logit": np.zeros(8, "f4"), "map": np.zeros((8, *places), "f4")}
    model.fit(images, targets, batch_size=4, epochs=2, verbose=0)
    assert sum(traced) == 1
