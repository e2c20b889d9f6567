"""Who goes on, who is taken, and what a choice among noise is worth."""

import numpy as np
import pytest

from nexperia_tf.statistics import halving

RUNGS, KEEPS = ((0,), (0,), (1, 2)), (4, 2, 1)


def searched(gains, seed, *, groups=20):
    """Trials of a halving among recipes whose defects score so much higher.

    What a recipe makes of a device is much the same in each round.
    """
    random = np.random.default_rng(seed)
    names = ["standard", *(f"recipe {n}" for n in range(1, len(gains)))]
    parts = [
        (
            (random.random(150) < 0.3).astype(int),
            [f"{part}-{group}" for group in random.integers(0, groups, 150)],
        )
        for part in range(3)
    ]
    own = {(name, p): random.normal(size=150) for name in names for p in range(3)}
    alive, trials = names, []
    for rung, (tried, keeps) in enumerate(zip(RUNGS, KEEPS)):
        for name in alive:
            for part in tried:
                labels, lots = parts[part]
                noise = 0.9 * own[name, part] + 0.44 * random.normal(size=150)
                scores = gains[names.index(name)] * labels + noise
                trials.append(halving.Trial(name, rung, part, labels, scores, lots))
        aucs = halving.means(trials, rung)
        alive = halving.survivors(aucs, keeps, standard="standard")
    return trials


def chosen(trials, seed=0):
    last = [trial for trial in trials if trial.rung == len(RUNGS) - 1]
    return halving.choose(last, standard="standard", seed=seed, replicates=200)


def test_the_better_half_goes_on_and_the_standard_recipe_with_it():
    aucs = {"standard": 0.6, "a": 0.7, "b": 0.9, "c": 0.8}
    assert halving.survivors(aucs, 2, standard="standard") == ("standard", "b")
    aucs["standard"] = 0.95
    assert halving.survivors(aucs, 2, standard="standard") == ("standard", "b")
    equal = dict.fromkeys(aucs, 0.5)
    assert halving.survivors(equal, 3, standard="standard") == ("standard", "a", "b")


def test_the_best_of_noise_is_worth_a_coin_and_not_its_maximum():
    naive, corrected, halved = [], [], []
    for seed in range(40):
        trials = searched(np.zeros(8), seed)
        halved.append(chosen(trials, seed).corrected.value)
        # Eight that are judged at once: the maximum is well above a coin.
        random = np.random.default_rng(seed)
        last = trials[-1]
        noise = [
            halving.Trial(n, 2, last.part, last.labels, scores, last.groups)
            for n, scores in zip(
                ["standard", *"abcdefg"], random.normal(size=(8, len(last.labels)))
            )
        ]
        found = chosen(noise, seed)
        naive.append(max(trial.auc for trial in noise))
        corrected.append(found.corrected.value)
    assert np.mean(naive) > 0.56  # what would be promised
    assert abs(np.mean(corrected) - 0.5) < 0.02
    assert abs(np.mean(halved) - 0.5) < 0.02


def test_recipes_that_are_alike_seldom_drive_out_the_standard_one():
    found = [chosen(searched(np.zeros(8), seed), seed).recipe for seed in range(60)]
    assert np.mean([name != "standard" for name in found]) < 0.35  # of 50 % ahead


def test_a_recipe_that_is_clearly_better_is_taken_and_loses_little():
    gains = np.full(8, 0.5)
    gains[3] = 2.0
    for seed in range(5):
        found = chosen(searched(gains, seed), seed)
        assert found.recipe == found.best == "recipe 3" and found.better_in > 0.99
        assert found.corrected.low < 0.921 < found.corrected.high
        assert abs(found.corrected.value - 0.921) < 0.03  # Phi(2 / sqrt 2)


def test_a_lead_that_resamplings_do_not_bear_out_is_not_taken():
    taken = [chosen(searched(np.full(8, 1.0), seed), seed) for seed in range(20)]
    ahead = [found for found in taken if found.best != "standard"]
    assert ahead and any(found.recipe == "standard" for found in ahead)
    for found in ahead:
        enough = found.better_in >= halving.LEAST_BETTER
        assert (found.recipe == found.best) == enough


def test_whole_groups_are_resampled():
    """Copies of the same devices in the same groups say nothing new."""
    trials = searched(np.full(8, 1.0), 0)
    twice = [
        halving.Trial(
            trial.recipe,
            trial.rung,
            trial.part,
            np.tile(trial.labels, 2),
            np.tile(trial.scores, 2),
            list(trial.groups) * 2,
        )
        for trial in trials
    ]
    once, again = chosen(trials), chosen(twice)
    assert again.auc == pytest.approx(once.auc)
    assert again.corrected.value == pytest.approx(once.corrected.value)
    assert again.better_in == once.better_in


def test_the_same_seed_chooses_the_same():
    trials = searched(np.full(8, 1.0), 1)
    assert chosen(trials) == chosen(trials)
    assert chosen(trials) != chosen(trials, seed=1)
