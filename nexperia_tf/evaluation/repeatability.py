"""Whether a verdict holds when the same device is photographed a little differently.

No two photographs of a device are equal: it lies a pixel beside, the lamp has aged, the
file was saved as JPEG. A verdict that flips by that is no property of the device.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from sklearn import metrics as sklearn_metrics

from nexperia_tf.statistics import clustered, intervals

JPEG_QUALITY = 90
DEGREES = 1.0
BRIGHTNESS = 0.05
ANY = "any of them"
NO_KIND = "not said"


def _moved(matrix: Callable[[int, int], np.ndarray]) -> Callable:
    """Moves a picture; what comes in from outside repeats the rim."""

    def change(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        moved = cv2.warpAffine(
            pixels,
            matrix(height, width),
            (width, height),
            borderMode=cv2.BORDER_REPLICATE,
        )
        return moved.reshape(pixels.shape)

    return change


def _shifted(right: int, down: int) -> Callable:
    return _moved(lambda height, width: np.float32([[1, 0, right], [0, 1, down]]))


def _turned(degrees: float) -> Callable:
    return _moved(
        lambda height, width: cv2.getRotationMatrix2D(
            ((width - 1) / 2, (height - 1) / 2), degrees, 1.0
        )
    )


def _lit(factor: float) -> Callable:
    def change(pixels: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(pixels * factor), 0, 255).astype(np.uint8)

    return change


def _saved_as_jpeg(pixels: np.ndarray) -> np.ndarray:
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    # OpenCV takes the first channel for blue; turned round, red is red.
    _, content = cv2.imencode(".jpg", pixels[..., ::-1], quality)
    read = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(read.reshape(pixels.shape)[..., ::-1])


CHANGES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "1 pixel left": _shifted(-1, 0),
    "1 pixel right": _shifted(1, 0),
    "1 pixel up": _shifted(0, -1),
    "1 pixel down": _shifted(0, 1),
    "5 % darker": _lit(1 - BRIGHTNESS),
    "5 % brighter": _lit(1 + BRIGHTNESS),
    "saved as JPEG 90": _saved_as_jpeg,
    "turned 1 degree left": _turned(DEGREES),
    "turned 1 degree right": _turned(-DEGREES),
}


def variants(pixels: np.ndarray) -> list[np.ndarray]:
    """A picture as it is, then under each of CHANGES.

    Args:
        pixels: uint8 of shape `(height, width, channels)`, 1 or 3 channels.
    """
    return [pixels, *(change(pixels) for change in CHANGES.values())]


def flipped(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Whether each change flips the verdict, bool of shape `(pictures, changes)`.

    Args:
        scores: shape `(pictures, 1 + len(CHANGES))`, as `variants` orders them.
        threshold: from which a score is a defect's.
    """
    verdicts = np.asarray(scores) >= threshold
    return verdicts[:, 1:] != verdicts[:, :1]


@dataclasses.dataclass(frozen=True)
class Flips:
    """What one change does to the verdicts.

    Attributes:
        change: one of CHANGES, or ANY.
        to_defect, to_good: pictures whose verdict flips so; of ANY, under any change.
        share: of the pictures whose verdict flips, with exact limits.
        kappa: Cohen's, of the verdicts with and without it; None of ANY, and where all
            verdicts are the same.
        largest: difference of a picture's score.
    """

    change: str
    to_defect: int
    to_good: int
    share: intervals.Interval
    kappa: float | None
    largest: float


@dataclasses.dataclass(frozen=True)
class OfKind:
    """Pictures of one kind of defect, or good ones.

    Attributes:
        kind: its name.
        n: pictures.
        flips: those whose verdict flips under any change.
        share: the same with exact limits.
        most: change that flips most of them; "" where none does.
    """

    kind: str
    n: int
    flips: int
    share: intervals.Interval
    most: str


@dataclasses.dataclass(frozen=True)
class Repeatability:
    """How often verdicts flip.

    Attributes:
        n: pictures.
        threshold: from which a score is a defect's.
        changes: a line for each change, and one for any of them.
        kinds: a line for each kind; empty where nobody said kinds.
    """

    n: int
    threshold: float
    changes: tuple[Flips, ...]
    kinds: tuple[OfKind, ...]

    @property
    def said(self) -> str:
        """The finding in one sentence."""
        *single, any_change = self.changes
        flips = any_change.to_defect + any_change.to_good
        told = (
            f"{flips} of {self.n} verdicts at threshold {self.threshold:.4g} flip "
            f"under at least one of {len(single)} small changes"
        )
        if not flips:
            return f"{told}."
        worst = max(single, key=lambda each: each.share.value)
        return f"{told}, most of them when {_when(worst.change)}."


def _when(change: str) -> str:
    """
    >>> _when("1 pixel left"), _when("saved as JPEG 90")
    ('moved 1 pixel left', 'saved as JPEG 90')
    """
    return f"moved {change}" if change.startswith("1 pixel") else change


def judge(
    scores: np.ndarray,
    threshold: float,
    *,
    kinds: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    confidence: float = intervals.CONFIDENCE,
) -> Repeatability:
    """Counts verdicts that flip.

    Args:
        scores: shape `(pictures, 1 + len(CHANGES))`, as `variants` orders them.
        threshold: from which a score is a defect's.
        kinds: of each picture; "" where it is not known.
        groups: names of shape `(pictures,)` that devices share; None takes each for
            its own.
        confidence: of the limits.

    Raises:
        ValueError: another number of scores.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[1] != 1 + len(CHANGES):
        raise ValueError(
            f"scores: a column for the picture and one for each of {len(CHANGES)} "
            f"changes. Received shape {scores.shape}."
        )
    verdicts = scores >= threshold
    flips = flipped(scores, threshold)

    def share(hits: np.ndarray, among: np.ndarray | slice) -> intervals.Interval:
        part = None if groups is None else np.asarray(groups)[among]
        return clustered.rate(hits, scores[among, 0], part, confidence=confidence)

    def line(change: str, hits: np.ndarray, kappa: float | None, apart: np.ndarray):
        was_good = hits & ~verdicts[:, 0]
        return Flips(
            change,
            to_defect=int(was_good.sum()),
            to_good=int(hits.sum() - was_good.sum()),
            share=share(hits, slice(None)),
            kappa=kappa,
            largest=float(apart.max(initial=0)),
        )

    apart = np.abs(scores[:, 1:] - scores[:, :1])
    changes = [
        line(name, flips[:, i], _kappa(verdicts[:, 0], verdicts[:, i + 1]), apart[:, i])
        for i, name in enumerate(CHANGES)
    ]
    changes.append(line(ANY, flips.any(axis=1), None, apart))
    of_kind = np.array([kind or NO_KIND for kind in kinds or []])
    return Repeatability(
        n=len(scores),
        threshold=float(threshold),
        changes=tuple(changes),
        kinds=tuple(
            _of_kind(kind, flips[of_kind == kind], share, of_kind == kind)
            for kind in np.unique(of_kind)
        ),
    )


def _of_kind(
    kind: str, flipped: np.ndarray, share: Callable, among: np.ndarray
) -> OfKind:
    hits = flipped.any(axis=1)
    most = list(CHANGES)[int(flipped.sum(axis=0).argmax())] if hits.any() else ""
    return OfKind(str(kind), len(hits), int(hits.sum()), share(hits, among), most)


def _kappa(first: np.ndarray, second: np.ndarray) -> float | None:
    """Cohen's kappa; None where both only know one and the same verdict."""
    if len(np.unique(np.concatenate([first, second]))) < 2:
        return None
    kappa = float(sklearn_metrics.cohen_kappa_score(first, second))
    return None if math.isnan(kappa) else kappa
