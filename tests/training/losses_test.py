import keras
import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.training import losses

LOGITS = np.linspace(-8, 8, 33, dtype="float32")


def reference(labels, logits, alpha, gamma):
    """Lin et al., 2017, equation 5, word for word, in float64."""
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    p_t = np.where(labels == 1, p, 1 - p)
    weight = 1 if alpha is None else np.where(labels == 1, alpha, 1 - alpha)
    return -weight * (1 - p_t) ** gamma * np.log(p_t)


def gradient(labels, logits, **knobs):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_sum(losses.focal_loss(labels, logits, **knobs))
    return tape.gradient(loss, logits).numpy()


@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.8])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
def test_focal_loss_is_the_papers_formula(label, alpha, gamma):
    labels = np.full_like(LOGITS, label)
    loss = losses.focal_loss(labels, LOGITS, alpha=alpha, gamma=gamma)
    expected = reference(labels, LOGITS, alpha, gamma)
    np.testing.assert_allclose(loss, expected, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradient_is_the_slope_of_the_loss(gamma):
    labels = np.tile([0.0, 1.0], 17)[:33].astype("float32")
    step = 1e-6
    up = reference(labels, LOGITS.astype("float64") + step, 0.3, gamma)
    down = reference(labels, LOGITS.astype("float64") - step, 0.3, gamma)
    slope = (up - down) / (2 * step)
    found = gradient(labels, LOGITS, alpha=0.3, gamma=gamma)
    np.testing.assert_allclose(found, slope, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_saturated_logits_keep_value_and_gradient(gamma):
    labels = np.array([1, 0, 1, 0], "float32")
    logits = np.array([-100, 100, 100, -100], "float32")
    loss = losses.focal_loss(labels, logits, gamma=gamma).numpy()
    np.testing.assert_allclose(loss, [100, 100, 0, 0], atol=1e-6)
    slope = gradient(labels, logits, gamma=gamma)
    np.testing.assert_allclose(slope, [-1, 1, 0, 0], atol=1e-6)


def test_gamma_zero_is_binary_cross_entropy():
    labels = (np.arange(33) % 3 == 0).astype("float32")
    expected = tf.nn.sigmoid_cross_entropy_with_logits(labels, LOGITS)
    found = losses.focal_loss(labels, LOGITS, gamma=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_torchvisions_value_for_a_known_batch():
    # torchvision.ops.sigmoid_focal_loss([-2, -.5, 0, 1.5, 4], [1, 0, 1, 0, 1],
    # alpha=.25, gamma=2), torchvision 0.29.2
    logits = np.array([-2, -0.5, 0, 1.5, 4], "float32")
    labels = np.array([1, 0, 1, 0, 1], "float32")
    found = losses.focal_loss(labels, logits, alpha=0.25, gamma=2)
    expected = [0.41252, 0.050680, 0.043322, 0.85295, 1.4679e-06]
    np.testing.assert_allclose(found, expected, rtol=3e-5)


def test_mixed_labels_cost_their_share_of_both():
    share = losses.focal_loss([0.3], [1.7], alpha=0.25)
    defect = losses.focal_loss([1.0], [1.7], alpha=0.25)
    good = losses.focal_loss([0.0], [1.7], alpha=0.25)
    np.testing.assert_allclose(share, 0.3 * defect + 0.7 * good, rtol=1e-6)


def test_loss_object_averages_devices_whatever_the_shape():
    labels = np.array([1, 0, 0], "float32")
    logits = np.array([[0.5], [-1.0], [2.0]], "float32")
    each = losses.focal_loss(labels, logits[:, 0], alpha=0.25)
    loss = losses.FocalLoss(alpha=0.25)
    np.testing.assert_allclose(loss(labels, logits), np.mean(each), rtol=1e-6)
    np.testing.assert_allclose(loss(labels[:, None], logits), np.mean(each), rtol=1e-6)


def test_loss_object_survives_serialisation():
    loss = losses.FocalLoss(alpha=0.25, gamma=1.5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (again.alpha, again.gamma) == (0.25, 1.5)


def test_bce_is_focal_loss_without_focus():
    labels, logits = np.array([1.0, 0.0]), np.array([[0.3], [2.0]])
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(
        labels[:, None], logits
    )
    np.testing.assert_allclose(losses.named("bce")(labels, logits), expected, rtol=1e-6)


@pytest.mark.parametrize("knobs", [{"alpha": 0.0}, {"alpha": 1.5}, {"gamma": -1.0}])
def test_impossible_weights_are_refused(knobs):
    with pytest.raises(ValueError, match="Received"):
        losses.FocalLoss(**knobs)


def test_unknown_loss_names_the_choices():
    with pytest.raises(errors.BadInput, match="--loss hinge: .*focal or bce"):
        losses.named("hinge")


def places(known_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Targets of a map, below 0 where nobody knows, and logits."""
    random = np.random.default_rng(3)
    targets = (random.random((4, 5, 3, 1)) < 0.3).astype("float32")
    targets[random.random(targets.shape) >= known_share] = -1
    return targets, random.normal(0, 4, targets.shape).astype("float32")


@pytest.mark.parametrize("known_share", [0.2, 0.7, 1.0])
def test_a_map_costs_the_mean_cross_entropy_of_its_known_places(known_share):
    targets, logits = places(known_share)
    known = targets >= 0
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    right = np.where(targets == 1, p, 1 - p)[known]
    found = losses.KnownPlaces()(targets, logits)
    assert float(found) == pytest.approx(-np.log(right).mean(), rel=1e-5)


def test_unknown_places_of_a_map_teach_nothing():
    targets, logits = places(0.5)
    shown = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(shown)
        loss = losses.KnownPlaces()(targets, shown)
    slope = tape.gradient(loss, shown).numpy()
    known = targets >= 0
    assert not slope[~known].any()
    p = 1 / (1 + np.exp(-logits))
    expected = (p - targets)[known] / known.sum()
    np.testing.assert_allclose(slope[known], expected, rtol=1e-4, atol=1e-7)


def test_a_map_of_which_nothing_is_known_costs_nothing():
    targets, logits = places(0.0)
    shown = tf.constant(100 * logits)
    with tf.GradientTape() as tape:
        tape.watch(shown)
        loss = losses.KnownPlaces()(targets, shown)
    assert float(loss) == 0
    assert not tape.gradient(loss, shown).numpy().any()


@pytest.mark.parametrize("name", ["focal", "bce"])
def test_a_picture_without_a_label_does_not_count(name):
    labels, logits = np.array([1.0, -1.0, 0.0]), np.array([[0.3], [9.0], [-1.2]])
    loss = losses.named(name)
    known = loss(labels[[0, 2]], logits[[0, 2]])
    np.testing.assert_allclose(loss(labels, logits), known, rtol=1e-6)
    assert np.isfinite(loss(-np.ones(3), logits))
