"""Finds copies of one photograph, and parts too alike to be split apart.

Dropping needs proof, keeping together needs only suspicion: equal pixels and verified
copies make clusters, of which one image stays; images that are merely as alike as a
re-take make twin groups, which stay and are never split.
"""

import collections
import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from nexperia_tf.data import images, progress
from nexperia_tf.data.duplicates import (
    candidates,
    clusters,
    connected,
    fingerprints,
    judging,
    product,
    verify,
)
from nexperia_tf.data.measure import (
    gradients,
    measurement,
    pair_cache,
    signature,
    views,
)
from nexperia_tf.data.proof import (
    alignment,
    evidence,
    jpeg_traces,
    laying,
    memory,
    same_photo,
    sampled,
    tone_curve,
)

BYTE, PIXEL, PHOTOMETRIC, GEOMETRIC = "byte", "pixel", "photometric", "geometric"
TWIN = "twin"
COMPARING, VERIFYING = "Comparing pictures", "Verifying pairs"  # steps
SAME_PHOTOGRAPH = (BYTE, PIXEL, PHOTOMETRIC, GEOMETRIC)


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """A readable image as the search knows it; its pixels stay on disk."""

    path: str
    sha256: str
    pixel_sha256: str
    width: int
    height: int
    format: str  # BMP, JPEG or PNG
    sharpness: float
    signature: bytes

    @classmethod
    def of(cls, path: str, measures: measurement.Measures) -> "Measured":
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
    pictures: Sequence[Measured],
    *,
    load: Callable[[str], np.ndarray],
    qualities: Callable[[str], Iterable[int]] = lambda path: jpeg_traces.QUALITIES,
    known: pair_cache.Pairs | None = None,
    workers: int = 1,
    on_progress: progress.Callback = progress.silent,
) -> Findings:
    """Finds duplicates and twins among images of one product.

    Args:
        pictures: the readable images, in any order.
        load: gives the pixels of a path, uint8 `(h, w)` or `(h, w, 3)`; called from
            threads, for candidates only.
        qualities: gives those at which the JPEG file of a path may have been saved, see
            `jpeg_traces.qualities`; also called from threads.
        known: what earlier runs have found, see `pairs_known`.
        workers: threads that verify candidates.
        on_progress: called as `on_progress(step, done, total)` now and then.

    Returns:
        The same findings for any order of pictures and any number of workers.
    """
    pictures = sorted(pictures, key=lambda picture: picture.path)
    equals = _equal_pixels(pictures)
    unique = sorted((group[0] for group in equals), key=lambda picture: picture.path)
    thumbnails = signature.Thumbnails([picture.signature for picture in unique])
    pairs, settings = candidates.search(
        thumbnails,
        workers=workers,
        on_progress=functools.partial(on_progress, COMPARING),
    )
    verdicts: dict[tuple[int, int], verify.Verdict] = {}
    clustered = [[place] for place in range(len(unique))]  # places, the kept one first
    if pairs:
        verifier = verify.Verifier(
            thumbnails,
            lambda place: load(unique[place].path),
            [picture.format == "JPEG" for picture in unique],
            lambda place: qualities(unique[place].path),
            contents=[picture.sha256 for picture in unique],
            known=known,
        )
        verdicts = judging.verdicts(
            pairs, verifier, workers, functools.partial(on_progress, VERIFYING)
        )
        settings |= verifier.settings
        preferences = [preference(picture) for picture in unique]
        clustered = clusters.Clusters(
            preferences, verdicts, verifier.position_between
        ).all()
    equal_to = {group[0].path: group for group in equals}
    copies = [
        [picture.path for place in cluster for picture in equal_to[unique[place].path]]
        for cluster in clustered
    ]
    return Findings(
        pairs=_pairs(equals, verdicts, clustered, equal_to, unique),
        clusters=sorted(cluster for cluster in copies if len(cluster) > 1),
        twin_groups=_twin_groups(verdicts, copies, unique),
        settings=settings,
    )


def pairs_known(
    folder: pathlib.Path | None,
) -> contextlib.AbstractContextManager[pair_cache.Pairs]:
    """What pairs of files were found to be by this code, kept in a cache folder."""
    measured = (images, gradients, measurement, signature, views)
    proved = (alignment, evidence, jpeg_traces, laying, memory, same_photo, sampled)
    found = (candidates, fingerprints, product, tone_curve, verify)
    return pair_cache.Pairs.opened(folder, (*measured, *proved, *found))


def preference(picture: Measured) -> tuple:
    """Sorts the copy to keep to the front: lossless, larger, sharper, then path."""
    lossy = picture.format == "JPEG"
    area = picture.width * picture.height
    return (lossy, -area, -picture.sharpness, picture.path)


def _equal_pixels(pictures: Sequence[Measured]) -> list[list[Measured]]:
    """Pictures by their pixels, the preferred one of each first."""
    groups = collections.defaultdict(list)
    for picture in pictures:
        groups[picture.pixel_sha256].append(picture)
    return [sorted(group, key=preference) for group in groups.values()]


def _pairs(
    equals: Iterable[list[Measured]],
    verdicts: Mapping[tuple[int, int], verify.Verdict],
    clustered: Sequence[list[int]],
    equal_to: Mapping[str, list[Measured]],
    unique: Sequence[Measured],
) -> list[Pair]:
    """Every verified pair, and every dropped image beside the one that stays.

    Two copies of one photograph are no twins, even where both were altered.
    """
    pairs = {}
    kept_of = {place: cluster[0] for cluster in clustered for place in cluster}

    def add(path: str, other: str, kind: str, similarity: float, residual: float):
        ends = min(path, other), max(path, other)
        pairs[ends] = Pair(*ends, kind, round(similarity, 4), round(residual, 2))

    for first, *others in equals:
        for other in others:
            kind = BYTE if other.sha256 == first.sha256 else PIXEL
            add(first.path, other.path, kind, 1.0, 0.0)
    for (a, b), verdict in verdicts.items():
        if verdict.twin and kept_of[a] == kept_of[b]:
            continue
        add(unique[a].path, unique[b].path, *_pair_columns(verdict))
    for first, *others in clustered:
        for other in others:
            verdict = verdicts[min(first, other), max(first, other)]
            for equal in equal_to[unique[other].path]:
                add(unique[first].path, equal.path, *_pair_columns(verdict))
    return sorted(pairs.values())


def _pair_columns(verdict: verify.Verdict) -> tuple[str, float, float]:
    kind = TWIN
    if verdict.same_photograph:
        kind = GEOMETRIC if verdict.moved else PHOTOMETRIC
    return kind, verdict.similarity, verdict.max_local_residual


def _twin_groups(
    verdicts: Iterable[tuple[int, int]],
    copies: Iterable[list[str]],
    unique: Sequence[Measured],
) -> list[list[str]]:
    """Images tied by any verified pair, where they are more than one cluster."""
    cluster_of = {path: cluster for cluster in copies for path in cluster}
    ties = [(cluster[0], path) for cluster in copies for path in cluster]
    ties += [(unique[a].path, unique[b].path) for a, b in verdicts]
    return [
        group
        for group in connected.components(ties)
        if any(path not in cluster_of[group[0]] for path in group)
    ]
