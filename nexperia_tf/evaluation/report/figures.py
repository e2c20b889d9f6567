"""Every figure of one run and of a comparison, as report.json holds them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import predictions
from nexperia_tf.evaluation import slices
from nexperia_tf.evaluation.report import devices
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import (
    calibration,
    catch_rate,
    choices,
    clustered,
    comparison,
    intervals,
    metrics,
    operating_point,
)

SCHEMA = 1  # of report.json
# Shown when the line's own prevalence is not given; the share in the data is not it.
PREVALENCES = (0.001, 0.01)
# Keys of a comparison that hold devices, in the order of `_changed`.


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the judge was asked.

    Attributes:
        max_escape: escape rate to certify.
        max_overkill: rate of good devices to reject without a look.
        confidence: of guarantees and of every interval.
        prevalence: share of defects on the line; None shows several.
        golden: devices that must never escape.
    """

    max_escape: float = operating_point.MAX_ESCAPE
    max_overkill: float = operating_point.MAX_OVERKILL
    confidence: float = operating_point.CONFIDENCE
    prevalence: float | None = None
    golden: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is judged.

    Attributes:
        name: how the report calls it.
        scored: the judged devices, all labelled.
        calibration: devices the threshold is chosen on; None takes `scored` itself.
        columns: further slices by name, text of shape `(devices,)`.
        known: judged pictures that were trained on; None where nobody can tell.
        trained_on: groups of the training split; None when unknown.
        in_force: what turns its scores into verdicts now; None when unknown.
        keeps: whether nexperia evaluate can store another threshold in it.
        chose: models that the devices of `calibration`, else `scored`, chose among.
        taught: which of those devices, or their twins, were trained on.
    """

    name: str
    scored: predictions.Predictions
    calibration: predictions.Predictions | None = None
    columns: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    trained_on: frozenset[str] | None = None
    in_force: run_folders.Calibration | None = None
    keeps: bool = False
    chose: choices.Choices = choices.ASSUMED
    known: training_pictures.Found | None = None
    taught: training_pictures.Found | None = None


def judge(subject: Subject, settings: Settings) -> dict:
    """The figures of one run.

    Raises:
        errors.BadInput: a single class, or a golden device that was not scored.
    """
    table, confidence = subject.scored, settings.confidence
    labels, scores, where = table.label, table.score, table.source
    point = _operating_point(subject, settings)
    threshold = point["threshold"]
    band = _band(subject, settings, threshold)
    auc = clustered.headline(
        labels,
        scores,
        clustered.groups_of(table),
        word=clustered.word_of(table),
        confidence=confidence,
        where=where,
    )
    return {
        "name": subject.name,
        "source": where,
        "n": len(table),
        "n_defect": int(np.sum(labels == 1)),
        "grouped_by": clustered.word_of(table),
        "auc": _plain(auc) | {"confidence": confidence},
        "auc_beside": _auc_beside(table, confidence),
        "partial_auc": {
            "min_tpr": metrics.MIN_TPR,
            "value": metrics.partial_auc(labels, scores),
        },
        "average_precision": metrics.average_precision(labels, scores),
        "brier": metrics.brier(labels, scores),
        "log_loss": metrics.log_loss(labels, scores),
        "fpr_at_tpr": _fpr_at_tpr(table, confidence),
        "operating_point": point,
        "band": band,
        "economics": [_economics(p, point, band) for p in _prevalences(settings)],
        "calibration": _calibration(subject, confidence),
        "generalisation": _generalisation(subject, confidence),
        "trained_on": subject.known and learned(table, subject.known, confidence),
        **on_the_line(subject, settings, proposed=threshold),
        "localisation": None,  # evidence.py plays the pointing game
    }


def learned(
    table: predictions.Predictions,
    known: training_pictures.Found,
    confidence: float = operating_point.CONFIDENCE,
) -> dict:
    """How many judged pictures were trained on, and the AUC of the others.

    `auc_without` is there where some were, and None where one class is left.
    """
    numbers = known.numbers()
    if known.names:
        new = training_pictures.unseen(table.image_id, known)
        numbers["auc_without"] = None
        if len(set(table.label[new])) == 2:
            groups = clustered.groups_of(table)
            auc = clustered.headline(
                table.label[new],
                table.score[new],
                None if groups is None else groups[new],
                word=clustered.word_of(table),
                confidence=confidence,
            )
            numbers["auc_without"] = _plain(auc) | {"confidence": confidence}
    return numbers


def comparisons(
    subjects: Sequence[Subject],
    judged: Sequence[dict],
    *,
    confidence: float,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> list[dict]:
    """Pairs of runs: the difference, whether it is one, and who changed sides.

    Each run decides at its own threshold.

    Args:
        subjects: the runs, on the same devices in the same order.
        judged: their figures.
        confidence: level of the intervals.
        pairs: places of the runs to compare, corrected as one family; None compares
            every run with every other.
    """
    first = subjects[0].scored
    found = comparison.compare(
        first.label,
        [subject.scored.score for subject in subjects],
        groups=clustered.groups_of(first),
        pairs=pairs,
        confidence=confidence,
    )
    grouped_by = {"grouped_by": clustered.word_of(first)}
    return [
        _compared(subjects[i].name, subjects[j].name, difference, confidence)
        | grouped_by
        | devices.changed(
            subjects[i].scored,
            subjects[j].scored,
            (
                judged[i]["operating_point"]["threshold"],
                judged[j]["operating_point"]["threshold"],
            ),
        )
        for (i, j), difference in found.items()
    ]


def _compared(
    first: str, second: str, found: comparison.Difference, confidence: float
) -> dict:
    limits = {name: getattr(found, name) for name in ("value", "low", "high", "method")}
    return {
        "first": first,
        "second": second,
        "difference": limits | {"confidence": confidence},
        "p_delong": found.p_delong,
        "p_bootstrap": found.p_bootstrap,
        "bootstrap": {
            "low": found.bootstrap_low,
            "high": found.bootstrap_high,
            "resampled": found.resampled,
            "units": found.units,
        },
        "p_jackknife": found.p_jackknife,
        "p_sign_flip": found.p_sign_flip,
        "p": found.p,
        "p_adjusted": found.p_adjusted,
        "family": found.family,
        "groups_needed": found.groups_needed,
        "verdict": found.words,
        "devices_needed": found.devices_needed,
    }


def _operating_point(subject: Subject, settings: Settings) -> dict:
    chosen_on = subject.calibration or subject.scored
    defects, scores = metrics.check(
        chosen_on.label, chosen_on.score, where=chosen_on.source, metric="A threshold"
    )
    groups = clustered.groups_of(chosen_on)
    found = operating_point.choose(
        scores[defects],
        groups=None if groups is None else groups[defects],
        grouped_by=clustered.word_of(chosen_on) or "group",
        choices=subject.chose.count,
        why=subject.chose.why,
        **operating_point.training_counts(subject.taught),
        max_escape=settings.max_escape,
        confidence=settings.confidence,
    )
    here = rates(subject.scored, found.threshold, settings.confidence)
    shared = int(np.isin(subject.scored.image_id, chosen_on.image_id).sum())
    return {
        **found.facts(chosen_on.source),
        # Judged devices set their own threshold: escapes among them prove nothing.
        "in_sample": shared > 0,
        "judged": len(subject.scored),
        "judged_that_set_it": shared,
        # More escapes than chance explains: other devices than the calibration's.
        "broken": found.guaranteed and here["escape_rate"]["low"] > settings.max_escape,
        **here,
    }


def on_the_line(subject: Subject, settings: Settings, *, proposed: float) -> dict:
    """What the threshold in force does: rates, slices, golden and worst devices.

    That is what the line uses, whatever is proposed; where only scores are known, the
    proposed one stands for it.
    """
    known, confidence = subject.in_force, settings.confidence
    threshold = proposed if known is None else known.threshold
    return {
        "in_force": in_force(subject, confidence),
        "judged_at": {"threshold": threshold, "in_force": known is not None},
        "slices": _slices(subject, threshold, confidence),
        "golden": devices.golden(subject.scored, settings.golden, threshold),
        "worst": devices.worst(subject.scored, threshold),
    }


def in_force(subject: Subject, confidence: float) -> dict | None:
    """The threshold in force, in numbers and words, and what it does to the devices.

    None where only scores are known.
    """
    decides = subject.in_force
    if decides is None:
        return None
    return {
        **dataclasses.asdict(decides),
        "guaranteed": decides.origin == run_folders.GUARANTEED,
        "words": decides.words,
        "keeps": subject.keeps,
        **rates(subject.scored, decides.threshold, confidence),
    }


def rates(
    table: predictions.Predictions, threshold: float, confidence: float
) -> dict[str, dict]:
    """Escape and overkill rate at a threshold, with counts and limits.

    The limits are for a threshold that other devices have chosen.
    """
    rejected, defect = table.score >= threshold, table.label == 1
    return {
        "escape_rate": _rate(table, ~rejected, defect, confidence),
        "overkill_rate": _rate(table, rejected, ~defect, confidence),
    }


def _rate(
    table: predictions.Predictions,
    hits: np.ndarray,
    among: np.ndarray,
    confidence: float,
) -> dict:
    """The share of hits among some devices, by group where there are groups."""
    groups = clustered.groups_of(table)
    limits = clustered.rate(
        hits[among],
        table.score[among],
        None if groups is None else groups[among],
        confidence=confidence,
    )
    return _plain(limits) | {"count": int(hits[among].sum()), "of": int(among.sum())}


def _fpr_at_tpr(table: predictions.Predictions, confidence: float) -> list[dict]:
    n_defect = int(np.sum(table.label == 1))
    rows: list[dict] = []
    found = catch_rate.overkill(
        table.label,
        table.score,
        groups=clustered.groups_of(table),
        confidence=confidence,
        where=table.source,
    )
    for one in found:
        needed = metrics.needed(n_defect, one.point.tpr)
        alike = [r["tpr"] for r in rows if metrics.needed(n_defect, r["tpr"]) == needed]
        rows.append(
            dataclasses.asdict(one.point)
            | {"low": one.low, "high": one.high}
            | {"no_upper_limit": one.reason or None}
            # Both ask for the same number of defects: these cannot tell them apart.
            | {"same_as": alike[0] if alike else None}
        )
    return rows


def _auc_beside(table: predictions.Predictions, confidence: float) -> list[dict]:
    """Other intervals of the AUC; all of them take devices for independent."""
    labels, scores = table.label, table.score
    n_defect = int(np.sum(labels == 1))
    beside: list[intervals.Interval | None] = []
    if clustered.groups_of(table) is not None:
        beside.append(intervals.newcombe(labels, scores, confidence=confidence))
    if 1 < n_defect < len(table) - 1:  # DeLong needs two of each
        beside.append(intervals.logit_delong(labels, scores, confidence=confidence))
        beside.append(intervals.delong(labels, scores, confidence=confidence))
    return [_plain(interval) for interval in beside if interval]


def _knows(subject: Subject) -> bool:
    return subject.taught is not None and bool(subject.taught.names)


def _band(subject: Subject, settings: Settings, threshold: float) -> dict:
    chosen_on = subject.calibration or subject.scored
    band = operating_point.band(
        chosen_on.label,
        chosen_on.score,
        pass_below=threshold,
        groups=clustered.groups_of(chosen_on),
        choices=None if _knows(subject) else subject.chose.count,
        max_overkill=settings.max_overkill,
        confidence=settings.confidence,
    )
    table = subject.scored
    groups = clustered.groups_of(table)
    decided = {
        name: operating_point.shares(
            table.score[table.label == value],
            band,
            groups=None if groups is None else groups[table.label == value],
            confidence=settings.confidence,
        )
        for name, value in (("good", 0), ("defect", 1))
    }
    reject_from = math.inf if band.reject_from is None else band.reject_from
    reviewed = (table.score >= threshold) & (table.score < reject_from)
    everywhere = np.full(len(table), True)
    return {
        **dataclasses.asdict(band),
        # Each edge may fail with 1 - confidence; together they hold at this level.
        "joint_confidence": max(0.0, 2 * settings.confidence - 1),
        "review_rate": _rate(table, reviewed, everywhere, settings.confidence),
        **{name: _plain(shares) for name, shares in decided.items()},
    }


def _prevalences(settings: Settings) -> tuple[float, ...]:
    return PREVALENCES if settings.prevalence is None else (settings.prevalence,)


def _economics(prevalence: float, point: dict, band: dict) -> dict:
    """What the threshold means for a line with this share of defects."""
    limits = ("value", "low", "high")
    overkill, escape = point["overkill_rate"], point["escape_rate"]
    loss = {k: operating_point.yield_loss(overkill[k], prevalence) for k in limits}
    shipped = {k: operating_point.dppm(escape[k], prevalence) for k in limits}
    review = (
        prevalence * band["defect"]["reviewed"]["value"]
        + (1 - prevalence) * band["good"]["reviewed"]["value"]
    )
    return {
        "prevalence": prevalence,
        "yield_loss": loss,
        "dppm": shipped,
        # The most that the certified escape rate lets through.
        "dppm_certified": operating_point.dppm(point["certified_escape"], prevalence),
        "dppm_uninspected": 1e6 * prevalence,
        "review_rate": review,
    }


def _calibration(subject: Subject, confidence: float) -> dict:
    table = subject.scored
    found: dict = {
        "bins": [
            dataclasses.asdict(found)
            for found in calibration.reliability(
                table.label,
                table.score,
                groups=clustered.groups_of(table),
                confidence=confidence,
            )
        ],
        "temperature_left": None,
        "offset_left": None,
    }
    if subject.calibration is not None:
        fitted_on = subject.calibration
        left = calibration.fit(
            calibration.logits(fitted_on.score),
            fitted_on.label,
            where=fitted_on.source,
        )
        rescaled = calibration.rescaled(table.score, left)
        found |= {
            # 1 and 0 when the scores are calibrated already.
            "temperature_left": left.temperature,
            "offset_left": left.offset,
            "brier_rescaled": metrics.brier(table.label, rescaled),
            "log_loss_rescaled": metrics.log_loss(table.label, rescaled),
        }
    return _plain(found)


def _slices(subject: Subject, threshold: float, confidence: float) -> list[dict]:
    table = subject.scored
    columns = {name: table.column(name) for name in ("defect_type", "machine", "lot")}
    lot, group = columns["lot"], table.column("group")
    if group is not None and not clustered.repeats(group, lot):
        columns["group"] = group
    columns = {k: v for k, v in columns.items() if v is not None}
    found = slices.table(
        table.label,
        table.score,
        columns | dict(subject.columns),
        groups=clustered.groups_of(table),
        threshold=threshold,
        confidence=confidence,
    )
    return [_plain(part) for part in found]


def _generalisation(subject: Subject, confidence: float) -> dict:
    """The score with and without help from a known lot, as far as can be told."""
    table = subject.scored
    groups = table.column("group")
    if groups is None:
        groups = table.column("lot")
    found: dict = {"seen": None, "unseen": None, "within_groups": None}
    if clustered.word_of(table) is None:
        return found
    if subject.trained_on is not None:
        split = slices.familiarity(
            table.label, table.score, groups, subject.trained_on, confidence=confidence
        )
        found |= _plain(split)
    within = slices.within_groups(table.label, table.score, groups)
    if within:
        found["within_groups"] = {"value": within[0], "pairs": within[1]}
    return found


def _plain(value):
    """Dataclasses, NumPy numbers and NaN as JSON knows them."""
    if dataclasses.is_dataclass(value):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
