"""Two models on the same devices, each at its own threshold: figures with limits."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from nexperia_tf import labels, predictions
from nexperia_tf.evaluation.report import formats
from nexperia_tf.statistics import clustered, intervals, non_inferiority


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What one model says of devices.

    Attributes:
        scores: probability of defect, float64 of shape `(devices,)`.
        rejected: whether it calls each a defect, bool of the same shape.
    """

    scores: np.ndarray
    rejected: np.ndarray


@dataclasses.dataclass(frozen=True)
class Share:
    """A count of devices as a share, with two-sided limits."""

    count: int
    of: int
    limits: intervals.Interval

    @property
    def words(self) -> str:
        return (
            f"{self.count} of {self.of} ({formats.share(self.limits.value)}; "
            f"{formats.limits(self.limits)})"
        )


@dataclasses.dataclass(frozen=True)
class Figures:
    """One model on the devices.

    Attributes:
        auc: with its limits.
        caught: of the defects.
        overkill: of the good devices.
    """

    auc: clustered.Headline
    caught: Share
    overkill: Share


@dataclasses.dataclass(frozen=True)
class OfKind:
    """Defects of one kind, and how many of them each model catches."""

    kind: str
    of: int
    new: int
    old: int


@dataclasses.dataclass(frozen=True)
class Compared:
    """Two models on the same devices.

    Attributes:
        new, old: figures of each.
        groups: how many lots or other groups; None where each device is its own.
        catch, overkill: the newer one's rate less the older one's.
        kinds: by kind of defect.
        newly_missed: defects that the older one alone catches.
        newly_rejected: good devices that the newer one alone rejects.
    """

    new: Figures
    old: Figures
    groups: int | None
    catch: non_inferiority.Difference
    overkill: non_inferiority.Difference
    kinds: tuple[OfKind, ...]
    newly_missed: tuple[str, ...]
    newly_rejected: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Flips:
    """Verdicts that flip on pictures changed a little, of each model."""

    new: int
    old: int
    difference: non_inferiority.Difference


def compare(
    devices: predictions.Predictions, new: Answers, old: Answers, *, confidence: float
) -> Compared:
    """The figures of both, and their differences.

    Args:
        devices: names, labels, kinds and groups; both classes among them.
        new, old: what each model says of them.
        confidence: of the one-sided limits of the differences.
    """
    groups = clustered.groups_of(devices)
    defect = devices.label == labels.POSITIVE
    kinds = devices.columns.get("defect_type", [""] * len(devices))
    found = [
        _difference(new, old, part, groups, confidence) for part in (defect, ~defect)
    ]
    missed = defect & old.rejected & ~new.rejected
    rejected = ~defect & new.rejected & ~old.rejected
    return Compared(
        _figures(devices, new, groups),
        _figures(devices, old, groups),
        None if groups is None else clustered.count(groups),
        *found,
        _by_kind(kinds, defect, new, old),
        tuple(devices.image_id[missed]),
        tuple(devices.image_id[rejected]),
    )


def _difference(
    new: Answers, old: Answers, part: np.ndarray, groups, confidence: float
) -> non_inferiority.Difference:
    scores = new.scores[part], old.scores[part]
    return non_inferiority.paired(
        new.rejected[part],
        old.rejected[part],
        scores=(*scores, scores[0] - scores[1]),
        groups=None if groups is None else groups[part],
        confidence=confidence,
    )


def _figures(
    devices: predictions.Predictions, answers: Answers, groups: np.ndarray | None
) -> Figures:
    defect = devices.label == labels.POSITIVE

    def share(part: np.ndarray) -> Share:
        hits, inside = answers.rejected[part], None if groups is None else groups[part]
        limits = clustered.rate(hits, answers.scores[part], inside)
        return Share(int(hits.sum()), len(hits), limits)

    auc = clustered.headline(devices.label, answers.scores, groups)
    return Figures(auc, share(defect), share(~defect))


def _by_kind(
    kinds: Sequence[str], defect: np.ndarray, new: Answers, old: Answers
) -> tuple[OfKind, ...]:
    places = collections.defaultdict(list)
    for place in np.flatnonzero(defect):
        places[kinds[place] or labels.DEFECT].append(place)
    return tuple(
        OfKind(kind, len(at), int(new.rejected[at].sum()), int(old.rejected[at].sum()))
        for kind, at in sorted(places.items())
    )


def flips(
    new: np.ndarray,
    old: np.ndarray,
    *,
    scores: Sequence[np.ndarray],
    groups: Sequence[str] | None,
    confidence: float,
) -> Flips:
    """Compares which verdicts flip under any small change.

    Args:
        new, old: bool of shape `(pictures,)`.
        scores, groups, confidence: as of `non_inferiority.paired`.
    """
    found = non_inferiority.paired(
        new, old, scores=scores, groups=groups, confidence=confidence
    )
    return Flips(int(np.sum(new)), int(np.sum(old)), found)
