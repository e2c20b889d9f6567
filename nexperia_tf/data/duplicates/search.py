"""Finds copies of one photograph, and parts too alike to be split apart.

Dropping needs proof, keeping together needs only suspicion: equal pixels and verified
copies make clusters, of which one image stays; images that are merely as alike as a
re-take make twin groups, which stay and are never split.
"""

import collections
import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import threadpoolctl

from nexperia_tf.data.duplicates import candidates, verify
from nexperia_tf.data.measure import measurement, signature

BYTE, PIXEL, PHOTOMETRIC, GEOMETRIC = "byte", "pixel", "photometric", "geometric"
TWIN = "twin"
SAME_PHOTOGRAPH = (BYTE, PIXEL, PHOTOMETRIC, GEOMETRIC)

# Where a copy of one of two pictures that differ by a scratch lies between them, 0 at
# its own: below .16 under noise of 5 levels that hides a scratch of 12 levels.
_CLEARLY = 0.3


@dataclasses.dataclass(frozen=True)
class Picture:
    """What the search needs of one readable image; its pixels stay on disk."""

    path: str
    sha256: str
    pixel_sha256: str
    width: int
    height: int
    format: str  # BMP, JPEG or PNG
    sharpness: float
    signature: bytes

    @classmethod
    def of(cls, path: str, measures: measurement.Measures) -> "Picture":
        """A picture as the one pass over the files measured it."""
        names = [field.name for field in dataclasses.fields(cls)[1:]]
        return cls(path, **{name: getattr(measures, name) for name in names})


@dataclasses.dataclass(frozen=True, order=True)
class Pair:
    """Two images and what they are to each other; `path_a < path_b`."""

    path_a: str
    path_b: str
    kind: str  # byte, pixel, photometric, geometric or twin
    similarity: float
    max_local_residual: float


@dataclasses.dataclass(frozen=True)
class Findings:
    """Everything in the order of paths.

    Attributes:
        pairs: the verified pairs.
        clusters: copies of one photograph, the one to keep first.
        twin_groups: images that must stay in one split; clusters lie inside them.
        settings: what was searched and with which thresholds, for summary.json.
    """

    pairs: list[Pair]
    clusters: list[list[str]]
    twin_groups: list[list[str]]
    settings: dict


def find(
    pictures: Sequence[Picture],
    *,
    load: Callable[[str], np.ndarray],
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Findings:
    """Finds duplicates and twins among images of one product.

    Args:
        pictures: the readable images, in any order.
        load: gives the pixels of a path, uint8 `(h, w)` or `(h, w, 3)`; called from
            threads, for candidates only.
        workers: threads that verify candidates.
        progress: called as `progress(step, done, total)` now and then.

    Returns:
        The same findings for any order of pictures and any number of workers.
    """
    tell = progress or (lambda step, done, total: None)
    pictures = sorted(pictures, key=lambda picture: picture.path)
    equals = _equal_pixels(pictures)
    kept = sorted((group[0] for group in equals), key=lambda picture: picture.path)
    thumbnails = signature.thumbnails([picture.signature for picture in kept])
    found, settings = candidates.search(
        thumbnails,
        workers=workers,
        progress=lambda done, total: tell("compare", done, total),
    )
    verdicts: dict[tuple[int, int], verify.Verdict] = {}
    stars = [[place] for place in range(len(kept))]
    if found:
        verifier = verify.Verifier(
            thumbnails,
            lambda place: load(kept[place].path),
            [picture.format == "JPEG" for picture in kept],
        )
        verdicts = _verdicts(
            found, verifier, workers, lambda *count: tell("verify", *count)
        )
        settings |= verifier.settings
        stars = _stars(kept, verdicts, verifier.leaning)
    members = {group[0].path: group for group in equals}
    clusters = [[p.path for k in star for p in members[kept[k].path]] for star in stars]
    return Findings(
        pairs=_pairs(equals, verdicts, stars, members, kept),
        clusters=sorted(cluster for cluster in clusters if len(cluster) > 1),
        twin_groups=_twin_groups(verdicts, clusters, kept),
        settings=settings,
    )


def preference(picture: Picture) -> tuple:
    """Sorts the copy to keep to the front: lossless, larger, sharper, then path."""
    lossy = picture.format == "JPEG"
    area = picture.width * picture.height
    return (lossy, -area, -picture.sharpness, picture.path)


def _equal_pixels(pictures: Sequence[Picture]) -> list[list[Picture]]:
    """Pictures by their pixels, the preferred one of each first."""
    groups = collections.defaultdict(list)
    for picture in pictures:
        groups[picture.pixel_sha256].append(picture)
    return [sorted(group, key=preference) for group in groups.values()]


def _verdicts(
    found: Sequence[candidates.Candidate],
    verifier: verify.Verifier,
    workers: int,
    tell: Callable[[int, int], None],
) -> dict[tuple[int, int], verify.Verdict]:
    """What is more than a look-alike, by the places of the two pictures."""
    size = 64
    chunks = [found[k : k + size] for k in range(0, len(found), size)]
    verdicts, done = {}, 0
    with (
        threadpoolctl.threadpool_limits(1),  # the chunks are the parallelism
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        judged = pool.map(lambda chunk: [verifier.verdict(p) for p in chunk], chunks)
        for chunk, answers in zip(chunks, judged):
            done += len(chunk)
            tell(done, len(found))
            for pair, verdict in zip(chunk, answers):
                known = verdicts.get((pair.a, pair.b), verify.LOOK_ALIKE)
                if verdict.same_photograph or (verdict.twin and not known.twin):
                    verdicts[pair.a, pair.b] = verdict
    return verdicts


def _stars(
    kept: Sequence[Picture],
    verdicts: Mapping[tuple[int, int], verify.Verdict],
    leaning: Callable[[int, int, int], float],
) -> list[list[int]]:
    """All pictures, copies of one photograph together, the one to keep first.

    Every member is a verified copy of the first one; what is only a copy of a copy
    stands apart. The first one is the picture with the most verified copies that were
    not moved and the nearest to these: between two noisy copies the proof is weaker
    than between each and the original. Two pictures that differ by a scratch come
    first, each on its own: noise or a crop can hide the scratch in a third one, which
    then joins the one it is clearly more like, or none if it was moved.
    """
    copies, unmoved, differ, apart = (collections.defaultdict(set) for _ in range(4))
    for (a, b), verdict in verdicts.items():
        for ties, tied in (
            (copies, verdict.same_photograph),
            (unmoved, verdict.same_photograph and not verdict.moved),
            (differ, verdict.altered and not verdict.moved),
            (apart, verdict.altered),
        ):
            if tied:
                ties[a].add(b)
                ties[b].add(a)

    def between(a: int, b: int) -> verify.Verdict:
        return verdicts[min(a, b), max(a, b)]

    def clearly_nearest(first: int, other: int) -> bool:
        tie = between(first, other)
        ties = copies if tie.moved else unmoved  # what was moved differs by that, too
        rivals = [(other, first, k) for k in differ[first] & ties[other]]
        rivals += [(first, other, k) for k in differ[other] & ties[first]]
        if tie.moved:  # resampling changes more than a faint scratch
            return not (rivals and tie.max_local_residual)
        return all(leaning(*three) < _CLEARLY for three in rivals)

    stars, alone = [], set(range(len(kept))) - set(copies)
    for component in _components(copies):
        rest = set(component)

        def rank(k: int, rest=rest) -> tuple:
            counts = (-len(ties[k] & rest) for ties in (unmoved, copies))
            near = sorted(between(k, j).max_local_residual for j in unmoved[k] & rest)
            return not differ[k] & rest, *counts, sum(near), preference(kept[k])

        while rest:
            first = min(rest, key=rank)
            others = set()
            near = sorted(copies[first] & rest)
            for other in sorted(
                near, key=lambda k: between(first, k).max_local_residual
            ):
                if not apart[other] & others and clearly_nearest(first, other):
                    others.add(other)
            stars.append([first, *sorted(others)])
            rest -= {first, *others}
    return sorted([*stars, *([k] for k in alone)])


def _components(edges: Mapping) -> list[list]:
    """What is connected, sorted."""
    seen, found = set(), []
    for start in sorted(edges):
        if start in seen:
            continue
        reached, ahead = {start}, [start]
        while ahead:
            new = edges[ahead.pop()] - reached
            reached |= new
            ahead.extend(new)
        seen |= reached
        found.append(sorted(reached))
    return found


def _pairs(
    equals: Iterable[list[Picture]],
    verdicts: Mapping[tuple[int, int], verify.Verdict],
    stars: Sequence[list[int]],
    members: Mapping[str, list[Picture]],
    kept: Sequence[Picture],
) -> list[Pair]:
    """Every verified pair, and every dropped image beside the one that stays.

    Two copies of one photograph are not called twins for having been altered otherwise.
    """
    found = {}
    star_of = {place: star[0] for star in stars for place in star}

    def add(path: str, other: str, kind: str, similarity: float, residual: float):
        ends = min(path, other), max(path, other)
        found[ends] = Pair(*ends, kind, round(similarity, 4), round(residual, 2))

    for first, *others in equals:
        for other in others:
            kind = BYTE if other.sha256 == first.sha256 else PIXEL
            add(first.path, other.path, kind, 1.0, 0.0)
    for (a, b), verdict in verdicts.items():
        if verdict.twin and star_of[a] == star_of[b]:
            continue
        add(kept[a].path, kept[b].path, *_evidence(verdict))
    for first, *others in stars:
        for other in others:
            verdict = verdicts[min(first, other), max(first, other)]
            for equal in members[kept[other].path]:
                add(kept[first].path, equal.path, *_evidence(verdict))
    return sorted(found.values())


def _evidence(verdict: verify.Verdict) -> tuple[str, float, float]:
    kind = TWIN
    if verdict.same_photograph:
        kind = GEOMETRIC if verdict.moved else PHOTOMETRIC
    return kind, verdict.similarity, verdict.max_local_residual


def _twin_groups(
    verdicts: Iterable[tuple[int, int]],
    clusters: Iterable[list[str]],
    kept: Sequence[Picture],
) -> list[list[str]]:
    """Images tied by any verified pair, where they are more than one cluster."""
    ties = collections.defaultdict(set)
    cluster_of = {}
    for cluster in clusters:
        for path in cluster:
            cluster_of[path] = cluster
            ties[cluster[0]].add(path)
            ties[path].add(cluster[0])
    for a, b in verdicts:
        ties[kept[a].path].add(kept[b].path)
        ties[kept[b].path].add(kept[a].path)
    return [
        group
        for group in _components(ties)
        if any(path not in cluster_of[group[0]] for path in group)
    ]
