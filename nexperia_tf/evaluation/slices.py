"""Where the model is weak: the same threshold, judged on parts of the devices."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf.statistics import clustered, intervals

if typing.TYPE_CHECKING:
    from nexperia_tf.data import manifest

SMALL = 20  # devices under which a rate is an anecdote
QUARTERS = ("smallest", "small", "large", "largest")
# How a slice is called in the report, by column.
TITLES = {
    "defect_type": "Defect type",
    "lot": "Lot",
    "group": "Group",
    "machine": "Machine",
    "box_size": "Box size",
    "brightness": "Brightness",
}


@dataclasses.dataclass(frozen=True)
class Slice:
    """Devices that share a value.

    Attributes:
        by: the column, such as "lot".
        value: the value they share.
        n, n_defect: how many devices, and how many of them defects.
        escapes, false_calls: defects below and good devices above the threshold.
        escape_rate, overkill_rate: with exact limits; None without such devices.
        auc: `clustered.headline`; None with a single class.
        small: too few devices for the rate to mean much.
    """

    by: str
    value: str
    n: int
    n_defect: int
    escapes: int
    false_calls: int
    escape_rate: intervals.Interval | None
    overkill_rate: intervals.Interval | None
    auc: intervals.Interval | None
    small: bool


def table(
    labels: np.ndarray,
    scores: np.ndarray,
    columns: Mapping[str, Sequence[str]],
    *,
    groups: np.ndarray | None = None,
    threshold: float,
    confidence: float = 0.95,
) -> list[Slice]:
    """Every slice of every column, worst first within its column.

    Worst is the highest rate that the counts are sure of: the lower limit of the
    escape rate, then of the overkill rate. Devices without a value are left out; so
    are columns that say the same of every device.

    Args:
        labels: array of shape `(devices,)`, 1 for defect and 0 for good.
        scores: array of shape `(devices,)`, probability of defect.
        columns: text of shape `(devices,)` by column; see TITLES.
        groups: names of shape `(devices,)`; None takes each device for its own. A slice
            of one group is judged as what it is, by its devices.
        threshold: devices at or above it are rejected.
        confidence: level of the intervals.
    """
    devices = Judged(
        np.asarray(labels),
        np.asarray(scores),
        None if groups is None else np.asarray(groups),
        threshold,
        confidence,
    )
    all_slices = []
    for by, values in columns.items():
        values = np.asarray(values, dtype=object)
        names = sorted({value for value in values if value})
        parts = [devices.slice(by, name, values == name) for name in names]
        if len(parts) > 1:
            all_slices += sorted(parts, key=_badness, reverse=True)
    return all_slices


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """Devices under a threshold.

    Attributes:
        labels, scores: arrays of shape `(devices,)`.
        groups: names of the same shape; None takes each device for its own.
        threshold: devices at or above it are rejected.
        confidence: level of the intervals.
    """

    labels: np.ndarray
    scores: np.ndarray
    groups: np.ndarray | None
    threshold: float
    confidence: float

    def slice(self, by: str, value: str, inside: np.ndarray) -> Slice:
        """The devices of a mask, which share a value of a column."""
        part = self._take(inside)
        defects, rejected = part.labels == 1, part.scores >= self.threshold
        n_defect, n_good = int(defects.sum()), int((~defects).sum())
        return Slice(
            by=by,
            value=value,
            n=len(part.labels),
            n_defect=n_defect,
            escapes=int(np.sum(defects & ~rejected)),
            false_calls=int(np.sum(~defects & rejected)),
            escape_rate=part._rate(~rejected, defects),
            overkill_rate=part._rate(rejected, ~defects),
            auc=part._auc() if n_defect and n_good else None,
            # Kinds of defect have no good devices; parts of a line are judged by both.
            small=max(n_defect, n_good) < SMALL,
        )

    def _take(self, inside: np.ndarray) -> "Judged":
        groups = None if self.groups is None else self.groups[inside]
        if groups is not None and clustered.count(groups) == 1:
            groups = None  # judged as what it is, by its devices
        return dataclasses.replace(
            self,
            labels=self.labels[inside],
            scores=self.scores[inside],
            groups=groups,
        )

    def _rate(self, hits: np.ndarray, among: np.ndarray) -> intervals.Interval | None:
        if not among.any():
            return None
        groups = None if self.groups is None else self.groups[among]
        return clustered.rate(
            hits[among], self.scores[among], groups, confidence=self.confidence
        )

    def _auc(self) -> clustered.Headline:
        return clustered.headline(
            self.labels, self.scores, self.groups, confidence=self.confidence
        )


def _badness(part: Slice) -> tuple:
    escape = part.escape_rate.low if part.escape_rate else -1.0
    overkill = part.overkill_rate.low if part.overkill_rate else -1.0
    return escape, overkill, part.escapes, part.false_calls, part.n


def quarters(values: Sequence[float | None]) -> list[str]:
    """Four classes of equal count by size of a number, with its limits; "" for None."""
    known = np.array([v for v in values if v is not None], dtype=np.float64)
    if len(np.unique(known)) < len(QUARTERS):
        return [""] * len(values)
    edges = np.quantile(known, [0, 0.25, 0.5, 0.75, 1])
    names = [
        f"{name} ({low:.4g} to {high:.4g})"
        for name, low, high in zip(QUARTERS, edges[:-1], edges[1:])
    ]
    place = lambda v: int(np.searchsorted(edges[1:-1], v, side="left"))  # noqa: E731
    return ["" if v is None else names[place(v)] for v in values]


@dataclasses.dataclass(frozen=True)
class Familiarity:
    """The AUC on devices whose group the model was trained on, and on the others.

    A random split mixes both: the gap is what a new lot costs.
    """

    seen: intervals.Interval | None
    n_seen: int
    unseen: intervals.Interval | None
    n_unseen: int


def familiarity(
    labels: np.ndarray,
    scores: np.ndarray,
    groups: Sequence[str],
    trained_on: set[str],
    *,
    confidence: float = 0.95,
) -> Familiarity:
    """Splits the devices by whether training saw their group."""
    groups = np.asarray(groups, dtype=object)
    seen = np.array([group in trained_on for group in groups])
    parts = []
    for inside in (seen, ~seen):
        both = len(set(np.asarray(labels)[inside])) == 2
        parts.append(
            clustered.headline(
                labels[inside], scores[inside], groups[inside], confidence=confidence
            )
            if both
            else None
        )
    return Familiarity(parts[0], int(seen.sum()), parts[1], int((~seen).sum()))


def within_groups(
    labels: np.ndarray, scores: np.ndarray, groups: Sequence[str]
) -> tuple[float, int] | None:
    """AUC over pairs of one group only, and the number of such pairs.

    What is left when the group itself, its light or its lot, cannot help to tell good
    from defect. None when no group holds both classes.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    groups = np.asarray(groups, dtype=object)
    won, pairs = 0.0, 0
    for group in {g for g in groups if g}:
        inside = groups == group
        defects = scores[inside & (labels == 1)]
        good = np.sort(scores[inside & (labels == 0)])
        below = np.searchsorted(good, defects, side="left")
        up_to = np.searchsorted(good, defects, side="right")
        won += float(np.sum(below + up_to)) / 2
        pairs += len(defects) * len(good)
    return (won / pairs, pairs) if pairs else None


def image_columns(rows: Sequence["manifest.Row"]) -> dict[str, list[str]]:
    """Slices that need the photographs: box size and brightness, in quarters."""
    columns = {
        "box_size": quarters([_box_side(row) for row in rows]),
        "brightness": quarters([row.brightness for row in rows]),
    }
    return {name: values for name, values in columns.items() if any(values)}


def _box_side(row: "manifest.Row") -> float | None:
    """Side, in pixels, of a square as large as the device's largest box."""
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in row.boxes]
    return max(areas) ** 0.5 if areas else None
