"""Assigns whole units to places, as near as possible to the requested shares.

A unit is what must not be torn: a lot, copies, twins. Each place must hold each label,
and the first place each kind of defect, before shares count. A greedy assignment is
taken where it does that and is near enough; else a small integer program searches for a
better one, under a limit of nodes and never of time: the same units give the same
assignment on any machine.
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

NEAR = 0.05  # of a share; a greedy assignment this near to every label's share is taken
FREE = 120  # unit_types of units the program moves; of more, the common ones stay put
NODES = 100  # of branch and bound: seconds; a better assignment is rare after them
GAP = 1e-4  # between the best found and the bound, at which the search ends
SCARCE = 1.5  # relative errors that lacking a kind counts as


@dataclasses.dataclass(frozen=True)
class Problem:
    """Which units are to be assigned to which places.

    Attributes:
        counts: devices of each unit by stratum, `(units, strata)`, in the order in
            which units are assigned.
        fractions: share of each place, `(places,)`.
        held: devices that places hold already, `(places, strata)`.
        labels: strata that each place must hold.
        ranks: cost of a place that lacks a label, `(places,)`.
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
        """Devices in each place when unit i goes to `places[i]`, `(places, strata)`."""
        held = self.held.astype(float)
        np.add.at(held, places, self.counts)
        return held

    def key(self, places: np.ndarray) -> tuple[float, float, float]:
        """Ranks an assignment: lower is better, the first number counts most."""
        held = self.holdings(places)
        lacks = (held[:, self.labels] == 0) @ np.ones(len(self.labels)) @ self.ranks
        kinds = np.sum(held[0, self.kinds] == 0) if self.kinds_first else 0
        error = (np.abs(held - self.wanted) / self.wanted).sum(axis=0) @ self.weights
        scarce = SCARCE * np.sum(held[:, self.kinds] == 0)
        return float(lacks), float(kinds), round(float(error + scarce), 6)


def assign(problem: Problem) -> np.ndarray:
    """The place of each unit, int of shape `(units,)`."""
    first = greedy(problem)
    if near_enough(problem, first):
        return first
    better = _search(problem, first)
    return first if better is None else min(better, first, key=problem.key)


def greedy(problem: Problem) -> np.ndarray:
    """Each unit in turn goes where it adds least to the squared relative errors."""
    held, wanted = problem.held.astype(float), problem.wanted
    scale = wanted * problem.total
    places = np.zeros(len(problem.counts), int)
    for unit, count in enumerate(problem.counts):
        cost = (count * (count + 2 * (held - wanted)) / scale).sum(axis=1)
        places[unit] = np.argmin(cost)
        held[places[unit]] += count
    return places


def near_enough(problem: Problem, places: np.ndarray) -> bool:
    """Whether no place lacks what it could have and labels are near their shares."""
    held, wanted = problem.holdings(places), problem.wanted
    lacks, kinds, _ = problem.key(places)
    units = np.sum(problem.counts[:, problem.kinds] > 0, axis=0)
    plenty = problem.kinds[units >= len(problem.fractions)]
    off = np.abs(held - wanted)[:, problem.labels]
    near = off <= np.maximum(1, NEAR * wanted[:, problem.labels])
    return not lacks and not kinds and bool(near.all() and held[:, plenty].all())


def _search(problem: Problem, first: np.ndarray) -> np.ndarray | None:
    """The best assignment that the integer program finds; None if it finds none."""
    unit_types, type_of = np.unique(problem.counts, axis=0, return_inverse=True)
    type_of = type_of.ravel()
    unit_types, type_of = _in_order(unit_types, type_of)
    free = _freed(unit_types, type_of)
    moves = np.isin(type_of, free)
    fixed = problem.held.astype(float)
    np.add.at(fixed, first[~moves], problem.counts[~moves])
    sizes = np.bincount(type_of, minlength=len(unit_types))[free]
    shares = _Program(problem, unit_types[free], sizes, fixed).solve()
    if shares is None:
        return None
    places = first.copy()
    for unit_type, share in zip(free, shares):
        places[type_of == unit_type] = np.repeat(np.arange(len(share)), share)
    return places


def _in_order(
    unit_types: np.ndarray, type_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unit types in the order in which the first of each is assigned."""
    _, starts = np.unique(type_of, return_index=True)
    order = np.argsort(starts)
    return unit_types[order], np.argsort(order)[type_of]


def _freed(unit_types: np.ndarray, type_of: np.ndarray) -> np.ndarray:
    """Up to FREE unit_types of units: of the scarcest strata first, then the largest.

    All units of a label that fewer hold are free, so that no place goes without it
    that could have it.
    """
    holders = np.bincount(type_of, minlength=len(unit_types)) @ (
        unit_types > 0
    )  # (strata,)
    scarcity = np.where(unit_types > 0, holders, np.inf).min(axis=1)
    order = np.lexsort((-unit_types.sum(axis=1), scarcity))
    return np.sort(order[:FREE])


class _Program:
    """The integer program: how many units of each type each place gets.

    Variables, in this order: units by type and place; for each place and label 1 where
    it goes without; for each place and kind the same; the error of each place and
    stratum, relative to its share.
    """

    def __init__(
        self,
        problem: Problem,
        unit_types: np.ndarray,
        sizes: np.ndarray,
        fixed: np.ndarray,
    ):
        self.problem, self.unit_types, self.sizes = problem, unit_types, sizes
        self.places, self.strata = fixed.shape
        self.fixed = fixed
        self.moves = len(unit_types) * self.places
        lacks = self.places * self.strata
        self.width = self.moves + 2 * lacks

    def solve(self) -> np.ndarray | None:
        """Units of each sort in each place, `(unit_types, places)`."""
        rules, answer = self._rules(), None
        for goal in self._goals():
            with _silent():
                solution = scipy.optimize.milp(
                    goal,
                    constraints=rules,
                    bounds=scipy.optimize.Bounds(0, self._most()),
                    integrality=self._whole(),
                    options={"node_limit": NODES, "mip_rel_gap": GAP},
                )
            if solution.x is None:
                break
            answer = solution.x
            reached = goal @ answer + goal[goal > 0].min() / 2  # both goals count
            rules = [*rules, scipy.optimize.LinearConstraint(goal, -np.inf, reached)]
        if answer is None:
            return None
        shares = np.round(answer[: self.moves]).astype(int)
        return shares.reshape(len(self.unit_types), self.places)

    def _goals(self) -> list[np.ndarray]:
        """What is minimised: labels lacking, kinds lacking in train, then errors."""
        lacks = np.zeros((self.places, self.strata))
        lacks[:, self.problem.labels] = self.problem.ranks[:, np.newaxis]
        kinds = np.zeros_like(lacks)
        kinds[0, self.problem.kinds] = float(self.problem.kinds_first)
        scarce = np.zeros_like(lacks)
        scarce[:, self.problem.kinds] = SCARCE
        errors = np.broadcast_to(self.problem.weights, lacks.shape)
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
        assigned = sparse.kron(eye(len(self.unit_types)), np.ones((1, self.places)))
        assigned = sparse.hstack(
            [assigned, sparse.csr_array((len(self.unit_types), 2 * cells))]
        )
        held = sparse.kron(self.unit_types.T, eye(self.places))  # strata, then places
        swap = np.arange(cells).reshape(self.strata, self.places).T.ravel()
        held = sparse.csr_array(held)[swap]  # places, then strata
        fixed, wanted = self.fixed.ravel(), self.problem.wanted.ravel()
        none = sparse.csr_array((cells, cells))
        relative = sparse.diags_array(wanted)
        rule = scipy.optimize.LinearConstraint
        return [
            rule(assigned, self.sizes, self.sizes),
            # A place lacks a stratum unless it holds one device of it.
            rule(sparse.hstack([held, eye(cells), none]), 1 - fixed, np.inf),
            # An error is at least the difference either way.
            rule(sparse.hstack([held, none, -relative]), -np.inf, wanted - fixed),
            rule(sparse.hstack([held, none, relative]), wanted - fixed, np.inf),
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
