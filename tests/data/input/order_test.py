import numpy as np
import pytest

from nexperia_tf.data.input import balance, order

LABELS = np.array([i % 4 == 0 for i in range(46)], int)  # 34 good and 12 defects
EPOCHS, STEPS, BATCH = 3, 5, 8  # six are left over in each epoch
WAYS = [
    {},
    {"kind": "sampling"},
    {"drawn": 0.5, "kind": "sampling"},
    {"drawn": 0.5, "drawn_only": True},
    {"drawn": 0.5, "drawn_only": True, "kind": "sampling"},
]


def test_every_epoch_shows_other_devices_in_another_order(ordered):
    dealt = [ordered(LABELS).epoch(LABELS, number).indices for number in range(EPOCHS)]
    for indices in dealt:
        assert indices.shape == (STEPS, BATCH)
        assert len(np.unique(indices)) == STEPS * BATCH  # none twice
    assert len({indices.tobytes() for indices in dealt}) == EPOCHS
    assert len(np.unique(dealt)) == 46  # those left over come later
    other = ordered(LABELS, seed=8).epoch(LABELS, 0).indices
    assert not np.array_equal(other, dealt[0])


@pytest.mark.parametrize("counted", WAYS)
def test_an_epoch_follows_from_labels_seed_and_number_alone(ordered, counted):
    first = ordered(LABELS, **counted).epoch(LABELS, 2)
    np.random.default_rng().random()
    again = ordered(LABELS, **counted).epoch(LABELS, 2)
    np.testing.assert_array_equal(first.indices, again.indices)
    np.testing.assert_array_equal(first.chances, again.chances)


def test_every_place_of_an_epoch_is_as_likely_for_every_device(ordered):
    """4,000 epochs: a device stands at a place as often as a fair draw has it."""
    shuffled = ordered(LABELS, batch_size=23)
    dealt = [shuffled.epoch(LABELS, number).indices.ravel() for number in range(4000)]
    counts = np.stack(
        [np.bincount(place, minlength=46) for place in np.transpose(dealt)]
    )
    expected = 4000 / 46
    chi_squared = np.sum((counts - expected) ** 2 / expected)
    freedom = 45**2
    assert abs(chi_squared - freedom) < 5 * np.sqrt(2 * freedom)


def test_balanced_batches_hold_as_many_of_both_classes(ordered):
    for number in range(EPOCHS):
        indices = ordered(LABELS, kind="sampling").epoch(LABELS, number).indices
        assert set(LABELS[indices].sum(axis=1)) == {BATCH / 2}
        shown = indices.ravel()
        # 20 of 34 good devices, and 12 defects again and again
        good, defects = shown[LABELS[shown] == 0], shown[LABELS[shown] == 1]
        assert len(set(good)) == len(good) == 20
        counts = np.bincount(defects, minlength=len(LABELS))[LABELS == 1]
        assert set(counts) == {1, 2}


def test_drawn_defects_take_turns_with_given_ones_in_the_proportion_there_is(ordered):
    # 12 given ones and 17 of 34 that are drawn on
    dealt = ordered(LABELS, kind="sampling", drawn=0.5).epoch(LABELS, 0)
    given = LABELS[dealt.indices] == 1
    np.testing.assert_array_equal((given | (dealt.chances == 1)).sum(axis=1), BATCH / 2)
    assert not dealt.chances[given].any()
    assert set(given.sum(axis=1)) == {1, 2}  # of four


def test_drawn_only_deals_good_devices_alone(ordered):
    for kind in ("none", "sampling"):
        counted = {"drawn": 0.2, "drawn_only": True, "kind": kind}
        shuffled = ordered(LABELS, **counted)
        assert shuffled.steps == 34 // BATCH
        assert not LABELS[shuffled.epoch(LABELS, 1).indices].any()


@pytest.mark.parametrize("counted", WAYS)
def test_what_is_left_and_a_share_of_it_are_slices(ordered, counted):
    whole = ordered(LABELS, **counted).epoch(LABELS, 1)
    halves = [whole.part(first_step=2, worker=(rank, 2)) for rank in range(2)]
    for name in ("indices", "chances", "before"):
        shares = [getattr(half, name) for half in halves]
        assert shares[0].shape[1] == BATCH // 2
        np.testing.assert_array_equal(np.hstack(shares), getattr(whole, name)[2:])


def test_a_million_devices_of_which_one_is_a_defect_are_balanced_at_once(ordered):
    labels = np.zeros(1_000_000, int)
    labels[7] = 1
    shuffled = ordered(labels, batch_size=64, kind="sampling")
    indices = shuffled.epoch(labels, 0).indices
    assert (labels[indices].sum(axis=1) == 32).all()


def test_too_few_devices_make_no_order():
    few = balance.Balance.of(LABELS, drawn=0.5, drawn_only=True)
    with pytest.raises(ValueError, match="34 devices make no batch of 35"):
        order.Order(35, 0, few)


def test_an_epoch_of_few_devices_shows_them_as_often_as_it_takes():
    counted = balance.Balance.of(LABELS)
    dealt = order.Order(BATCH, 7, counted, least=20)
    assert dealt.steps == 46 * 4 // BATCH == 23
    for number in range(EPOCHS):
        shown = np.bincount(dealt.epoch(LABELS, number).indices.ravel(), minlength=46)
        assert set(shown) == {4}
        epoch = dealt.epoch(LABELS, number)
        pairs = set(zip(epoch.indices.ravel(), epoch.before.ravel()))
        assert len(pairs) == 46 * 4 and set(epoch.before.ravel()) == {0, 1, 2, 3}
    uneven = order.Order(BATCH, 7, counted, least=6).epoch(LABELS, 0).indices
    assert set(np.bincount(uneven.ravel(), minlength=46)) == {1, 2}
    enough = order.Order(BATCH, 7, counted, least=STEPS)
    plain = order.Order(BATCH, 7, counted)
    for number in range(EPOCHS):
        np.testing.assert_array_equal(
            enough.epoch(LABELS, number).indices, plain.epoch(LABELS, number).indices
        )


@pytest.mark.parametrize("counted", WAYS)
@pytest.mark.parametrize("least", [1, 9, 40])
def test_an_epoch_has_the_steps_that_are_asked_for(counted, least):
    dealt = order.Order(BATCH, 7, balance.Balance.of(LABELS, **counted), least=least)
    assert max(least, dealt.balance.devices // BATCH) <= dealt.steps
    assert dealt.steps < least + dealt.balance.devices / BATCH + 1  # no pass too many
    one, other = (dealt.epoch(LABELS, 1) for _ in range(2))
    assert one.indices.shape == (dealt.steps, BATCH)
    np.testing.assert_array_equal(one.indices, other.indices)
    rest = one.part(first_step=1, worker=(1, 2))
    np.testing.assert_array_equal(rest.indices, one.indices[1:, BATCH // 2 :])


@pytest.mark.parametrize("kind", ["none", "sampling"])
@pytest.mark.parametrize("drawn", [0.0, 0.5])
def test_defects_without_a_box_can_be_left_out(kind, drawn):
    boxed = np.arange(46) % 8 == 0  # six of the twelve defects
    labels = order.dealt(LABELS, boxed)
    assert (labels == order.LEFT_OUT).sum() == 6
    counted = balance.Balance.of(labels, kind=kind, drawn=drawn)
    dealt = order.Order(BATCH, 7, counted, boxed_only=True)
    shown = set()
    for number in range(20):
        epoch = dealt.epoch(labels, number)
        shown |= set(epoch.indices.ravel())
        if kind == "sampling":
            seen = (LABELS[epoch.indices] == 1) | (epoch.chances == 1)
            assert set(seen.sum(axis=1)) == {BATCH / 2}
    assert shown == set(np.flatnonzero((LABELS == 0) | boxed))


def test_nothing_but_good_devices_may_be_left():
    labels = order.dealt(LABELS, np.zeros(46, bool))
    dealt = order.Order(BATCH, 7, balance.Balance.of(labels, drawn=0.5))
    shown = dealt.epoch(labels, 0).indices
    assert dealt.steps == 34 // BATCH and not LABELS[shown].any()
