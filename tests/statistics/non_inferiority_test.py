import functools

import numpy as np
import pytest

from nexperia_tf.statistics import intervals, non_inferiority


def masks(gained, lost, n):
    place = np.arange(n)
    return place < gained, (place >= gained) & (place < gained + lost)


def test_one_sided_discordance_has_the_exact_limit():
    for lost in (0, 1, 7):
        found = non_inferiority.paired(*masks(0, lost, 80))
        exact = intervals.clopper_pearson(lost, 80, confidence=0.9)
        assert found.low == pytest.approx(-exact.high)
        assert (found.gained, found.lost, found.of) == (0, lost, 80)


def test_exchanging_the_models_mirrors_the_limits():
    new, old = masks(5, 9, 120)
    there, back = non_inferiority.paired(new, old), non_inferiority.paired(old, new)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.value == pytest.approx(-4 / 120)
    assert there.low < there.value < there.high


@pytest.mark.parametrize("n", [50, 300])
@pytest.mark.parametrize("margin", [0.02, 0.05])
@pytest.mark.parametrize("gained", [0.0, 0.01, 0.1])
def test_a_model_worse_by_the_margin_passes_in_at_most_5_percent(n, margin, gained):
    @functools.cache
    def passes(won, lost):
        return non_inferiority.paired(*masks(won, lost, n)).low > -margin

    draws, random = 4000, np.random.default_rng(n)
    shares = [gained, gained + margin, 1 - 2 * gained - margin]
    drawn = random.multinomial(n, shares, draws)
    size = np.mean([passes(int(won), int(lost)) for won, lost, _ in drawn])
    assert size <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)


def test_an_equal_model_passes_where_there_are_devices_enough():
    drawn = np.random.default_rng(0).multinomial(2000, [0.005, 0.005, 0.99], 200)
    passed = [
        non_inferiority.paired(*masks(won, lost, 2000)).low > -0.02
        for won, lost, _ in drawn
    ]
    assert np.mean(passed) > 0.95


def test_lots_that_are_lost_whole_widen_the_limits():
    lots = np.repeat(np.arange(20), 20).astype(str)
    old = np.ones(400, bool)
    whole, spread = old.copy(), old.copy()
    whole[:20] = False  # one lot
    spread[::20] = False  # one of each lot
    scores = [np.where(mask, 0.9, 0.1) for mask in (whole, spread)]
    by_lot, by_device = (
        non_inferiority.paired(mask, old, scores=(score,), groups=lots)
        for mask, score in zip((whole, spread), scores)
    )
    assert by_lot.value == by_device.value == pytest.approx(-0.05)
    assert by_lot.low < by_device.low - 0.05


def test_fewest_devices_are_those_at_which_none_lost_is_enough():
    needed = non_inferiority.devices_needed(0.05)
    for n, passes in ((needed, True), (needed - 1, False)):
        assert (non_inferiority.paired(*masks(0, 0, n)).low > -0.05) is passes
