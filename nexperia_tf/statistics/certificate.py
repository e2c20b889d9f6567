"""Which threshold is certain to keep an escape rate, and what that rests on.

Where each calibration device is its own group, the guarantee rests on nothing but
their count, as long as the devices to come are drawn like those. Devices of one lot
resemble each other: there groups are counted (guarantee.py says what is assumed).
Devices that have also selected the epoch pay for each epoch they could have selected.
"""

import dataclasses
import re

import numpy as np

from nexperia_tf import errors
from nexperia_tf.runs import training_pictures
from nexperia_tf.statistics import choices, guarantee, metrics
from nexperia_tf.statistics.wording import counted, percent

MAX_ESCAPE = 0.005  # escape rate that may not be exceeded, unless another is asked for
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Usage:
    """What calibration devices were used for before they set a threshold.

    Attributes:
        models: how many they had to choose from, which a guarantee is corrected
            for; None where that is unknown, and nothing is certain.
        why: that in words, after "they"; "" says models.
        seen_in_training: how many were trained on; any spoils the guarantee.
        unlisted: for how many that is not known.
    """

    models: int | None = 1
    why: str = ""
    seen_in_training: int = 0
    unlisted: int = 0

    @classmethod
    def of(
        cls, selection: choices.Choices, overlap: training_pictures.Overlap | None
    ) -> "Usage":
        """From what they selected, and which of them a model knows."""
        seen = (0, 0) if overlap is None else (len(overlap.names), overlap.unlisted)
        return cls(selection.count, selection.why, *seen)

    @property
    def can_certify(self) -> bool:
        """Whether these devices could certify anything, were they enough."""
        return self.models is not None and not self.seen_in_training

    @property
    def choices_why(self) -> str:
        """What they chose among, after "they"."""
        if self.why or self.models == 1:
            return self.why or choices.NOTHING.why
        return f"chose among {self.models or 'an unknown number of'} models"

    @property
    def warning(self) -> str:
        """How many of them a model was trained on; "" where none.

        >>> Usage(seen_in_training=3).warning, Usage().warning
        ('3 of the calibration devices, or their twins, were trained on', '')
        >>> Usage(unlisted=2).warning
        'whether 2 of the calibration devices were trained on is not known'
        """
        return trained_on(self.seen_in_training, self.unlisted)


UNUSED = Usage()


@dataclasses.dataclass(frozen=True)
class Guarantee:
    """A threshold and the escape rate it guarantees.

    Attributes:
        max_escape: the escape rate asked for.
        confidence: the certainty asked for.
        n_defect: calibration defects it rests on.
        n_groups: groups they come from.
        usage: what these devices were used for before.
        threshold: score of a calibration defect; devices at or above it are rejected.
        misses_allowed: calibration defects below it.
        guaranteed: whether the escape rate stays below `max_escape` with `confidence`.
        defects_needed: fewest calibration defects that could certify `max_escape`.
        groups_needed: groups like these in which they would come.
        certified_escape: the escape rate that `threshold` is certain to keep; 1 where
            these devices can certify nothing, however many they are.
        method: `guarantee.DEVICES`, `LIMITED` or `UNITS`.
        effective_defects: independent defects that would certify as much.
        rho: upper limit of the intraclass correlation of missed defects; None where
            devices are their own groups.
        rho_level: share of defects missed where it was looked for; None for rho 1.
        grouped_by: word for a group; None where each device is its own.
    """

    max_escape: float
    confidence: float
    n_defect: int
    n_groups: int
    usage: Usage
    threshold: float
    misses_allowed: int
    guaranteed: bool
    defects_needed: int
    groups_needed: int
    certified_escape: float
    method: str
    effective_defects: float
    rho: float | None
    rho_level: float | None
    grouped_by: str | None = None

    def certificate(self, source: str) -> "Certificate":
        """What the calibration devices, which are called `source`, decide."""
        alone = self.method == guarantee.DEVICES
        return Certificate(
            target=self.max_escape,
            confidence=self.confidence,
            threshold=self.threshold,
            guaranteed=self.guaranteed,
            defects_needed=self.defects_needed,
            refusal=None if self.guaranteed else self.refusal,
            calibration_defects=self.n_defect,
            misses_allowed=self.misses_allowed,
            certified_escape=self.certified_escape,
            calibrated_on=source,
            method=self.method,
            choices=self.usage.models,
            choices_why=self.usage.choices_why,
            seen_in_training=self.usage.seen_in_training,
            unlisted=self.usage.unlisted,
            can_certify=self.usage.can_certify,
            groups=None if alone else self.n_groups,
            groups_needed=None if alone else self.groups_needed,
            grouped_by=self.grouped_by,
            effective_defects=self.effective_defects,
            rho=self.rho,
            rho_level=self.rho_level,
        )

    @property
    def refusal(self) -> str:
        """Why the guarantee is not given, in one sentence."""
        wanted = (
            f"an escape rate of at most {percent(self.max_escape)} (TPR "
            f"{percent(1 - self.max_escape)}) cannot be certified at "
            f"{percent(self.confidence)} confidence with {self.n_defect} calibration "
            "defects"
        )
        usage = self.usage
        if usage.seen_in_training:
            return (
                f"{wanted}: {usage.warning}; score others and pass them as "
                "--calibration."
            )
        if usage.models is None:
            return (
                f"{wanted}: how many models they chose among is unknown; keep devices "
                "that choose nothing (split calibration), or say it with --choices N."
            )
        if usage.models > 1:
            wanted += f" that {usage.choices_why}"
        if self.method == guarantee.DEVICES:
            return (
                f"{wanted}; {self.defects_needed} are needed. {self.n_defect} can "
                f"certify {percent(self.certified_escape)}."
            )
        word = f"{self.grouped_by}s"
        these = counted(self.n_groups, self.grouped_by)
        wanted += f" of {these}"
        can = f"{these} can certify {percent(self.certified_escape)}."
        if self.method == guarantee.UNITS:
            return (
                f"{wanted}, each counted as one device; {self.groups_needed} {word} "
                f"are needed, one defect of each would do. {can}"
            )
        return (
            f"{wanted}, worth {self.effective_defects:.0f} independent ones; about "
            f"{self.groups_needed} {word} ({self.defects_needed} defects) are needed. "
            f"{can}"
        )


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The part of report.json's operating_point that calibration devices decide.

    The fields are those of `Guarantee`, but for these.

    Attributes:
        target: the escape rate asked for.
        refusal: why it is not guaranteed; None where it is.
        calibrated_on: what the calibration devices are.
        choices_why: what is known of their choices, behind "they".
        seen_in_training: calibration devices that were trained on.
        can_certify: whether these devices could certify anything, were they enough.
        groups, groups_needed: None where each device is its own group.
    """

    target: float
    confidence: float
    threshold: float
    guaranteed: bool
    defects_needed: int
    refusal: str | None
    calibration_defects: int
    misses_allowed: int
    certified_escape: float
    calibrated_on: str
    method: str
    choices: int | None
    choices_why: str
    seen_in_training: int
    unlisted: int
    can_certify: bool = dataclasses.field(metadata={"json": "vouches"})
    groups: int | None
    groups_needed: int | None
    grouped_by: str | None
    effective_defects: float
    rho: float | None
    rho_level: float | None


def choose(
    defect_scores: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    grouped_by: str = "group",
    usage: Usage = UNUSED,
    max_escape: float = MAX_ESCAPE,
    confidence: float = CONFIDENCE,
) -> Guarantee:
    """The highest threshold whose escape rate is certain to stay below `max_escape`.

    It is the k-th smallest of the groups' lowest defect scores, with the largest k for
    which `P(k - 1 groups hold a miss) <= 1 - confidence` were the true escape rate
    above `max_escape`; where each device is its own group, that is the k-th smallest
    score and a binomial. When no k will do, the smallest score is given and
    `guaranteed` is False. A threshold for each of N models would have to hold for all
    of them, so the one that was chosen gets `(1 - confidence) / N`.

    Args:
        defect_scores: array of shape `(defects,)`, a calibration split's; the model
            must not have been trained on it.
        groups: their groups (lots), of shape `(defects,)`; None: each is its own.
        grouped_by: word for a group.
        usage: what these devices were used for before.
        max_escape: share of defects that may pass, in (0, 1).
        confidence: certainty, in (0, 1).

    Raises:
        errors.BadInput: no defect, NaN, or a share outside (0, 1).
    """
    scores = np.asarray(defect_scores, dtype=np.float64)
    if not scores.size or not np.isfinite(scores).all():
        raise errors.BadInput(
            "calibration: a threshold needs finite scores of defects. Received "
            f"{int(np.isfinite(scores).sum())} of {scores.size}."
        )
    metrics.check_share("--max-escape", max_escape)
    metrics.check_share("--confidence", confidence)
    delta = (1 - confidence) / (usage.models or 1)
    bound = guarantee.bound(scores, groups, rate=max_escape, delta=delta)
    allowed = bound.allowed(max_escape)
    # k was fixed before the scores were seen: ties below it may not sharpen the claim.
    hit = max(allowed, 0)
    threshold = float(guarantee.lowest(scores, groups)[hit])
    alone = bound.method == guarantee.DEVICES
    return Guarantee(
        max_escape=max_escape,
        confidence=confidence,
        n_defect=scores.size,
        n_groups=len(bound.sizes),
        usage=usage,
        threshold=threshold,
        misses_allowed=hit if alone else int(np.sum(scores < threshold)),
        guaranteed=allowed >= 0 and usage.can_certify,
        defects_needed=bound.devices_needed(max_escape),
        groups_needed=bound.groups_needed(max_escape),
        certified_escape=bound.certified(hit) if usage.can_certify else 1.0,
        method=bound.method,
        effective_defects=bound.effective(max_escape),
        rho=None if alone else bound.rho(max_escape),
        rho_level=bound.level,
        grouped_by=None if groups is None else grouped_by,
    )


def misses_allowed(n_defect: int, max_escape: float, confidence: float) -> int:
    """Misses among `n_defect` that still certify `max_escape`; -1: not even none.

    >>> [misses_allowed(827, escape, 0.95) for escape in (0.009, 0.007, 0.005, 0.003)]
    [2, 1, 0, -1]
    """
    metrics.check_share("--max-escape", max_escape)
    metrics.check_share("--confidence", confidence)
    alone = guarantee.Bound(np.ones(n_defect, dtype=int), 1 - confidence)
    return alone.allowed(max_escape)


def defects_needed(max_escape: float, confidence: float = CONFIDENCE) -> int:
    """Fewest calibration defects, all caught, that certify `max_escape`.

    >>> defects_needed(0.003), defects_needed(0.001)
    (998, 2995)
    """
    metrics.check_share("--max-escape", max_escape)
    metrics.check_share("--confidence", confidence)
    alone = guarantee.Bound(np.ones(1, dtype=int), 1 - confidence)
    return alone.devices_needed(max_escape)


def certified_escape(n_defect: int, misses: int, confidence: float) -> float:
    """The escape rate that `misses` of `n_defect` certify, a one-sided upper limit."""
    return guarantee.Bound(np.ones(n_defect, dtype=int), 1 - confidence).certified(
        misses
    )


def promise(point: Certificate) -> str:
    """What a guaranteed threshold rests on, for calibration.json and its readers."""
    return (
        f"at most {percent(point.target)} escapes with "
        f"{percent(point.confidence)} confidence, by {rests_on(point)}"
    )


def promised(words: str) -> tuple[float, float]:
    """Escape rate and confidence that the words of `promise` give.

    >>> promised("at most 0.5 % escapes with 95 % confidence, by 620 defects")
    (0.005, 0.95)

    Raises:
        errors.BadInput: they are other words.
    """
    found = re.match(r"at most (\S+) % escapes with (\S+) % confidence", words)
    if not found:
        raise errors.BadInput(
            f"calibration.json: basis {words!r} names no escape rate; choose the "
            "threshold anew with nexperia evaluate."
        )
    rate, confidence = (round(float(number) / 100, 12) for number in found.groups())
    return rate, confidence


def rests_on(point: Certificate) -> str:
    """Which devices set the threshold, how they count, what they chose among.

    >>> chosen = choose(np.linspace(0, 1, 620), usage=Usage(7, "chose among 7 epochs"))
    >>> rests_on(chosen.certificate("a validation"))
    '620 defects of a validation, each its own group; they chose among 7 epochs'
    """
    defects = counted(point.calibration_defects, "defect")
    words = f"{defects} of {point.calibrated_on}"
    word, groups = point.grouped_by, point.groups
    if point.method == guarantee.DEVICES:
        words += f", each of another {word}" if word else ", each its own group"
    elif point.method == guarantee.UNITS:
        words += f" in {counted(groups, word)}, each {word} counted as one device"
    else:
        words += (
            f" in {counted(groups, word)}, worth "
            f"{point.effective_defects:.0f} independent ones (misses of "
            f"one {word} correlate by at most "
            f"{point.rho:.2g}, as measured where "
            f"{percent(round(point.rho_level, 4))} are missed)"
        )
    warning = trained_on(point.seen_in_training, point.unlisted)
    if point.seen_in_training:
        return f"{words}; {warning}, so they can certify nothing"
    return f"{words}; they {point.choices_why}" + (f"; {warning}" if warning else "")


def trained_on(seen_in_training: int, unlisted: int = 0) -> str:
    """How many of the calibration devices a model was trained on; "" where none.

    >>> trained_on(3), trained_on(0)
    ('3 of the calibration devices, or their twins, were trained on', '')
    >>> trained_on(0, 2)
    'whether 2 of the calibration devices were trained on is not known'
    """
    clauses = []
    if seen_in_training:
        was = "was" if seen_in_training == 1 else "were"
        clauses.append(
            f"{seen_in_training} of the calibration devices, or their twins, {was} "
            "trained on"
        )
    if unlisted:
        was = "was" if unlisted == 1 else "were"
        clauses.append(
            f"whether {unlisted} of the calibration devices {was} trained on is not "
            "known"
        )
    return "; ".join(clauses)
