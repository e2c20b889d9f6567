"""Which candidate pairs are looked at, in which order, and how closely.

What ties pictures is transitive, what proves a copy is not. So a full look goes first
to pairs that may tie what nothing ties yet, a forest of them; pairs that are tied
already by others only have to be refused as copies, along the way that the ties give.
Every pair of which a cluster of copies depends is looked at in full in the end.
"""

import concurrent.futures
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import threadpoolctl

from nexperia_tf.data.duplicates import candidates, connected, verify

_FORESTS = 3  # of pairs, each among what the one before left apart
_AT_LEAST, _PARTS = 128, 80  # pairs that are worked on together; parts of all
_CHUNK = 4  # pairs that a thread takes
_RECKONED = 8  # parts after each of which the total is reckoned anew
_GOLDEN = (5**0.5 - 1) / 2


def verdicts(
    pairs: Sequence[candidates.Candidate],
    verifier: verify.Verifier,
    workers: int,
    on_progress: Callable[[int, int], None],
) -> dict[tuple[int, int], verify.Verdict]:
    """What is more than a look-alike, by the places of the two pictures.

    Args:
        pairs: sorted.
        verifier: judges them.
        workers: threads.
        on_progress: called as `on_progress(done, total)`, in pairs; one that is looked
            at again in the end counts as long as it takes.

    Returns:
        The same for any number of workers.
    """
    on_progress(0, len(pairs))
    with (
        threadpoolctl.threadpool_limits(1),  # the chunks are the parallelism
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        judging = _Judging(verifier, pool)
        done, total = 0, len(pairs)
        parts = list(_parts(pairs))
        if len(pairs) > _PARTS * _AT_LEAST:  # it takes minutes, and no device is torn
            parts = _spread(parts)
        for k, part in enumerate(parts):
            for judged in judging.all_of(part):
                done += judged
                on_progress(done, total)
            if k % _RECKONED == 0:
                total = len(pairs) + round(judging.share_again() * len(pairs))
        again = judging.again()
        for k, _ in enumerate(judging.look_again(again), 1):
            on_progress(done + (total - done) * k // len(again), total)
        on_progress(total, total)
        return judging.found()


def _spread(parts: Sequence) -> list:
    """The parts, dear and cheap ones mixed, so that the time left can be told.

    >>> _spread("abcdefgh")
    ['a', 'f', 'c', 'h', 'e', 'b', 'g', 'd']
    """
    return [parts[k] for k in sorted(range(len(parts)), key=lambda k: k * _GOLDEN % 1)]


def _parts(
    pairs: Sequence[candidates.Candidate],
) -> Iterator[Sequence[candidates.Candidate]]:
    """All pairs of one picture together, and of some more.

    What hangs together comes one after the other: what was made ready of a picture is
    then still kept.
    """
    groups = connected.components((pair.a, pair.b) for pair in pairs)
    group_of = {place: k for k, group in enumerate(groups) for place in group}
    pairs = sorted(pairs, key=lambda pair: (group_of[pair.a], pair))
    size, start = max(_AT_LEAST, len(pairs) // _PARTS), 0
    for end in range(1, len(pairs) + 1):
        last = end == len(pairs)
        if last or (end - start >= size and pairs[end].a != pairs[end - 1].a):
            yield pairs[start:end]
            start = end


class _Judging:
    """The verdicts so far, and what they tie."""

    def __init__(self, verifier: verify.Verifier, pool: concurrent.futures.Executor):
        self._verifier, self._pool = verifier, pool
        self._verdicts: dict[candidates.Candidate, verify.Verdict] = {}
        self._hasty: set[candidates.Candidate] = set()  # refused without a full look
        self._ties = Ties()
        self._looks, self._seconds, self._began = 0, 0.0, time.monotonic()

    def all_of(self, pairs: Sequence[candidates.Candidate]) -> Iterator[int]:
        """Judges all of some pairs; says now and then how many more are."""
        left = list(pairs)
        for _ in range(_FORESTS):
            forest = self._forest(left)
            yield from self._look_at(forest)
            chosen = set(forest)
            left = [pair for pair in left if pair not in chosen]
        apart = [pair for pair in left if self._ties.between(pair) is None]
        yield from self._look_at(apart)
        yield from self._look_at_tied([p for p in left if p not in self._verdicts])

    def share_again(self) -> float:
        """What `look_again` will take of the time that the pairs so far took."""
        if not self._looks:
            return 0.0
        a_look = self._seconds / self._looks
        return len(self.again()) * a_look / (time.monotonic() - self._began)

    def again(self) -> list[candidates.Candidate]:
        """All pairs among copies, and copies of copies, not looked at in full."""
        ties = [(p.a, p.b) for p, v in self._verdicts.items() if v.same_photograph]
        groups = connected.components(ties)
        group_of = {place: k for k, group in enumerate(groups) for place in group}
        among = (p for p in self._hasty if p.a in group_of)
        return sorted(p for p in among if group_of[p.a] == group_of.get(p.b))

    def look_again(self, pairs: Sequence[candidates.Candidate]) -> Iterator[int]:
        """Looks at pairs in full; says now and then how many more it has."""
        return self._look_at(pairs, whole=True)

    def found(self) -> dict[tuple[int, int], verify.Verdict]:
        """What is more than a look-alike; the better of two turns."""
        found: dict[tuple[int, int], verify.Verdict] = {}
        for pair, verdict in sorted(self._verdicts.items()):
            known = found.get((pair.a, pair.b), verify.LOOK_ALIKE)
            if verdict.same_photograph or (verdict.twin and not known.twin):
                found[pair.a, pair.b] = verdict
        return found

    def _forest(self, pairs: Iterable[candidates.Candidate]) -> list:
        """Pairs, as few as could tie all that they may tie."""
        ties = self._ties.copy()
        return [pair for pair in pairs if ties.tie(pair.a, pair.b, np.eye(3))]

    def _look_at(
        self, pairs: Sequence[candidates.Candidate], *, whole: bool = False
    ) -> Iterator[int]:
        def judge(pair: candidates.Candidate) -> verify.Verdict:
            return self._verifier.verdict(pair, whole=whole)

        start = time.monotonic()
        for pair, verdict in self._each(judge, pairs):
            self._verdicts[pair] = verdict
            if not whole:
                self._hasty.add(pair)
            if verdict.twin or verdict.same_photograph:
                self._ties.tie(pair.a, pair.b, verdict.way)
            yield 1
        self._looks += len(pairs)
        self._seconds += time.monotonic() - start

    def _look_at_tied(self, pairs: Sequence[candidates.Candidate]) -> Iterator[int]:
        # Before any of them is looked at, or the ways would depend on the threads.
        ways = {pair: self._ties.between(pair) for pair in pairs}

        def judge(pair: candidates.Candidate) -> verify.Verdict:
            tied = self._verifier.tied(pair, ways[pair])
            return tied or self._verifier.verdict(pair)

        for pair, verdict in self._each(judge, pairs):
            self._verdicts[pair] = verdict
            self._hasty.add(pair)
            yield 1

    def _each(self, judge: Callable, pairs: Sequence[candidates.Candidate]) -> Iterator:
        """Each pair with its verdict, in their order."""
        chunks = [pairs[k : k + _CHUNK] for k in range(0, len(pairs), _CHUNK)]
        judged = self._pool.map(lambda chunk: [judge(pair) for pair in chunk], chunks)
        return zip(pairs, itertools.chain.from_iterable(judged))


class Ties:
    """Pictures that are tied, and the way from each to another one of its group.

    >>> ties, step = Ties(), np.array([[1, 0, 5], [0, 1, 0], [0, 0, 1]])
    >>> ties.tie(1, 2, step), ties.tie(2, 3, step), ties.tie(1, 3, step)
    (True, True, False)
    >>> ties.between(candidates.Candidate(1, 3, 0))[0]
    array([ 1.,  0., 10.])
    """

    def __init__(self):
        self._up: dict[int, int] = {}
        self._ways: dict[int, np.ndarray] = {}

    def copy(self) -> "Ties":
        """The same ties; more of them change nothing here."""
        other = Ties()
        other._up, other._ways = dict(self._up), dict(self._ways)
        return other

    def tie(self, a: int, b: int, way: np.ndarray) -> bool:
        """Ties two pictures by the way from one to the other; False if they were."""
        (top_a, from_a), (top_b, from_b) = self._top(a), self._top(b)
        if top_a == top_b:
            return False
        self._up[top_b] = top_a
        # From the place in b's top: to b, to a, to a's top.
        self._ways[top_b] = from_a @ np.linalg.inv(way) @ np.linalg.inv(from_b)
        return True

    def between(self, pair: candidates.Candidate) -> np.ndarray | None:
        """The way from one to the other, `(3, 3)`; None if nothing ties them."""
        (top_a, from_a), (top_b, from_b) = self._top(pair.a), self._top(pair.b)
        return np.linalg.inv(from_b) @ from_a if top_a == top_b else None

    def _top(self, place: int) -> tuple[int, np.ndarray]:
        way = np.eye(3)
        while place in self._up:
            way = self._ways[place] @ way
            place = self._up[place]
        return place, way
