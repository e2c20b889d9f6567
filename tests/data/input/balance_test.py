import numpy as np
import pytest

from nexperia_tf.data.input import balance, order

LABELS = np.array([1.0] * 20 + [0.0] * 80)


@pytest.mark.parametrize(
    ("kind", "prior"), [("none", 0.2 + 0.8 * 0.25), ("loss", 0.5), ("sampling", 0.5)]
)
def test_balanced_classes_are_learned_as_equally_likely(kind, prior):
    counted = balance.Balance.of(LABELS, kind=kind, drawn=0.25)
    assert counted.prior == pytest.approx(prior)
    assert counted.share == pytest.approx(0.4)  # 20 given defects and 20 drawn ones
    assert counted.drawn_part == pytest.approx(0.5)
    assert counted.by_loss == (kind == "loss")
    assert counted.by_sampling == (kind == "sampling")


def test_given_defects_do_not_count_where_they_are_left_out():
    counted = balance.Balance.of(LABELS, drawn=0.25, drawn_only=True)
    assert counted.devices == 80
    assert counted.share == pytest.approx(0.25)
    assert counted.drawn_part == 1


def test_weighed_devices_count_as_much_in_both_classes_and_1_on_average():
    weights = balance.Balance.of(LABELS, kind="loss").weights(LABELS)
    assert weights[LABELS == 1].sum() == pytest.approx(weights[LABELS == 0].sum())
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["none", "loss", "sampling"])
def test_devices_that_are_left_out_do_not_count(kind):
    without = np.where(np.arange(100) < 15, order.LEFT_OUT, LABELS)
    counted = balance.Balance.of(without, kind=kind, drawn=0.25)
    assert counted == balance.Balance.of(LABELS[15:], kind=kind, drawn=0.25)
    assert (counted.good, counted.defects, counted.devices) == (80, 5, 85)
    assert counted.share == pytest.approx((5 + 20) / 85)
