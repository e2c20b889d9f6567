"""The depth range: which values of 16-bit pictures become black and white.

It is given, or taken from the training split alone, so that no other picture has a say
in how a model sees.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from nexperia_tf import bounds, errors
from nexperia_tf.data import images, manifest
from nexperia_tf.data.raw import file_names

GIVEN, TRAINING, RUN = "given", "training split", "run"  # where a range can come from
NO_RANGE = (
    "has 16 bits, and no 16-bit picture is in the training split to take their range "
    "from; pass --depth-range LOW HIGH"
)
SHARES = 0.001, 0.999  # of the values: those at the ends become black and white
SAMPLED = 200  # pictures of which the values are counted


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that there is already, and that is to see the pictures.

    Attributes:
        name: its run or folder.
        depth_range: what it knows as black and white; None where it has learned from 8
            bits and must not see 16-bit pictures, each folder of them in other greys.
    """

    name: str
    depth_range: tuple[float, float] | None

    def keeps(self, given: Sequence[float] | None) -> bool:
        """Whether a range is the one that it knows."""
        return bool(self.depth_range and given) and tuple(given) == tuple(
            self.depth_range
        )

    def check(self, data: object) -> None:
        """Refuses 16-bit pictures of `data` where it knows no range."""
        if self.depth_range is None:
            raise errors.BadInput(
                f"{data}: holds 16-bit pictures, {self.name} has learned from 8 bits; "
                "pass --depth-range LOW HIGH, the values to become black and white."
            )


@dataclasses.dataclass(frozen=True)
class Depth:
    """The range of a preparation.

    Attributes:
        low: the value that becomes 0, with all below it.
        high: the value that becomes 255, with all above it.
        source: `GIVEN`, `TRAINING` or `RUN`, kept from that of a model.
        pictures: 16-bit pictures that are used.
    """

    low: float
    high: float
    source: str
    pictures: int

    @property
    def range(self) -> tuple[float, float]:
        return self.low, self.high


def find(
    rows: Iterable[manifest.Row],
    deep: Collection[str],
    raw: pathlib.Path,
    *,
    given: tuple[float, float] | None,
    seed: int,
    max_pixels: int,
    seen_by: Model | None = None,
) -> Depth | None:
    """The depth range of what is used; None where that is 8 bit, all of it.

    Args:
        rows: of the manifest, after splitting.
        deep: paths of 16-bit pictures.
        raw: folder that paths start from.
        given: the range, where a person named it.
        seed: draws the training pictures that are looked at.
        max_pixels: the most that a picture may have.
        seen_by: the model that is to see them, where there is one.

    Raises:
        errors.BadInput: that model knows no range, and none is given.
    """
    used = [row for row in rows if row.used and row.path in deep]
    if not used:
        return None
    if given:
        is_kept = seen_by is not None and seen_by.keeps(given)
        return Depth(*map(float, given), RUN if is_kept else GIVEN, len(used))
    if seen_by:
        seen_by.check(raw)
    train = [row.path for row in used if row.split == "train"]
    counts = _counts(raw, _sample(train, seed), max_pixels)
    return Depth(*_ends(counts), TRAINING, len(used))


def without_range(
    rows: Iterable[manifest.Row], deep: Collection[str]
) -> list[manifest.Row]:
    """The used 16-bit pictures, where none of them is in the training split."""
    used = [row for row in rows if row.used and row.path in deep]
    return [] if any(row.split == "train" for row in used) else used


def _sample(paths: Sequence[str], seed: int) -> list[str]:
    """`SAMPLED` of the paths: by draws that depend on the seed and each path alone."""

    def draw(path: str) -> bytes:
        return hashlib.sha256(f"depth {seed} {path}".encode()).digest()

    return sorted(paths, key=draw)[:SAMPLED]


def _counts(raw: pathlib.Path, paths: Iterable[str], max_pixels: int) -> np.ndarray:
    """How often each 16-bit value is stored in these pictures."""
    counts = np.zeros(bounds.MOST_OF_16_BITS + 1, np.int64)
    for path in paths:
        content = file_names.on_disk(raw, path).read_bytes()
        native = images.load(content, max_pixels=max_pixels).native
        counts += np.bincount(native.ravel(), minlength=len(counts))
    return counts


def _ends(counts: np.ndarray) -> tuple[float, float]:
    """The values at the two shares; one apart where all pictures are of one value."""
    reached = np.cumsum(counts)
    low, high = (np.searchsorted(reached, share * reached[-1]) for share in SHARES)
    if low == high:
        low = min(low, bounds.MOST_OF_16_BITS - 1)
        high = low + 1
    return float(low), float(high)


def numbers(depth: Depth | None) -> dict[str, dict]:
    """What summary.json says of it; nothing where all is 8 bit."""
    if depth is None:
        return {}
    stated = {"low": depth.low, "high": depth.high, "from": depth.source}
    return {"depth_range": stated | {"pictures": depth.pictures}}


def of_summary(summary: Mapping) -> tuple[float, float] | None:
    """The range that a summary.json of any version states."""
    stated = summary.get("depth_range")
    return (stated["low"], stated["high"]) if stated else None


def in_words(summary: Mapping) -> str:
    """One line on the range of a summary.json; empty where it has none.

    >>> stated = {"low": 800.0, "high": 3900.0, "from": "given", "pictures": 40}
    >>> in_words({"depth_range": stated})
    '16-bit pictures: 40, shown from 800 (black) to 3,900 (white), as given'
    """
    stated = summary.get("depth_range")
    if not stated:
        return ""
    low, high = shown(of_summary(summary))
    why = {
        GIVEN: "as given",
        RUN: "kept from the run",
        TRAINING: "the .1 and 99.9 percentile of the training split",
    }
    return (
        f"16-bit pictures: {stated['pictures']:,}, shown from {low} (black) to {high} "
        f"(white), {why[stated['from']]}"
    )


def shown(range: tuple[float, float]) -> tuple[str, str]:
    """Both ends for a sentence.

    >>> shown((0.5, 4095.0))
    ('0.5', '4,095')
    """
    return tuple(f"{end:,.0f}" if end == int(end) else f"{end:g}" for end in range)
