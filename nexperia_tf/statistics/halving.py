"""Choosing among recipes by successive halving, and what the choice is worth.

Recipes are screened on one part of the devices, round by round, and those that are left
decide on the other parts, which have chosen nothing before: by the mean AUC over these
parts. The AUC of the winner is still the best of several and so too good: bootstrap
bias-corrected cross-validation chooses again and again on resampled groups, and judges
what it chose on the groups that were not drawn.

Reference:
    [Jamieson & Talwalkar, 2016](https://arxiv.org/abs/1502.07943), successive halving;
    [Tsamardinos et al., 2018](https://arxiv.org/abs/1708.07180), the correction.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf.statistics import clustered, intervals, metrics

REPLICATES = 1000
# Share of resamplings in which another recipe must beat the standard one. Where eight
# differ little (standard deviation .010 in AUC), 8 % of searches take a worse one than
# the standard if the best always wins and 1 % so, and two thirds of the gain are left
# (benchmarks/recipe_search.py). That trials are short and favour who learns fast, no
# resampling sees: another reason to ask for more than the odds.
LEAST_BETTER = 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """Scores of the devices that a trial has left out of training.

    Attributes:
        recipe: its name.
        rung: of the halving, from 0.
        part: that was left out, from 0.
        labels: `(devices,)`, 1 for defect and 0 for good.
        scores: `(devices,)`, higher means more likely a defect.
        groups: `(devices,)`, names; "" is a group of its own.
    """

    recipe: str
    rung: int
    part: int
    labels: np.ndarray
    scores: np.ndarray
    groups: Sequence[str]

    @property
    def auc(self) -> float:
        """Of the part that was left out."""
        return metrics.auc(self.labels, self.scores)


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What a search came to.

    Attributes:
        recipe: that is taken.
        best: that had the highest mean AUC in the last rung.
        better_in: share of resamplings in which `best` beats the standard recipe; 1
            where that is the best one itself.
        auc: mean AUC of `recipe` over the parts of the last rung, which chose it.
        corrected: what such a choice is worth on other groups, with limits.
    """

    recipe: str
    best: str
    better_in: float
    auc: float
    corrected: intervals.Interval


def survivors(
    aucs: Mapping[str, float], keeps: int, *, standard: str
) -> tuple[str, ...]:
    """The best so many recipes, in the order given; the standard one always is kept.

    >>> aucs = {"standard": 0.5, "one": 0.7, "two": 0.6, "three": 0.8}
    >>> survivors(aucs, 3, standard="standard")
    ('standard', 'one', 'three')
    """
    others = [name for name in aucs if name != standard]
    others.sort(key=lambda name: -aucs[name])  # the first among equals stays first
    kept = {standard, *others[: keeps - 1]}
    return tuple(name for name in aucs if name in kept)


def means(trials: Sequence[Trial], rung: int) -> dict[str, float]:
    """Mean AUC over parts by recipe, of one rung."""
    found: dict[str, list[float]] = {}
    for trial in (each for each in trials if each.rung == rung):
        found.setdefault(trial.recipe, []).append(trial.auc)
    return {name: float(np.mean(aucs)) for name, aucs in found.items()}


def choose(
    trials: Sequence[Trial],
    *,
    standard: str,
    seed: int = 0,
    confidence: float = intervals.CONFIDENCE,
    replicates: int = REPLICATES,
) -> Chosen:
    """The recipe that is taken, and what the choice is worth.

    Args:
        trials: of the last rung; each recipe on each of its parts.
        standard: the recipe that stays unless another is better in `LEAST_BETTER` of
            the resamplings of whole groups.
        seed: of what is resampled.
        confidence: of the limits.
        replicates: how often groups are resampled.
    """
    aucs = {}
    for trial in trials:
        aucs.setdefault(trial.recipe, []).append(trial.auc)
    final = {name: float(np.mean(values)) for name, values in aucs.items()}
    drawn, left = _resampled(trials, [*final], seed=seed, replicates=replicates)
    best = max(final, key=final.get)
    better_in = 1.0
    if best != standard:
        places = [[*final].index(name) for name in (best, standard)]
        ahead = drawn[:, places[0]] - drawn[:, places[1]]
        better_in = float(np.mean(ahead[np.isfinite(ahead)] > 0))
    taken = best if better_in >= LEAST_BETTER else standard
    chosen = np.where(np.isfinite(drawn), drawn, -np.inf).argmax(axis=1)
    worth = left[np.arange(len(left)), chosen]
    worth = worth[np.isfinite(worth)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(worth, [tail, 1 - tail])
    corrected = intervals.Interval(
        float(worth.mean()), float(low), float(high), "bootstrap-corrected"
    )
    return Chosen(taken, best, better_in, final[taken], corrected)


def _resampled(
    trials: Sequence[Trial], names: Sequence[str], *, seed: int, replicates: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean AUCs on the groups drawn and on those not, each `(replicates, recipes)`.

    All recipes see the same draws; a part without both classes does not count, and
    where none has both the mean is NaN.
    """
    parts = sorted({trial.part for trial in trials})
    shape = len(parts), replicates, len(names)
    drawn, left = np.full(shape, np.nan), np.full(shape, np.nan)
    for place, part in enumerate(parts):
        own = [trial for trial in trials if trial.part == part]
        defects = np.asarray(own[0].labels) == 1
        times = intervals.resampled(
            np.random.default_rng([seed, part]),
            defects,
            clustered.group_numbers(own[0].groups),
            replicates,
        )
        not_drawn = (times == 0).astype(np.int32)
        for trial in own:
            column = names.index(trial.recipe)
            ranked = intervals.Ranked.of(defects, np.asarray(trial.scores, np.float64))
            drawn[place, :, column] = ranked.weighted_auc(times)
            left[place, :, column] = ranked.weighted_auc(not_drawn)
    return _mean_of_known(drawn), _mean_of_known(left)


def _mean_of_known(aucs: np.ndarray) -> np.ndarray:
    """Means over the first axis, of what is no NaN."""
    known = np.isfinite(aucs)
    with np.errstate(invalid="ignore"):
        return np.where(known, aucs, 0).sum(axis=0) / known.sum(axis=0)
