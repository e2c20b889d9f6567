"""Clusters of copies of one photograph, each around the picture that is kept."""

import collections
from collections.abc import Callable, Mapping, Sequence

from nexperia_tf.data.duplicates import connected, verify

# Where a copy of one of two pictures that differ by a scratch lies between them, 0 at
# its own: below .16 under noise of 5 levels that hides a scratch of 12 levels.
_CLEARLY = 0.3

_Ties = Mapping[int, set[int]]  # the places of the pictures that one is tied to


class Clusters:
    """Finds the pictures to keep, each with its copies.

    Every other member is a verified copy of the one that is kept; what is only a copy
    of a copy stands apart. Kept is the picture with the most verified copies that were
    not moved and the nearest to these: between two noisy copies the proof is weaker
    than between each and the original. Two pictures that differ by a scratch come
    first, each on its own: noise or a crop can hide the scratch in a third one, which
    then joins the one it is clearly more like, or none if it was moved.

    Args:
        preferences: of each picture by its place; among equals the lowest is kept.
        verdicts: what two pictures are to each other, by their places, lower first.
        position_between: where a copy lies between two pictures, 0 at the first, 1 at
            the second; called with the places of all three.
    """

    def __init__(
        self,
        preferences: Sequence[tuple],
        verdicts: Mapping[tuple[int, int], verify.Verdict],
        position_between: Callable[[int, int, int], float],
    ):
        self._preferences = preferences
        self._verdicts = verdicts
        self._position_between = position_between
        self._copies = _tied(verdicts, lambda v: v.same_photograph)
        self._unmoved = _tied(verdicts, lambda v: v.same_photograph and not v.moved)
        self._differ = _tied(verdicts, lambda v: v.altered and not v.moved)
        self._altered = _tied(verdicts, lambda v: v.altered)

    def all(self) -> list[list[int]]:
        """All pictures by place, copies of one together, the one to keep first."""
        pairs = [(a, b) for a, tied in self._copies.items() for b in tied]
        groups = connected.components(pairs, nodes=range(len(self._preferences)))
        return sorted(cluster for group in groups for cluster in self._split_up(group))

    def _split_up(self, group: Sequence[int]) -> list[list[int]]:
        """The clusters among pictures that copies, or copies of copies, connect."""
        clusters, rest = [], set(group)
        while rest:
            kept = min(rest, key=lambda place: self._rank(place, rest))
            copies = self._copies_of(kept, rest)
            clusters.append([kept, *sorted(copies)])
            rest -= {kept, *copies}
        return clusters

    def _rank(self, place: int, rest: set[int]) -> tuple:
        """Sorts the picture to keep to the front."""
        unmoved, copies = self._unmoved[place] & rest, self._copies[place] & rest
        near = sorted(self._residual(place, other) for other in unmoved)
        return (
            not self._differ[place] & rest,
            -len(unmoved),
            -len(copies),
            sum(near),
            self._preferences[place],
        )

    def _copies_of(self, kept: int, rest: set[int]) -> set[int]:
        """Those of the rest that are copies of `kept` and of nothing else."""
        copies: set[int] = set()
        near = sorted(self._copies[kept] & rest)
        for other in sorted(near, key=lambda place: self._residual(kept, place)):
            if not self._altered[other] & copies and self._belongs(kept, other):
                copies.add(other)
        return copies

    def _belongs(self, kept: int, other: int) -> bool:
        """Whether no picture that differs by a scratch may be the original instead."""
        verdict = self._verdict(kept, other)
        ties = self._copies if verdict.moved else self._unmoved
        rivals = [(other, kept, k) for k in self._differ[kept] & ties[other]]
        rivals += [(kept, other, k) for k in self._differ[other] & ties[kept]]
        if verdict.moved:  # resampling changes more than a faint scratch
            return not (rivals and verdict.max_local_residual)
        return all(self._position_between(*three) < _CLEARLY for three in rivals)

    def _residual(self, a: int, b: int) -> float:
        return self._verdict(a, b).max_local_residual

    def _verdict(self, a: int, b: int) -> verify.Verdict:
        return self._verdicts[min(a, b), max(a, b)]


def _tied(
    verdicts: Mapping[tuple[int, int], verify.Verdict],
    holds: Callable[[verify.Verdict], bool],
) -> _Ties:
    """The pictures that each has a verdict with for which something holds."""
    ties = collections.defaultdict(set)
    for (a, b), verdict in verdicts.items():
        if holds(verdict):
            ties[a].add(b)
            ties[b].add(a)
    return ties
