"""Deals whole units out to places, as near as can be to the shares asked for.

A unit is what must not be torn: a lot, copies, twins. Each place must hold each label,
and the first place each kind of defect, before shares count. A greedy deal is taken
where it does that and is near enough; else a small integer program looks for a better
one, under a limit of nodes and never of time: the same units give the same deal on
any machine.
"""

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.optimize
import scipy.sparse

NEAR = 0.05  # of a share; a greedy deal this near to every label's share is taken
FREE = 120  # sorts of units the program moves; of more, the common ones stay put
NODES = 100  # of branch and bound: seconds; a better deal is rare after them
GAP = 1e-4  # between what was found and what could be, at which the search ends
SCARCE = 1.5  # relative errors that holding a kind at all is worth to a place


@dataclasses.dataclass(frozen=True)
class Deal:
    """What is to be dealt, and to whom.

    Attributes:
        counts: devices of each unit by stratum, `(units, strata)`, in the order in
            which units are dealt.
        fractions: share of each place, `(places,)`.
        held: devices that places hold before, `(places, strata)`.
        labels: strata that each place must hold.
        ranks: how much it matters that a place lacks a label, `(places,)`.
        kinds_first: whether the first place must hold every other stratum, too.
    """

    counts: np.ndarray
    fractions: np.ndarray
    held: np.ndarray
    labels: Sequence[int]
    ranks: np.ndarray
    kinds_first: bool = True

    @functools.cached_property
    def total(self) -> np.ndarray:
        """Devices by stratum, `(strata,)`."""
        return self.counts.sum(axis=0) + self.held.sum(axis=0)

    @functools.cached_property
    def wanted(self) -> np.ndarray:
        """Devices each place should hold, `(places, strata)`."""
        return np.outer(self.fractions, self.total)

    @functools.cached_property
    def kinds(self) -> np.ndarray:
        """Strata other than labels."""
        return np.setdiff1d(np.arange(len(self.total)), self.labels)

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """Of relative errors by stratum: all kinds together weigh less than a label."""
        weights = np.ones(len(self.total))
        weights[list(self.labels)] = 3 * (1 + len(self.kinds))
        return weights

    def holdings(self, places: np.ndarray) -> np.ndarray:
        """What each place holds when unit i goes to `places[i]`, `(places, strata)`."""
        held = self.held.astype(float)
        np.add.at(held, places, self.counts)
        return held

    def key(self, places: np.ndarray) -> tuple[float, float, float]:
        """What is compared of two deals, the lower the better, most important first."""
        held = self.holdings(places)
        lacks = (held[:, self.labels] == 0) @ np.ones(len(self.labels)) @ self.ranks
        kinds = np.sum(held[0, self.kinds] == 0) if self.kinds_first else 0
        error = (np.abs(held - self.wanted) / self.wanted).sum(axis=0) @ self.weights
        scarce = SCARCE * np.sum(held[:, self.kinds] == 0)
        return float(lacks), float(kinds), round(float(error + scarce), 6)


def deal(asked: Deal) -> np.ndarray:
    """The place of each unit, int of shape `(units,)`."""
    first = greedy(asked)
    if near_enough(asked, first):
        return first
    found = _search(asked, first)
    return first if found is None else min(found, first, key=asked.key)


def greedy(asked: Deal) -> np.ndarray:
    """Each unit in turn goes where it adds least to the squared relative errors."""
    held, wanted = asked.held.astype(float), asked.wanted
    scale = wanted * asked.total
    places = np.zeros(len(asked.counts), int)
    for unit, count in enumerate(asked.counts):
        cost = (count * (count + 2 * (held - wanted)) / scale).sum(axis=1)
        places[unit] = np.argmin(cost)
        held[places[unit]] += count
    return places


def near_enough(asked: Deal, places: np.ndarray) -> bool:
    """Whether no place lacks what it can have and labels are near their shares."""
    held, wanted = asked.holdings(places), asked.wanted
    lacks, kinds, _ = asked.key(places)
    units = np.sum(asked.counts[:, asked.kinds] > 0, axis=0)
    plenty = asked.kinds[units >= len(asked.fractions)]
    off = np.abs(held - wanted)[:, asked.labels]
    near = off <= np.maximum(1, NEAR * wanted[:, asked.labels])
    return not lacks and not kinds and bool(near.all() and held[:, plenty].all())


def _search(asked: Deal, first: np.ndarray) -> np.ndarray | None:
    """The best deal that the integer program finds; None when it finds none."""
    sorts, which = np.unique(asked.counts, axis=0, return_inverse=True)
    which = which.ravel()
    sorts, which = _in_turn(sorts, which)
    free = _freed(sorts, which)
    moves = np.isin(which, free)
    resting = asked.held.astype(float)
    np.add.at(resting, first[~moves], asked.counts[~moves])
    sizes = np.bincount(which, minlength=len(sorts))[free]
    shares = _Program(asked, sorts[free], sizes, resting).solve()
    if shares is None:
        return None
    places = first.copy()
    for sort, share in zip(free, shares):
        places[which == sort] = np.repeat(np.arange(len(share)), share)
    return places


def _in_turn(sorts: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorts of units in the order in which the first of each is dealt."""
    _, starts = np.unique(which, return_index=True)
    order = np.argsort(starts)
    return sorts[order], np.argsort(order)[which]


def _freed(sorts: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Up to FREE sorts of units: of the scarcest strata first, then the largest.

    A label that fewer units hold is free whole, so that no place goes without that
    could have it.
    """
    holders = np.bincount(which, minlength=len(sorts)) @ (sorts > 0)  # (strata,)
    scarcity = np.where(sorts > 0, holders, np.inf).min(axis=1)
    order = np.lexsort((-sorts.sum(axis=1), scarcity))
    return np.sort(order[:FREE])


class _Program:
    """The integer program: how many units of each sort each place gets.

    Variables, in this order: units by sort and place; for each place and label 1 where
    it goes without; for each place and kind the same; the error of each place and
    stratum, relative to what is wanted.
    """

    def __init__(
        self, asked: Deal, sorts: np.ndarray, sizes: np.ndarray, resting: np.ndarray
    ):
        self.asked, self.sorts, self.sizes = asked, sorts, sizes
        self.places, self.strata = resting.shape
        self.resting = resting
        self.moves = len(sorts) * self.places
        lacks = self.places * self.strata
        self.width = self.moves + 2 * lacks

    def solve(self) -> np.ndarray | None:
        """Units of each sort in each place, `(sorts, places)`."""
        rules, answer = self._rules(), None
        for goal in self._goals():
            with _silent():
                found = scipy.optimize.milp(
                    goal,
                    constraints=rules,
                    bounds=scipy.optimize.Bounds(0, self._most()),
                    integrality=self._whole(),
                    options={"node_limit": NODES, "mip_rel_gap": GAP},
                )
            if found.x is None:
                break
            answer = found.x
            reached = goal @ answer + goal[goal > 0].min() / 2  # both goals count
            rules = [*rules, scipy.optimize.LinearConstraint(goal, -np.inf, reached)]
        if answer is None:
            return None
        shares = np.round(answer[: self.moves]).astype(int)
        return shares.reshape(len(self.sorts), self.places)

    def _goals(self) -> list[np.ndarray]:
        """What is made small: labels lacking, kinds lacking in train, then errors."""
        lacks = np.zeros((self.places, self.strata))
        lacks[:, self.asked.labels] = self.asked.ranks[:, np.newaxis]
        kinds = np.zeros_like(lacks)
        kinds[0, self.asked.kinds] = float(self.asked.kinds_first)
        scarce = np.zeros_like(lacks)
        scarce[:, self.asked.kinds] = SCARCE
        errors = np.broadcast_to(self.asked.weights, lacks.shape)
        none = np.zeros_like(lacks)
        goals = [self._row(lacks, none), self._row(kinds, none)]
        return [g for g in goals if g.any()] + [self._row(scarce, errors)]

    def _row(self, lacks: np.ndarray, errors: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros(self.moves), lacks.ravel(), errors.ravel()])

    def _most(self) -> np.ndarray:
        lacks = self.places * self.strata
        units = np.repeat(self.sizes, self.places)
        return np.concatenate([units, np.ones(lacks), np.full(lacks, np.inf)])

    def _whole(self) -> np.ndarray:
        whole = np.ones(self.width)
        whole[self.width - self.places * self.strata :] = 0
        return whole

    def _rules(self) -> list[scipy.optimize.LinearConstraint]:
        sparse, eye = scipy.sparse, scipy.sparse.identity
        cells = self.places * self.strata
        dealt = sparse.kron(eye(len(self.sorts)), np.ones((1, self.places)))
        dealt = sparse.hstack([dealt, sparse.csr_array((len(self.sorts), 2 * cells))])
        held = sparse.kron(self.sorts.T, eye(self.places))  # strata, then places
        swap = np.arange(cells).reshape(self.strata, self.places).T.ravel()
        held = sparse.csr_array(held)[swap]  # places, then strata
        resting, wanted = self.resting.ravel(), self.asked.wanted.ravel()
        none = sparse.csr_array((cells, cells))
        relative = sparse.diags_array(wanted)
        rule = scipy.optimize.LinearConstraint
        return [
            rule(dealt, self.sizes, self.sizes),
            # A place lacks a stratum unless it holds one device of it.
            rule(sparse.hstack([held, eye(cells), none]), 1 - resting, np.inf),
            # An error is at least the difference either way.
            rule(sparse.hstack([held, none, -relative]), -np.inf, wanted - resting),
            rule(sparse.hstack([held, none, relative]), wanted - resting, np.inf),
        ]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keeps off standard output what HiGHS 1.12 (scipy 1.17) writes there at times.

    Its line on a new solution comes with every display option off; goes when it does
    not.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
