"""The top of the report: answers to the five questions of whoever signs it."""

import dataclasses
import math
from collections.abc import Iterator

from nexperia_tf.evaluation.report import formats, results
from nexperia_tf.runs import training_pictures
from nexperia_tf.statistics import certificate, guarantee, operating_point, wording

YES, CAUTION, NO = "yes", "caution", "no"


@dataclasses.dataclass(frozen=True)
class Answer:
    """One question answered.

    Attributes:
        question: as the reader asks it.
        answer: in a few words.
        details: sentences behind it.
        tone: YES, CAUTION or NO, for the colour beside it.
    """

    question: str
    answer: str
    details: tuple[str, ...]
    tone: str


def of_run(run: results.Run) -> list[Answer]:
    """The five answers for one run's figures, as `judging.judge` gives them."""
    return [
        _ship(run),
        _threshold(run),
        _escapes(run),
        _cost(run),
        _uncertain(run),
    ]


def broken_guarantee(point: results.OperatingPoint) -> str:
    """What contradicts a guarantee, in one sentence."""
    return (
        f"{formats.count(point.escape_rate)} defects escape, more than the promised "
        f"{wording.percent(point.target)}: these devices are not like those "
        "the threshold was chosen on; choose it on devices like these."
    )


def threshold_by(run: results.Run) -> str:
    """Which devices set the threshold and what that is worth, in one sentence."""
    point = run.operating_point
    which = "Proposed threshold"
    if run.in_force and _is_in_force(run):
        which = "Threshold in force"
    said = f"{which}: set by {certificate.rests_on(point)}."
    if some := _some_set_it(point):
        said += f" {some} are among them: their own escapes prove nothing."
    elif point.in_sample:
        said += " These are the devices judged here: their own escapes prove nothing."
    return said


def _some_set_it(point: results.OperatingPoint) -> str:
    """How many judged devices set the threshold; "" where none or all did."""
    some, judged = point.judged_that_set_it, point.judged
    return f"{some} of the {judged} devices judged here" if 0 < some < judged else ""


def judged_at(run: results.Run) -> str:
    """The threshold of golden devices, slices and the worst devices, in words."""
    at = run.judged_at
    which = "threshold in force" if at.in_force else "proposed threshold"
    return f"{which} ({at.threshold:.4g})"


SHIP = "Can I ship this?"


def _ship(run: results.Run) -> Answer:
    refused = _golden_escape(run) or _was_trained_on(run) or _has_no_guarantee(run)
    if refused is not None:
        overkill = run.operating_point.overkill_rate.value
        rejects = f"It rejects {formats.share(overkill)} of good devices."
        return dataclasses.replace(refused, details=(*refused.details, rejects))
    return _may_ship(run.operating_point)


def _golden_escape(run: results.Run) -> Answer | None:
    golden = run.golden
    if not golden or not golden.escaped:
        return None
    names = ", ".join(device.image_id for device in golden.escaped[:5])
    answer = (
        f"No: {len(golden.escaped)} of {golden.n} golden devices escape at the "
        f"{judged_at(run)}."
    )
    return Answer(SHIP, answer, (f"They are {names}.",), NO)


def _was_trained_on(run: results.Run) -> Answer | None:
    if not run.trained_on or not run.trained_on.count:
        return None
    answer = "Not on these figures: the model was trained on some of these devices."
    return Answer(SHIP, answer, (_sentence(seen_in_training(run.trained_on)),), NO)


def _has_no_guarantee(run: results.Run) -> Answer | None:
    point = run.operating_point
    if not point.guaranteed:
        target = wording.percent(point.target)
        answer = f"Not with a guarantee of at most {target} escapes."
        return Answer(SHIP, answer, (_sentence(point.refusal),), NO)
    if point.broken:
        answer = "No: the guarantee does not hold on these devices."
        return Answer(SHIP, answer, (_sentence(broken_guarantee(point)),), NO)
    return None


def _may_ship(point: results.OperatingPoint) -> Answer:
    overkill = formats.share(point.overkill_rate.value)
    if not point.in_sample:
        answer = f"Yes, if {overkill} overkill is acceptable."
        return Answer(SHIP, answer, (_guarantee(point),), YES)
    caution = (
        "The same devices chose the threshold and are judged here; score a second set "
        "and pass the first as --calibration."
    )
    if some := _some_set_it(point):
        caution = f"{some} also chose the threshold; judge other devices."
    rejects = f"It rejects {overkill} of good devices."
    details = (_guarantee(point), rejects, caution)
    return Answer(SHIP, "With care.", details, CAUTION)


def _guarantee(point: results.OperatingPoint) -> str:
    """What is guaranteed, and under which conditions."""
    said = (
        f"With {wording.percent(point.confidence)} confidence at most "
        f"{wording.percent(point.target)} of defects escape, as long as future "
        "devices are like the calibration devices"
    )
    if point.method == guarantee.LIMITED:
        word = point.grouped_by
        said += f" and {word}s differ no more in their miss rates than those did"
    return f"{said}."


def _threshold(run: results.Run) -> Answer:
    point, band = run.operating_point, run.band
    details = [
        f"Reject devices with this score or more. It is a real defect's score: "
        f"{point.misses_allowed} of {point.calibration_defects} defects of "
        f"{point.calibrated_on} lie below it.",
        threshold_by(run),
        *_review_band(point, band),
    ]
    answer = f"{point.threshold:.4g}"
    if run.in_force:
        details = [in_force(run), *details, proposal(run)]
        now = f"{run.in_force.threshold:.4g}"
        if _is_in_force(run):
            answer += " is in force."
        elif _force_is_safer(run):
            answer += f" is not guaranteed; {now} is in force."
        else:
            answer += f" is proposed, {now} is in force."
    return Answer("At which threshold?", answer, tuple(details), _tone(point))


def _review_band(
    point: results.OperatingPoint, band: results.ReviewBand
) -> Iterator[str]:
    """What can be rejected without review, or why nothing can."""
    if not point.can_certify:
        yield "No review band either: these devices can certify nothing."
    elif band.reject_from is None and band.good_limit is not None:
        yield (
            f"No calibration device scores above {band.good_limit:.4g}, so nothing "
            "can be rejected without review."
        )
    elif band.reject_from is None:
        bound = wording.percent(band.max_overkill)
        lots = _in_groups(band, point.grouped_by)
        yield (
            f"A review band needs {band.good_needed} good calibration devices{lots} "
            f"to bound automatic rejects at {bound}."
        )
    elif band.reject_from > band.pass_below:
        yield (
            f"Three-way decision: pass devices below it, reject those from "
            f"{band.reject_from:.4g} upwards, review the others "
            f"({formats.share(band.review_rate.value)} of these devices)."
        )
    if band.reject_from is not None and point.guaranteed:
        yield (
            f"Both guarantees, on escapes and on automatic rejects, hold together with "
            f"{wording.percent(band.joint_confidence)} confidence."
        )


def in_force(run: results.Run) -> str:
    """The threshold in force and what it does to these devices, in one sentence."""
    now = run.in_force
    return (
        f"In force: {now.described}; {formats.count(now.escape_rate)} defects escape, "
        f"{formats.count(now.overkill_rate)} good devices are rejected here."
    )


def _is_in_force(run: results.Run) -> bool:
    proposed = operating_point.serving_threshold(run.operating_point.threshold)
    # Scores computed anew by a SavedModel differ in the fifth decimal.
    return abs(run.in_force.threshold - proposed) <= min(2e-5, proposed / 20)


def _force_is_safer(run: results.Run) -> bool:
    """Whether the threshold in force is guaranteed, and the judged one is not."""
    return run.in_force.is_guaranteed and not _is_guaranteed(run.operating_point)


def _is_guaranteed(point: results.OperatingPoint) -> bool:
    return point.guaranteed and not point.broken


def proposal(run: results.Run, *, folder: str = "RUN") -> str:
    """The threshold that is proposed instead of the one in force; how to store it."""
    point = run.operating_point
    if _is_in_force(run):
        return "These figures are for the threshold in force."
    proposed = f"{point.threshold:.4g}"
    if _force_is_safer(run):
        return (
            f"{proposed} would not guarantee "
            f"{wording.percent(point.target)}, the threshold in force has the "
            "guarantee that it states: ask for that one with --max-escape."
        )
    if not run.in_force.can_be_replaced:
        return (
            f"Proposed: {proposed}. The one in force is baked into this SavedModel: "
            "store another in its run, or give predict --threshold."
        )
    if _is_guaranteed(point):
        flags = f"--max-escape {point.target:g}"
        if point.confidence != certificate.CONFIDENCE:
            flags += f" --confidence {point.confidence:g}"
        return f"Proposed: {proposed}, stored by: nexperia evaluate {folder} {flags}"
    exact = operating_point.serving_threshold(point.threshold)
    return (
        f"Proposed: {proposed}, not guaranteed, stored by: nexperia evaluate {folder} "
        f"--set-threshold {exact:.6g}"
    )


def _in_groups(band: results.ReviewBand, word: str) -> str:
    """How many groups the good devices come from, where they come in groups."""
    if band.method == guarantee.DEVICES:
        return ""
    return f" in such {word}s (there are {band.n_groups} {word}s)"


def _escapes(run: results.Run) -> Answer:
    point = run.operating_point
    escape = point.escape_rate
    sure = wording.percent(point.confidence)
    details = [
        f"Escape rate {formats.share(escape.value)} ({sure}: {formats.limits(escape)})."
    ]
    if some := _some_set_it(point):
        details[0] += f" {some} chose the threshold: their own escapes prove nothing."
    elif point.in_sample:
        details[0] += " These defects chose the threshold, so the count proves nothing."
    if not point.broken:
        details.append(_certified(point))
    for case in run.economics if point.can_certify else ():
        # A certificate that these devices contradict is no bound for them.
        most = case.dppm.high if point.broken else case.dppm_certified
        details.append(
            f"With {wording.percent(case.prevalence)} defects on the line: at "
            f"most {most:,.1f} defective parts per million shipped "
            f"({case.dppm_uninspected:,.0f} without inspection)."
        )
    answer = f"{formats.count(escape)} defects here."
    return Answer("What will escape?", answer, tuple(details), _tone(point))


def _certified(point: results.OperatingPoint) -> str:
    """The bound of the calibration devices, and why these may show more."""
    escape, most = point.escape_rate, point.certified_escape
    if point.seen_in_training:
        said = certificate.trained_on(point.seen_in_training, point.unlisted)
        return f"Nothing is certified: {said}."
    if not point.can_certify:
        return f"Nothing is certified: these devices {point.choices_why}."
    sure = f"Certified: at most {formats.share(most, math.ceil)}."
    if escape.value is None or escape.value <= most:
        return sure
    return (
        f"{sure} That is a bound for future devices, from the calibration devices; "
        f"{formats.count(escape)} here are more, but within chance for so few "
        f"({formats.limits(escape)})."
    )


def _cost(run: results.Run) -> Answer:
    point = run.operating_point
    overkill = point.overkill_rate
    sure = wording.percent(point.confidence)
    details = [
        f"{formats.count(overkill)} good devices are rejected "
        f"({sure}: {formats.limits(overkill)})."
    ]
    for case in run.economics:
        cost = (
            f"With {wording.percent(case.prevalence)} defects on the line: "
            f"{formats.share(case.yield_loss.value)} of production is lost"
        )
        if run.band.reject_from is not None:
            cost += f"; {formats.share(case.review_rate)} falls in the review band"
        details.append(f"{cost}.")
    answer = f"{formats.share(overkill.value)} of good devices."
    tone = YES if overkill.high < 0.05 else CAUTION
    return Answer("What will it cost?", answer, tuple(details), tone)


def _uncertain(run: results.Run) -> Answer:
    auc = run.auc
    defects = wording.counted(run.n_defect, "defect")
    details = [f"AUC {formats.auc(auc)}, from {defects}."]
    if against := formats.warning(auc):
        details.append(against)
    if auc.groups is not None and auc.low is not None:
        details.append(
            f"These limits treat the {auc.groups} {run.grouped_by}s, not the "
            f"devices, as the sample: {auc.design_effect:.1f} devices in "
            f"{run.grouped_by}s carry as much information as one independent device."
        )
    if any(row.same_as is not None for row in run.fpr_at_tpr):
        details.append(
            f"{run.n_defect} defects are too few to tell some TPR targets apart: "
            "grey rows below."
        )
    unseen = run.generalisation.unseen
    seen = run.generalisation.seen
    if seen and unseen:
        word = run.grouped_by
        details.append(
            f"AUC on {word}s seen in training: {seen.value:.4f}; on other {word}s: "
            f"{unseen.value:.4f}. Expect the second on a new {word}."
        )
    if left := _missing_calibration(run.calibration):
        details.append(f"Scores are not yet probabilities: {left} would correct them.")
    answer = "The AUC: no interval."
    if auc.low is not None:
        answer = f"The AUC: its interval is {auc.high - auc.low:.4f} wide."
    return Answer("What is uncertain?", answer, tuple(details), CAUTION)


def _missing_calibration(check: results.CalibrationCheck) -> str:
    """The calibration that is still missing, "" where it is negligible."""
    temperature, offset = check.temperature_left, check.offset_left
    if temperature is None or (0.8 < temperature < 1.25 and abs(offset) < 0.25):
        return ""
    return f"a temperature of {temperature:.2f} and an offset of {offset:+.2f}"


def seen_in_training(seen: results.SeenInTraining | None, split: str = "") -> str:
    """Which judged pictures were trained on, "" where none is or nobody knows.

    Args:
        seen: how many they are.
        split: what the judged pictures are called.
    """
    if seen is None:
        return ""
    return training_pictures.described(seen, split, without=_auc_without(seen))


def _auc_without(seen: results.SeenInTraining) -> str:
    """The AUC of the judged pictures that are new to the model, as a clause."""
    if seen.count == seen.of:
        return "; none is left to judge without them"
    auc = seen.auc_without
    if auc is None:
        return "; the others hold one class alone, no AUC without them"
    limits = f"no interval: {auc.reason}"
    if auc.low is not None:
        limits = f"{auc.low:.3f} to {auc.high:.3f}"
    return f"; AUC without them {auc.value:.4f} ({limits})"


def _tone(point: results.OperatingPoint) -> str:
    if point.broken:
        return NO
    return YES if point.guaranteed else CAUTION


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
