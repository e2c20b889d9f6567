"""Which threshold is safe, and what overkill it costs.

Where each calibration device is its own group, the guarantee rests on nothing but
their count, as long as the devices to come are drawn like those. Devices of one lot
resemble each other: there groups are counted (guarantee.py says what is assumed).
Devices that have also chosen the epoch pay for each epoch they could have chosen.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from nexperia_tf import errors
from nexperia_tf.runs import training_pictures
from nexperia_tf.statistics import clustered, guarantee, intervals, metrics

MAX_ESCAPE = 0.005  # escape rate that may not be exceeded, unless told otherwise
MAX_OVERKILL = 0.005  # rate of good devices that may be rejected without a look
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Guarantee:
    """A threshold and the escape rate it guarantees.

    Attributes:
        max_escape: the escape rate asked for.
        confidence: the certainty asked for.
        n_defect: calibration defects it rests on.
        n_groups: groups they come from.
        choices: models these devices had to choose from, which it is corrected for;
            None where that is unknown, and nothing is certain.
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
        taught: calibration devices that were trained on; any spoils the guarantee.
        unlisted: those for which that is not known.
        why: `choices` in words, after "they".
        grouped_by: word for a group; None where each device is its own.
    """

    max_escape: float
    confidence: float
    n_defect: int
    n_groups: int
    choices: int | None
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
    taught: int = 0
    why: str = "chose nothing else"
    grouped_by: str | None = None
    unlisted: int = 0

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
            choices=self.choices,
            choices_why=self.why,
            seen_in_training=self.taught,
            unlisted=self.unlisted,
            can_certify=self.choices is not None and not self.taught,
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
        if self.taught:
            return (
                f"{wanted}: {trained_on(self.taught, self.unlisted)}; score others and "
                "pass them as --calibration."
            )
        if self.choices is None:
            return (
                f"{wanted}: how many models they chose among is unknown; keep devices "
                "that choose nothing (split calibration), or say it with --choices N."
            )
        if self.choices > 1:
            wanted += f" that {self.why}"
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
    seen_in_training: int = dataclasses.field(metadata={"json": "taught"})
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
    choices: int | None = 1,
    why: str = "",
    taught: int = 0,
    unlisted: int = 0,
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
        choices: models that the same devices have chosen among; None when unknown.
        why: that in words, after "they"; "" says models.
        taught: how many calibration devices were trained on.
        unlisted: for how many that is not known.
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
    _check_share("--max-escape", max_escape)
    _check_share("--confidence", confidence)
    delta = (1 - confidence) / (choices or 1)
    bound = guarantee.bound(scores, groups, rate=max_escape, delta=delta)
    allowed = bound.allowed(max_escape)
    # k was fixed before the scores were seen: ties below it may not sharpen the claim.
    hit = max(allowed, 0)
    threshold = float(guarantee.lowest(scores, groups)[hit])
    alone = bound.method == guarantee.DEVICES
    vouches = choices is not None and not taught
    return Guarantee(
        max_escape=max_escape,
        confidence=confidence,
        n_defect=scores.size,
        n_groups=len(bound.sizes),
        choices=choices,
        threshold=threshold,
        misses_allowed=hit if alone else int(np.sum(scores < threshold)),
        guaranteed=allowed >= 0 and vouches,
        defects_needed=bound.devices_needed(max_escape),
        groups_needed=bound.groups_needed(max_escape),
        certified_escape=bound.certified(hit) if vouches else 1.0,
        method=bound.method,
        effective_defects=bound.effective(max_escape),
        rho=None if alone else bound.rho(max_escape),
        rho_level=bound.level,
        taught=taught,
        why=why or _chose(choices),
        grouped_by=None if groups is None else grouped_by,
        unlisted=unlisted,
    )


def _chose(choices: int | None) -> str:
    if choices == 1:
        return "chose nothing else"
    return f"chose among {choices or 'an unknown number of'} models"


def misses_allowed(n_defect: int, max_escape: float, confidence: float) -> int:
    """Misses among `n_defect` that still certify `max_escape`; -1: not even none.

    >>> [misses_allowed(827, escape, 0.95) for escape in (0.009, 0.007, 0.005, 0.003)]
    [2, 1, 0, -1]
    """
    _check_share("--max-escape", max_escape)
    _check_share("--confidence", confidence)
    alone = guarantee.Bound(np.ones(n_defect, dtype=int), 1 - confidence)
    return alone.allowed(max_escape)


def defects_needed(max_escape: float, confidence: float = CONFIDENCE) -> int:
    """Fewest calibration defects, all caught, that certify `max_escape`.

    >>> defects_needed(0.003), defects_needed(0.001)
    (998, 2995)
    """
    _check_share("--max-escape", max_escape)
    _check_share("--confidence", confidence)
    alone = guarantee.Bound(np.ones(1, dtype=int), 1 - confidence)
    return alone.devices_needed(max_escape)


def certified_escape(n_defect: int, misses: int, confidence: float) -> float:
    """The escape rate that `misses` of `n_defect` certify, a one-sided upper limit."""
    return guarantee.Bound(np.ones(n_defect, dtype=int), 1 - confidence).certified(
        misses
    )


@dataclasses.dataclass(frozen=True)
class Band:
    """Three-way decision: pass below, reject from, review between.

    Attributes:
        pass_below: the guaranteed threshold.
        reject_from: devices at or above are rejected without a look; None when too
            few good devices certify `max_overkill`, or no device scores that high.
        max_overkill: certain bound on good devices rejected without a look.
        good_needed: fewest calibration good devices that could certify it.
        n_groups: groups that the good devices come from.
        method: as of `Guarantee`.
        good_limit: score of a good calibration device above which devices could be
            rejected without a look; None when too few certify `max_overkill`.
    """

    pass_below: float
    reject_from: float | None
    max_overkill: float
    good_needed: int
    n_groups: int
    method: str
    good_limit: float | None = None


def band(
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    pass_below: float,
    groups: np.ndarray | None = None,
    choices: int | None = 1,
    max_overkill: float = MAX_OVERKILL,
    confidence: float = CONFIDENCE,
) -> Band:
    """The review band above `pass_below`, from calibration devices.

    The upper edge is the lowest device's score above the k-th largest of the groups'
    highest good scores, with k as in `choose`: the same guarantee with the classes'
    roles exchanged. Each edge fails with at most `1 - confidence`, so that both hold
    together with at least `2 * confidence - 1`.
    """
    defects, scores = metrics.check(labels, scores, metric="A review band")
    _check_share("--max-overkill", max_overkill)
    _check_share("--confidence", confidence)
    good = -scores[~defects]  # the highest are rejected first
    groups = None if groups is None else groups[~defects]
    delta = (1 - confidence) / (choices or 1)
    bound = guarantee.bound(good, groups, rate=max_overkill, delta=delta)
    allowed = bound.allowed(max_overkill)
    reject_from = good_limit = None
    if allowed >= 0 and choices is not None:
        good_limit = float(-guarantee.lowest(good, groups)[allowed])
        above = scores[scores > good_limit]
        reject_from = max(float(above.min()), pass_below) if above.size else None
    return Band(
        pass_below,
        reject_from,
        max_overkill,
        good_needed=bound.devices_needed(max_overkill),
        n_groups=len(bound.sizes),
        method=bound.method,
        good_limit=good_limit,
    )


@dataclasses.dataclass(frozen=True)
class Shares:
    """Shares of one class that pass, are reviewed, are rejected, with limits."""

    passed: intervals.Interval
    reviewed: intervals.Interval
    rejected: intervals.Interval


def shares(
    scores: np.ndarray,
    chosen: Band,
    *,
    groups: Sequence[str] | None = None,
    confidence: float,
) -> Shares:
    """Shares of devices with these scores that pass, are reviewed, are rejected."""
    reject_from = math.inf if chosen.reject_from is None else chosen.reject_from
    passed, rejected = scores < chosen.pass_below, scores >= reject_from
    decided = (passed, ~passed & ~rejected, rejected)
    return Shares(
        *(clustered.rate(d, scores, groups, confidence=confidence) for d in decided)
    )


def yield_loss(overkill_rate: float, prevalence: float) -> float:
    """Good devices rejected, as a share of all devices made."""
    return overkill_rate * (1 - prevalence)


def dppm(escape_rate: float, prevalence: float) -> float:
    """Defective parts per million shipped.

    Rejected good devices are taken to be shipped after a second look; were they
    scrapped, the figure would rise by the overkill rate's share.

    >>> round(dppm(0.005, 0.01), 1)
    50.5
    """
    _check_share("--prevalence", prevalence)
    escaped = prevalence * escape_rate
    return 1e6 * escaped / (1 - prevalence + escaped)


def promise(point: Certificate) -> str:
    """What a guaranteed threshold rests on, for calibration.json and its readers."""
    return (
        f"at most {percent(point.target)} escapes with "
        f"{percent(point.confidence)} confidence, by {rests_on(point)}"
    )


def counted(count: int, word: str) -> str:
    """A count with its word.

    >>> counted(1, "lot"), counted(2, "lot")
    ('1 lot', '2 lots')
    """
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def rests_on(point: Certificate) -> str:
    """Which devices set the threshold, how they count, what they chose among.

    >>> chosen = choose(np.linspace(0, 1, 620), choices=7, why="chose among 7 epochs")
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


def training_counts(judged: training_pictures.Overlap | None) -> dict[str, int]:
    """Counts of the calibration devices that a model knows, for `choose`."""
    if judged is None:
        return {"taught": 0, "unlisted": 0}
    return {"taught": len(judged.names), "unlisted": judged.unlisted}


def trained_on(taught: int, unlisted: int = 0) -> str:
    """How many of the calibration devices a model was trained on; "" where none.

    >>> trained_on(3), trained_on(0)
    ('3 of the calibration devices, or their twins, were trained on', '')
    >>> trained_on(0, 2)
    'whether 2 of the calibration devices were trained on is not known'
    """
    clauses = []
    if taught:
        was = "was" if taught == 1 else "were"
        clauses.append(
            f"{taught} of the calibration devices, or their twins, {was} trained on"
        )
    if unlisted:
        was = "was" if unlisted == 1 else "were"
        clauses.append(
            f"whether {unlisted} of the calibration devices {was} trained on is not "
            "known"
        )
    return "; ".join(clauses)


def serving_threshold(threshold: float) -> float:
    """The threshold to bake into a SavedModel.

    A served score may differ from the evaluated one in the fifth decimal; the device
    that set the threshold must not slip through by that.
    """
    return threshold - min(1e-5, threshold / 2)


def percent(share: float) -> str:
    """A share in per cent.

    >>> percent(0.005), percent(0.997), percent(0.03)
    ('0.5 %', '99.7 %', '3 %')
    """
    return f"{100 * share:.4g} %"


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise errors.BadInput(
            f"{name}: a share between 0 and 1, such as .005. Received {value}."
        )
