"""Finds copies of one photograph, and parts too alike to be split apart.

Dropping needs proof, keeping together needs only suspicion.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from nexperia_tf.data import hashing

BYTE, PIXEL, PHOTOMETRIC, GEOMETRIC = "byte", "pixel", "photometric", "geometric"
TWIN = "twin"
SAME_PHOTOGRAPH = (BYTE, PIXEL, PHOTOMETRIC, GEOMETRIC)

signature = hashing.signature
phash = hashing.phash
SIGNATURE_VERSION = hashing.VERSION


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
    pictures = sorted(pictures, key=lambda picture: picture.path)
    pairs = [
        *_equal(pictures, "sha256", BYTE),
        *_equal(pictures, "pixel_sha256", PIXEL),
    ]
    pairs = sorted({(p.path_a, p.path_b): p for p in reversed(pairs)}.values())
    groups = collections.defaultdict(list)
    for picture in pictures:
        groups[picture.pixel_sha256].append(picture)
    clusters = [
        [picture.path for picture in sorted(group, key=preference)]
        for group in groups.values()
        if len(group) > 1
    ]
    return Findings(pairs=pairs, clusters=clusters, twin_groups=[], settings={})


def preference(picture: Picture) -> tuple:
    """Sorts the copy to keep to the front: lossless, larger, sharper, then path."""
    lossy = picture.format == "JPEG"
    area = picture.width * picture.height
    return (lossy, -area, -picture.sharpness, picture.path)


def _equal(pictures: Sequence[Picture], column: str, kind: str) -> list[Pair]:
    groups = collections.defaultdict(list)
    for picture in pictures:
        groups[getattr(picture, column)].append(picture.path)
    return [
        Pair(paths[0], other, kind, 1.0, 0.0)
        for paths in groups.values()
        for other in paths[1:]
    ]
