"""What findings of copies and twins mean for the rows: who stays, who goes, what leaks.

Copies of one photograph: all but one are dropped, unless their labels contradict each
other. Twins are kept; the split keeps them together.
"""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from nexperia_tf.data import manifest
from nexperia_tf.data.duplicates import search

# Where copies stand in several splits, the last one keeps its image: an image that
# must be scored is never dropped, and train can spare one first.
_RANK = {"": 0, "train": 0, "validation": 1, manifest.CALIBRATION: 2, "test": 3}
_RANK[manifest.UNLABELLED] = 4


@dataclasses.dataclass(frozen=True)
class Leaks:
    """Pairs of images that stand in different splits."""

    duplicates: list[search.Pair]
    twins: list[search.Pair]

    @property
    def pairs(self) -> list[search.Pair]:
        return [*self.duplicates, *self.twins]


def name_groups(rows: Sequence[manifest.Row], findings: search.Findings) -> None:
    """Fills `cluster` and `twin_group` with the image_id that comes first in them."""
    known = {row.path: row for row in rows}
    for column, groups in (
        ("cluster", findings.clusters),
        ("twin_group", findings.twin_groups),
    ):
        for group in groups:
            for path in group:
                setattr(known[path], column, known[min(group)].image_id)


def drop_conflicts(
    rows: Sequence[manifest.Row],
    findings: search.Findings,
    *,
    kept: Collection[str] = (),
) -> list[list[manifest.Row]]:
    """Drops copies of one photograph that were labelled both good and defect.

    Args:
        rows: all rows.
        findings: with the clusters of copies.
        kept: paths that a person wants to keep.

    Returns:
        The rows of each such cluster.
    """
    known = {row.path: row for row in rows}
    conflicts = []
    for cluster in findings.clusters:
        labelled = [known[path] for path in cluster if known[path].label]
        judged = [row for row in labelled if row.used]
        if len({row.label for row in judged}) < 2:
            continue
        conflicts.append(labelled)
        for row in judged:
            if row.path not in kept:
                row.dropped_because = "label_conflict"
    return conflicts


def drop_duplicates(
    rows: Sequence[manifest.Row],
    findings: search.Findings,
    *,
    kept: Collection[str] = (),
    across_splits: bool = True,
    settled: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Drops all used copies of one photograph but one.

    The one that stays is the one a person keeps, then an unlabelled one (it must be
    scored), then the first of the cluster: lossless, larger, sharper, then by path.

    Args:
        rows: all rows.
        findings: with pairs and clusters.
        kept: paths that a person wants to keep.
        across_splits: whether copies in different given splits are dropped, too.
        settled: splits by path of pictures that were split before: one of them stays
            rather than a new copy, and one in each split they were in.
    """
    known = {row.path: row for row in rows}
    kinds = {(p.path_a, p.path_b): p.kind for p in findings.pairs}
    for cluster in findings.clusters:
        used = [known[path] for path in cluster if known[path].used]
        for part in _parts(used, across_splits, settled):
            best = min(
                part,
                key=lambda row: (
                    row.path not in kept,
                    -_RANK[row.split],
                    row.path not in settled,
                ),
            )
            for row in part:
                needed = row.path in kept or row.split == manifest.UNLABELLED
                if row is not best and not needed:
                    _drop(row, best, _kind(row, best, cluster[0], kinds))


def _parts(
    rows: Sequence[manifest.Row], across_splits: bool, settled: Mapping[str, str]
) -> Iterable[list[manifest.Row]]:
    """Copies of one photograph of which one stays each."""
    had = {settled[row.path] for row in rows if row.path in settled}
    last = max(had, key=_RANK.__getitem__, default="")
    together = across_splits and (len(had) < 2 or not all(row.label for row in rows))
    parts: dict[str, list[manifest.Row]] = collections.defaultdict(list)
    for row in rows:
        split = settled.get(row.path, last) if across_splits else row.split
        parts["" if together else split].append(row)
    return parts.values()


def repair(
    rows: Sequence[manifest.Row],
    findings: search.Findings,
    *,
    kept: Collection[str] = (),
) -> int:
    """Drops copies and twins that stand in several splits, from train first.

    Returns:
        How many images were dropped.
    """
    known = {row.path: row for row in rows}
    kinds = {(p.path_a, p.path_b): p.kind for p in findings.pairs}
    dropped = 0
    for group in [*findings.clusters, *findings.twin_groups]:
        used = [known[path] for path in sorted(group) if known[path].used]
        if len({row.split for row in used}) < 2:
            continue
        best = max(used, key=lambda row: _RANK[row.split])
        for row in used:
            if row.split != best.split and row.path not in kept:
                kind = kinds.get((min(row.path, best.path), max(row.path, best.path)))
                _drop(row, best, kind if kind in search.SAME_PHOTOGRAPH else "")
                row.split = ""
                dropped += 1
    return dropped


def leaks(pairs: Iterable[search.Pair], split_of: Mapping[str, str]) -> Leaks:
    """The pairs whose images stand in different splits.

    Args:
        pairs: verified pairs.
        split_of: split by path; images without one cannot leak.
    """
    crossing = [
        pair
        for pair in pairs
        if split_of.get(pair.path_a)
        and split_of.get(pair.path_b)
        and split_of[pair.path_a] != split_of[pair.path_b]
    ]
    return Leaks(
        duplicates=[p for p in crossing if p.kind in search.SAME_PHOTOGRAPH],
        twins=[p for p in crossing if p.kind not in search.SAME_PHOTOGRAPH],
    )


def split_groups(rows: Iterable[manifest.Row], split_of: Mapping[str, str]) -> int:
    """How many groups (lots) have labelled images in more than one split."""
    splits = collections.defaultdict(set)
    for row in rows:
        split = split_of.get(row.path)
        if split and split != manifest.UNLABELLED:
            splits[row.group].add(split)
    return sum(len(names) > 1 for names in splits.values())


def _drop(row: manifest.Row, best: manifest.Row, kind: str) -> None:
    row.dropped_because = "duplicate"
    row.duplicate_of = best.image_id
    row.duplicate_kind = kind


def _kind(
    row: manifest.Row,
    best: manifest.Row,
    first: str,
    kinds: Mapping[tuple[str, str], str],
) -> str:
    """Kind of a copy: of its pair with `best`, else the weaker of both to `first`."""

    def between(a: str, b: str) -> str | None:
        return kinds.get((min(a, b), max(a, b)))

    direct = between(row.path, best.path)
    if direct:
        return direct
    steps = [between(row.path, first), between(first, best.path)]
    strengths = [search.SAME_PHOTOGRAPH.index(step) for step in steps if step]
    return search.SAME_PHOTOGRAPH[max(strengths, default=0)]
