"""Whether new lots are like known ones: a test by lots, over many numbers at once.

Pictures of one lot resemble each other, so a lot is the unit. If nothing has changed,
the new lots are exchangeable with the known ones of the same machine: which of them are
the new ones says nothing. The new lots' mean is compared with the means of lots drawn
as new from all of them; the largest difference of all numbers, each over its spread,
is compared with the largest of each draw, so that many numbers raise no more false
alarms than one. No distribution is assumed.

Reference:
    Westfall & Young, Resampling-Based Multiple Testing (1993), 2.5 (single-step maxT).
    Besag & Clifford, Biometrika 78 (1991) 301 (a draw may stop early).
    Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39 (the one in p).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

DRAWS = 9_999  # at least; more where a smaller p is asked for
MOST_DRAWS = 4_000_000
_FINER = 4  # smallest p that draws can give, of the one that is asked for
_ENOUGH = 20  # draws beyond what is asked for
_FIRST = 999  # draws, after which most windows are known to be like the others
_TOGETHER = 1_000_000  # lots times draws at once
_SMALLEST_SPREAD = 1e-3  # of a lot's mean: less must not divide
_SAME = 1 - 1e-5  # a draw that is the new lots themselves, in float32


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """How new lots differ from known ones.

    Attributes:
        difference: mean of the new lots less that of the known ones, within machines,
            shape `(numbers,)`.
        p: of each number, adjusted for all of them, shape `(numbers,)`.
        unseen: how large a difference goes unseen in one of two cases, shape
            `(numbers,)`; infinite where no difference could be seen.
        least_p: the smallest p that so few lots can give, or so many draws.
        up: new lots that lie above the mean of the known ones of their machine.
        lots, known: how many were compared.
    """

    difference: np.ndarray
    p: np.ndarray
    unseen: np.ndarray
    least_p: float
    up: np.ndarray
    lots: int
    known: int


def compare(
    known: np.ndarray,
    new: np.ndarray,
    *,
    known_strata: Sequence | None = None,
    new_strata: Sequence | None = None,
    false_alarms: float = 0.01,
    one_sided: Sequence[bool] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compares means of lots, within strata.

    Args:
        known: a mean for each known lot, shape `(known lots, numbers)`.
        new: the same of the new lots.
        known_strata, new_strata: machine of each lot; a stratum counts where it holds
            lots of both kinds.
        false_alarms: chance that any number's p is so small although nothing changed.
        one_sided: numbers of which only a rise counts.
        seed: of the draws.
    """
    values = np.concatenate([known, new]).astype(np.float64)
    is_new = np.repeat([False, True], [len(known), len(new)])
    strata = _strata(known_strata, new_strata, len(known), len(new))
    shared = _shared(strata, is_new)
    values, is_new, strata = values[shared], is_new[shared], strata[shared]
    if not len(values):
        return _nothing(values.shape[1])
    rises = np.zeros(values.shape[1], bool) if one_sided is None else one_sided
    centred = values - _by_stratum(strata, values)
    worth = _worth(strata, is_new)
    spread = np.sqrt(np.mean(centred**2, axis=0) + _SMALLEST_SPREAD**2)
    scaled = centred / spread
    test = _Draws(scaled, strata, is_new, np.asarray(rises), seed)
    found = test.statistic(is_new[np.newaxis])[0]
    largest = test.largest(found.max(initial=0), false_alarms)
    exceeded = (largest[:, np.newaxis] >= found * _SAME).sum(0)
    known_mean = _by_stratum(strata, values, where=~is_new)
    return Comparison(
        difference=centred[is_new].sum(0) / worth,
        p=(1 + exceeded) / (1 + len(largest)),
        unseen=_limit(largest, false_alarms, test.least_p) * spread / worth,
        least_p=test.least_p,
        up=(values > known_mean)[is_new].sum(0),
        lots=int(is_new.sum()),
        known=int((~is_new).sum()),
    )


def _nothing(numbers: int) -> Comparison:
    """No lots to compare."""
    none, one = np.zeros(numbers), np.ones(numbers)
    return Comparison(none, one, one * math.inf, 1.0, none.astype(int), 0, 0)


def _strata(known, new, known_count: int, new_count: int) -> np.ndarray:
    known = [""] * known_count if known is None else list(known)
    new = [""] * new_count if new is None else list(new)
    return np.unique(np.array([*known, *new]), return_inverse=True)[1].reshape(-1)


def _shared(strata: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """Whether each lot's stratum holds new and known lots."""
    return np.isin(strata, strata[is_new]) & np.isin(strata, strata[~is_new])


def _by_stratum(
    strata: np.ndarray, values: np.ndarray, where: np.ndarray | None = None
) -> np.ndarray:
    """Each lot's stratum's mean, of the lots `where`."""
    means = np.zeros_like(values)
    for stratum in np.unique(strata):
        own = strata == stratum
        used = own if where is None else own & where
        means[own] = values[used].mean(0)
    return means


def _worth(strata: np.ndarray, is_new: np.ndarray) -> float:
    """What a difference of 1 adds to the sum of the new lots' centred values."""
    worth = 0.0
    for stratum in np.unique(strata):
        new, old = (np.sum(is_new[strata == stratum] == kind) for kind in (True, False))
        worth += float(new * old / (new + old))
    return worth


def _limit(largest: np.ndarray, false_alarms: float, least_p: float) -> float:
    """From where on a statistic is an alarm; infinite where none can be.

    Where the draws were too few to tell, as a Gumbel distribution goes on from them.
    """
    if least_p > false_alarms:
        return math.inf
    if false_alarms * len(largest) >= _ENOUGH:
        return float(np.quantile(largest, 1 - false_alarms))
    scale = math.sqrt(6) / math.pi * float(largest.std())
    beyond = -np.euler_gamma - math.log(-math.log1p(-false_alarms))
    return float(largest.mean()) + scale * beyond


class _Draws:
    """Lots drawn as the new ones, within their strata.

    Attributes:
        least_p: of a test by all draws that there are.
    """

    def __init__(
        self,
        scaled: np.ndarray,
        strata: np.ndarray,
        is_new: np.ndarray,
        rises: np.ndarray,
        seed: int,
    ):
        self._order = np.argsort(strata, kind="stable")
        self._scaled, self._rises = scaled, rises
        self._strata = strata[self._order]
        # In a stratum, the lots that come first in a draw's order are its new ones.
        self._first = np.concatenate(
            [np.sort(is_new[strata == s])[::-1] for s in np.unique(strata)] or [[]]
        ).astype(bool)
        self._random = np.random.default_rng(seed)
        choices = math.prod(
            math.comb(int(np.sum(strata == s)), int(np.sum(is_new[strata == s])))
            for s in np.unique(strata)
        )
        self.least_p = max(1 / choices, 1 / (1 + MOST_DRAWS))

    def statistic(self, chosen: np.ndarray) -> np.ndarray:
        """Of each draw and number, shape `(draws, numbers)`."""
        sums = chosen.astype(np.float32) @ self._scaled.astype(np.float32)
        return np.where(self._rises, sums, np.abs(sums)).astype(np.float64)

    def largest(self, found: float, false_alarms: float) -> np.ndarray:
        """The largest statistic of each draw; few draws where p is large anyway."""
        most = max(DRAWS, min(MOST_DRAWS, math.ceil(_FINER / false_alarms)))
        refuted = max(_ENOUGH, false_alarms * (1 + most))
        at_once = max(_FIRST, _TOGETHER // len(self._order))
        drawn, count, exceeded = [], 0, 0
        while count < most and exceeded < refuted:
            step = min(most - count, at_once, max(_FIRST, count))
            largest = self.statistic(self._draw(step)).max(axis=1, initial=0)
            drawn.append(largest)
            count += step
            exceeded += int((largest >= found * _SAME).sum())
        return np.concatenate(drawn)

    def _draw(self, count: int) -> np.ndarray:
        """Which lots are new in each draw, bool of shape `(count, lots)`."""
        keys = self._random.random((count, len(self._order)), np.float32)
        places = np.argsort(self._strata + keys, axis=1)
        chosen = np.zeros((count, len(self._order)), bool)
        rows = np.arange(count)[:, np.newaxis]
        chosen[rows, self._order[places[:, self._first]]] = True
        return chosen
