"""Judges one run: every figure that a report holds of it."""

import math

import numpy as np

from nexperia_tf import predictions
from nexperia_tf.evaluation import slices
from nexperia_tf.evaluation.report import comparisons, devices, results
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import (
    calibration,
    catch_rate,
    certificate,
    clustered,
    intervals,
    metrics,
    operating_point,
)

# Shown when the line's own prevalence is not given; the share in the data is not it.
PREVALENCES = (0.001, 0.01)


def judge(subject: Subject, settings: results.Settings) -> results.Run:
    """The figures of one run.

    Raises:
        errors.BadInput: a single class, or a golden device that was not scored.
    """
    performance = _performance(subject, settings)
    threshold = performance.operating_point.threshold
    at_threshold = on_the_line(subject, settings, proposed=threshold)
    return results.Run(
        **vars(performance),
        **vars(at_threshold),
        baseline=subject.baseline and baseline(subject, settings.confidence),
        search=subject.search,
    )


def baseline(subject: Subject, confidence: float) -> results.Baseline:
    """What simple numbers reach on the same devices, and whether the run beats it.

    Raises:
        errors.BadInput: a single class, or a baseline of other devices.
    """
    known = subject.baseline
    ours, simple = predictions.aligned([subject.scored, known.scored])
    reached = auc(ours, confidence), auc(simple, confidence)
    difference = comparisons.with_baseline(subject, simple, confidence=confidence)
    return results.Baseline(
        model=known.model,
        auc=reached[1],
        fpr_at_tpr=_fpr_at_tpr(simple, confidence),
        alone=known.alone,
        difference=difference,
        beaten=comparisons.is_first_better(difference),
        said=comparisons.against_baseline(
            subject.name, *reached, difference, advice=known.advice
        ),
    )


def _performance(subject: Subject, settings: results.Settings) -> results.Performance:
    table, confidence = subject.scored, settings.confidence
    labels, scores = table.label, table.score
    point = _operating_point(subject, settings)
    band = _band(subject, settings, point.threshold)
    return results.Performance(
        name=subject.name,
        source=table.source,
        n=len(table),
        n_defect=int(np.sum(labels == 1)),
        grouped_by=clustered.word_of(table),
        auc=auc(table, confidence),
        other_aucs=_other_aucs(table, confidence),
        partial_auc=results.PartialAuc(
            metrics.MIN_TPR, metrics.partial_auc(labels, scores)
        ),
        average_precision=metrics.average_precision(labels, scores),
        brier=metrics.brier(labels, scores),
        log_loss=metrics.log_loss(labels, scores),
        fpr_at_tpr=_fpr_at_tpr(table, confidence),
        operating_point=point,
        band=band,
        economics=tuple(_economics(p, point, band) for p in _prevalences(settings)),
        calibration=_calibration(subject, confidence),
        generalisation=_generalisation(subject, confidence),
        trained_on=subject.seen and seen_in_training(table, subject.seen, confidence),
    )


def auc(table: predictions.Predictions, confidence: float) -> results.Auc:
    """The AUC with the limits that its groups allow.

    Raises:
        errors.BadInput: a single class.
    """
    headline = clustered.headline(
        table.label,
        table.score,
        clustered.groups_of(table),
        word=clustered.word_of(table),
        confidence=confidence,
        where=table.source,
    )
    return results.Auc(**vars(headline), confidence=confidence)


def seen_in_training(
    table: predictions.Predictions,
    seen: training_pictures.Overlap,
    confidence: float = certificate.CONFIDENCE,
) -> results.SeenInTraining:
    """How many judged pictures were trained on, and the AUC of the others."""
    new = training_pictures.is_new(table.image_id, seen)
    auc_without = None
    if not new.all() and len(set(table.label[new])) == 2:
        groups = clustered.groups_of(table)
        headline = clustered.headline(
            table.label[new],
            table.score[new],
            None if groups is None else groups[new],
            word=clustered.word_of(table),
            confidence=confidence,
        )
        auc_without = results.Auc(**vars(headline), confidence=confidence)
    return results.SeenInTraining(**vars(seen.counts()), auc_without=auc_without)


def _operating_point(
    subject: Subject, settings: results.Settings
) -> results.OperatingPoint:
    chosen_on = subject.chosen_on
    defects, scores = metrics.check(
        chosen_on.label, chosen_on.score, where=chosen_on.source, metric="A threshold"
    )
    groups = clustered.groups_of(chosen_on)
    guarantee = certificate.choose(
        scores[defects],
        groups=None if groups is None else groups[defects],
        grouped_by=clustered.word_of(chosen_on) or "group",
        usage=certificate.Usage.of(subject.selection, subject.seen_calibration),
        max_escape=settings.max_escape,
        confidence=settings.confidence,
    )
    here = rates(subject.scored, guarantee.threshold, settings.confidence)
    shared = int(np.isin(subject.scored.image_id, chosen_on.image_id).sum())
    too_many = here["escape_rate"].low > settings.max_escape
    return results.OperatingPoint(
        **vars(guarantee.certificate(chosen_on.source)),
        # Judged devices set their own threshold: escapes among them prove nothing.
        in_sample=shared > 0,
        judged=len(subject.scored),
        judged_that_set_it=shared,
        # More escapes than chance explains: other devices than the calibration's.
        broken=guarantee.guaranteed and too_many,
        **here,
    )


def on_the_line(
    subject: Subject, settings: results.Settings, *, proposed: float
) -> results.OnTheLine:
    """What the threshold in force does: rates, slices, golden and worst devices.

    That is what the line uses, whatever is proposed; where only scores are known, the
    proposed one stands for it.
    """
    known, confidence = subject.in_force, settings.confidence
    threshold = proposed if known is None else known.threshold
    return results.OnTheLine(
        in_force=in_force(subject, confidence),
        judged_at=results.JudgedAt(threshold, in_force=known is not None),
        confusion=_confusion(subject.scored, threshold),
        slices=_slices(subject, threshold, confidence),
        golden=devices.golden(subject.scored, settings.golden, threshold),
        worst=devices.worst(subject.scored, threshold),
    )


def _confusion(table: predictions.Predictions, threshold: float) -> results.Confusion:
    rejected, defect = table.score >= threshold, table.label == 1
    return results.Confusion(
        caught=int(np.sum(defect & rejected)),
        escaped=int(np.sum(defect & ~rejected)),
        passed=int(np.sum(~defect & ~rejected)),
        rejected=int(np.sum(~defect & rejected)),
    )


def in_force(subject: Subject, confidence: float) -> results.InForce | None:
    """The threshold in force, in numbers and words, and what it does to the devices.

    None where only scores are known.
    """
    calibrated = subject.in_force
    if calibrated is None:
        return None
    return results.InForce(
        **vars(calibrated),
        is_guaranteed=calibrated.origin == run_folders.GUARANTEED,
        described=calibrated.words,
        can_be_replaced=subject.stores_threshold,
        **rates(subject.scored, calibrated.threshold, confidence),
    )


def rates(
    table: predictions.Predictions, threshold: float, confidence: float
) -> dict[str, results.Rate]:
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
) -> results.Rate:
    """The share of hits among some devices, by group where there are groups."""
    groups = clustered.groups_of(table)
    limits = clustered.rate(
        hits[among],
        table.score[among],
        None if groups is None else groups[among],
        confidence=confidence,
    )
    return results.Rate(
        **vars(limits), count=int(hits[among].sum()), of=int(among.sum())
    )


def _fpr_at_tpr(
    table: predictions.Predictions, confidence: float
) -> tuple[results.OverkillAt, ...]:
    n_defect = int(np.sum(table.label == 1))
    rows: list[results.OverkillAt] = []
    for overkill in catch_rate.overkill(
        table.label,
        table.score,
        groups=clustered.groups_of(table),
        confidence=confidence,
        where=table.source,
    ):
        needed = metrics.needed(n_defect, overkill.point.tpr)
        alike = [r.tpr for r in rows if metrics.needed(n_defect, r.tpr) == needed]
        rows.append(
            results.OverkillAt(
                **vars(overkill.point),
                low=overkill.low,
                high=overkill.high,
                no_upper_limit=overkill.reason or None,
                # Both ask for the same number of defects: these cannot tell them apart.
                same_as=alike[0] if alike else None,
            )
        )
    return tuple(rows)


def _other_aucs(
    table: predictions.Predictions, confidence: float
) -> tuple[intervals.Interval, ...]:
    """Other intervals of the AUC; all of them take devices for independent."""
    labels, scores = table.label, table.score
    n_defect = int(np.sum(labels == 1))
    others: list[intervals.Interval | None] = []
    if clustered.groups_of(table) is not None:
        others.append(intervals.newcombe(labels, scores, confidence=confidence))
    if 1 < n_defect < len(table) - 1:  # DeLong needs two of each
        others.append(intervals.logit_delong(labels, scores, confidence=confidence))
        others.append(intervals.delong(labels, scores, confidence=confidence))
    return tuple(interval for interval in others if interval)


def _calibration_was_seen(subject: Subject) -> bool:
    seen = subject.seen_calibration
    return seen is not None and bool(seen.names)


def _band(
    subject: Subject, settings: results.Settings, threshold: float
) -> results.ReviewBand:
    chosen_on = subject.chosen_on
    band = operating_point.band(
        chosen_on.label,
        chosen_on.score,
        pass_below=threshold,
        groups=clustered.groups_of(chosen_on),
        choices=None if _calibration_was_seen(subject) else subject.selection.count,
        max_overkill=settings.max_overkill,
        confidence=settings.confidence,
    )
    table = subject.scored
    reject_from = math.inf if band.reject_from is None else band.reject_from
    reviewed = (table.score >= threshold) & (table.score < reject_from)
    everywhere = np.full(len(table), True)
    return results.ReviewBand(
        **vars(band),
        # Each edge may fail with 1 - confidence; together they hold at this level.
        joint_confidence=max(0.0, 2 * settings.confidence - 1),
        review_rate=_rate(table, reviewed, everywhere, settings.confidence),
        good=_decided(table, table.label == 0, band, settings.confidence),
        defect=_decided(table, table.label == 1, band, settings.confidence),
    )


def _decided(
    table: predictions.Predictions,
    among: np.ndarray,
    band: operating_point.Band,
    confidence: float,
) -> operating_point.Shares:
    """The shares of some devices, a mask, that pass, are reviewed, are rejected."""
    groups = clustered.groups_of(table)
    return operating_point.shares(
        table.score[among],
        band,
        groups=None if groups is None else groups[among],
        confidence=confidence,
    )


def _prevalences(settings: results.Settings) -> tuple[float, ...]:
    return PREVALENCES if settings.prevalence is None else (settings.prevalence,)


def _economics(
    prevalence: float, point: results.OperatingPoint, band: results.ReviewBand
) -> results.Economics:
    """What the threshold means for a line with this share of defects."""

    def follows(figure, rate: results.Rate) -> results.Range:
        ends = (rate.value, rate.low, rate.high)
        return results.Range(*(figure(end, prevalence) for end in ends))

    return results.Economics(
        prevalence=prevalence,
        yield_loss=follows(operating_point.yield_loss, point.overkill_rate),
        dppm=follows(operating_point.dppm, point.escape_rate),
        dppm_certified=operating_point.dppm(point.certified_escape, prevalence),
        dppm_uninspected=1e6 * prevalence,
        review_rate=(
            prevalence * band.defect.reviewed.value
            + (1 - prevalence) * band.good.reviewed.value
        ),
    )


def _calibration(subject: Subject, confidence: float) -> results.CalibrationCheck:
    table, fitted_on = subject.scored, subject.calibration
    bins = calibration.reliability(
        table.label,
        table.score,
        groups=clustered.groups_of(table),
        confidence=confidence,
    )
    if fitted_on is None:
        return results.CalibrationCheck(tuple(bins))
    left = calibration.fit(
        calibration.logits(fitted_on.score), fitted_on.label, where=fitted_on.source
    )
    rescaled = calibration.rescaled(table.score, left)
    return results.CalibrationCheck(
        tuple(bins),
        temperature_left=left.temperature,
        offset_left=left.offset,
        brier_rescaled=metrics.brier(table.label, rescaled),
        log_loss_rescaled=metrics.log_loss(table.label, rescaled),
    )


def _slices(
    subject: Subject, threshold: float, confidence: float
) -> tuple[slices.Slice, ...]:
    table = subject.scored
    columns = {name: table.column(name) for name in ("defect_type", "machine", "lot")}
    lot, group = columns["lot"], table.column("group")
    if group is not None and not clustered.repeats(group, lot):
        columns["group"] = group
    columns = {k: v for k, v in columns.items() if v is not None}
    table_of_slices = slices.table(
        table.label,
        table.score,
        columns | dict(subject.columns),
        groups=clustered.groups_of(table),
        threshold=threshold,
        confidence=confidence,
    )
    return tuple(table_of_slices)


def _generalisation(subject: Subject, confidence: float) -> results.Generalisation:
    """The AUC with and without help from a known lot, as far as is known."""
    table = subject.scored
    groups = table.column("group")
    if groups is None:
        groups = table.column("lot")
    if clustered.word_of(table) is None:
        return results.Generalisation()
    familiar = {}
    if subject.training_groups is not None:
        familiar = vars(
            slices.familiarity(
                table.label,
                table.score,
                groups,
                subject.training_groups,
                confidence=confidence,
            )
        )
    within = slices.within_groups(table.label, table.score, groups)
    return results.Generalisation(
        **familiar, within_groups=results.WithinGroups(*within) if within else None
    )
