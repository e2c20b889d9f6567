"""The first screen in words: five questions of whoever must sign."""

import dataclasses
import math
from collections.abc import Callable

from nexperia_tf.runs import training_pictures
from nexperia_tf.statistics import guarantee, operating_point

YES, CARE, NO = "yes", "care", "no"


@dataclasses.dataclass(frozen=True)
class Answer:
    """One question answered.

    Attributes:
        question: as the reader asks it.
        answer: in a few words.
        details: sentences behind it.
        tone: YES, CARE or NO, for the colour beside it.
    """

    question: str
    answer: str
    details: tuple[str, ...]
    tone: str


def of_run(found: dict) -> list[Answer]:
    """The five answers for one run's figures, as `figures.judge` gives them."""
    return [
        _ship(found),
        _threshold(found),
        _escapes(found),
        _cost(found),
        _uncertain(found),
    ]


def share(
    value: float | None,
    rounded: Callable[[float], float] = round,
    *,
    most_digits: int = 4,
) -> str:
    """A rate in per cent with as many digits as it needs.

    Args:
        value: the rate; None when unknown.
        rounded: math.floor and math.ceil for limits, which may only grow wider.
        most_digits: behind the point.

    >>> share(0.00123), share(0.28172), share(0), share(1), share(0.9975)
    ('0.12 %', '28.2 %', '0 %', '100 %', '99.75 %')
    >>> share(0.28172, math.ceil), share(0.00123, math.floor)
    ('28.2 %', '0.12 %')
    """
    if value is None:
        return "unknown"
    distance = min(value, 1 - value)
    if distance <= 0:
        return f"{100 * value:.0f} %"
    digits = 1 if distance >= 0.01 else 2 if distance >= 0.0005 else 4
    scale = 10 ** min(digits, most_digits)
    # The digits that binary numbers add at the far end are no reason to round away.
    value = rounded(round(100 * value * scale, 6)) / scale
    return f"{value:.{min(digits, most_digits)}f} %".replace("100.0 %", "100 %")


def broken_promise(point: dict) -> str:
    """What contradicts a guarantee, in one sentence."""
    return (
        f"{_count(point['escape_rate'])} defects escape, more than the promised "
        f"{operating_point.percent(point['target'])}: these devices are not like those "
        "the threshold was chosen on; choose it on devices like these."
    )


def threshold_by(found: dict) -> str:
    """Which devices set the threshold and what that is worth, in one sentence."""
    point = found["operating_point"]
    which = "Proposed threshold"
    if found["in_force"] and _is_in_force(found):
        which = "Threshold in force"
    said = f"{which}: set by {operating_point.rests_on(point)}."
    if some := _some_set_it(point):
        said += f" {some} are among them: their own escapes prove nothing."
    elif point["in_sample"]:
        said += " These are the devices judged here: their own escapes prove nothing."
    return said


def _some_set_it(point: dict) -> str:
    """How many judged devices set the threshold; "" where none or all did."""
    some, judged = point["judged_that_set_it"], point["judged"]
    return f"{some} of the {judged} devices judged here" if 0 < some < judged else ""


def limits(found: dict) -> str:
    """The limits of a rate, for brackets.

    They are rounded outward, and no finer than a hundredth of what lies between.

    >>> limits({"low": 0.0123, "high": None})
    '1.2 %, no upper limit'
    >>> limits({"low": 0.0, "high": 0.999993}), limits({"low": 0.00123, "high": 0.0087})
    ('0 % to 100 %', '0.12 % to 0.87 %')
    """
    if found["low"] is None:
        return "none"
    if found["high"] is None:
        return f"{share(found['low'], math.floor)}, no upper limit"
    apart = 100 * (found["high"] - found["low"])
    fine = 4 if apart <= 0 else min(4, max(1, 2 - math.floor(math.log10(apart))))
    low = share(found["low"], math.floor, most_digits=fine)
    return f"{low} to {share(found['high'], math.ceil, most_digits=fine)}"


def auc(found: dict) -> str:
    """AUC with its interval.

    >>> auc({"value": 0.99844, "low": 0.99581, "high": 0.99931, "confidence": 0.95})
    '0.9984 (95 %: 0.9958 to 0.9993)'
    >>> auc({"value": 0.99844, "low": None, "reason": "2 lots are too few"})
    '0.9984 (no interval: 2 lots are too few)'
    """
    if found["low"] is None:
        return f"{found['value']:.4f} (no interval: {found['reason']})"
    level = operating_point.percent(found.get("confidence", 0.95))
    return f"{found['value']:.4f} ({level}: {ends(found, 4)})"


def ends(found: dict, digits: int = 5, *, signed: bool = False) -> str:
    """The limits of an AUC or of a difference of two, or that there are none.

    >>> ends({"low": -0.00123, "high": 0.5}, 4, signed=True), ends({"low": None})
    ('-0.0012 to +0.5000', 'none')
    """
    if found["low"] is None:
        return "none"
    form = f"{'+' if signed else ''}.{digits}f"
    return f"{found['low']:{form}} to {found['high']:{form}}"


def standing(found: dict) -> str:
    """What an AUC's limits say against the model, in one sentence; else nothing.

    >>> standing({"value": 0.53, "low": 0.46, "high": 0.59})
    'Not shown to be better than a coin: the limits hold .5.'
    >>> standing({"value": 0.9, "low": 0.8, "high": 0.95})
    ''
    """
    low, high = found["low"], found["high"]
    if low is None or high is None:
        return ""
    if high < 0.5:
        return (
            "The scores are reversed: good devices score higher than defects. Check "
            "which class is called good (--good, column label) and that a score is the "
            "probability of defect."
        )
    if low <= 0.5:
        return "Not shown to be better than a coin: the limits hold .5."
    return ""


def judged_at(found: dict) -> str:
    """The threshold of golden devices, slices and the worst devices, in words."""
    at = found["judged_at"]
    which = "threshold in force" if at["in_force"] else "proposed threshold"
    return f"{which} ({at['threshold']:.4g})"


def _ship(found: dict) -> Answer:
    question = "Can I ship this?"
    point, golden = found["operating_point"], found["golden"]
    target = operating_point.percent(point["target"])
    overkill = f"It rejects {share(point['overkill_rate']['value'])} of good devices."
    if golden and golden["escaped"]:
        names = ", ".join(d["image_id"] for d in golden["escaped"][:5])
        said = (
            f"{len(golden['escaped'])} of {golden['n']} golden devices escape at the "
            f"{judged_at(found)}"
        )
        return Answer(question, f"No: {said}.", (f"They are {names}.", overkill), NO)
    known = found.get("trained_on")
    if known and known["pictures"] + known["twins"]:
        said = (_sentence(training_pictures.in_words(known)), overkill)
        return Answer(
            question, "Not by these figures: it was trained on some of them.", said, NO
        )
    if not point["guaranteed"]:
        answer = f"Not with a promise of {target} escapes."
        return Answer(question, answer, (_sentence(point["refusal"]), overkill), NO)
    if point["broken"]:
        details = (_sentence(broken_promise(point)), overkill)
        return Answer(question, "No: the promise is broken here.", details, NO)
    sure = operating_point.percent(point["confidence"])
    promise = (
        f"With {sure} confidence at most {target} of defects escape, as long as the "
        "devices to come are like the calibration devices"
    )
    if point["method"] == guarantee.LIMITED:
        word = point["grouped_by"]
        promise += f" and {word}s differ no more in what they miss than seen there"
    promise += "."
    if point["in_sample"]:
        caution = (
            "The same devices set the threshold and are judged here; score a second "
            "set and pass the first as --calibration."
        )
        if some := _some_set_it(point):
            caution = f"{some} set the threshold, too; judge others than those."
        return Answer(question, "With care.", (promise, overkill, caution), CARE)
    answer = f"Yes, if {share(point['overkill_rate']['value'])} overkill is acceptable."
    return Answer(question, answer, (promise,), YES)


def _threshold(found: dict) -> Answer:
    question = "At which threshold?"
    point, band = found["operating_point"], found["band"]
    details = [
        f"Reject from this score on. It is a real defect's score: "
        f"{point['misses_allowed']} of {point['calibration_defects']} defects of "
        f"{point['calibrated_on']} lie below it.",
        threshold_by(found),
    ]
    if not point["vouches"]:
        details.append("No review band either: these devices can certify nothing.")
    elif band["reject_from"] is None and band["good_limit"] is not None:
        details.append(
            f"No calibration device scores above {band['good_limit']:.4g}, so nothing "
            "can be rejected without review."
        )
    elif band["reject_from"] is None:
        bound = operating_point.percent(band["max_overkill"])
        lots = _in_groups(band, point["grouped_by"])
        details.append(
            f"A review band needs {band['good_needed']} good calibration devices{lots} "
            f"to bound automatic rejects at {bound}."
        )
    elif band["reject_from"] > band["pass_below"]:
        details.append(
            f"Three ways: pass below, reject from {band['reject_from']:.4g} on, review "
            f"between ({share(band['review_rate']['value'])} of these devices)."
        )
    if band["reject_from"] is not None and point["guaranteed"]:
        details.append(
            f"Both promises, on escapes and on automatic rejects, hold together with "
            f"{operating_point.percent(band['joint_confidence'])} confidence."
        )
    answer = f"{point['threshold']:.4g}"
    if found["in_force"]:
        details = [in_force(found), *details, proposal(found)]
        now = f"{found['in_force']['threshold']:.4g}"
        if _is_in_force(found):
            answer += " is in force."
        elif _keeps_more(found):
            answer += f" promises nothing, {now} is in force."
        else:
            answer += f" is proposed, {now} is in force."
    return Answer(question, answer, tuple(details), _tone(point))


def in_force(found: dict) -> str:
    """The threshold in force and what it does to these devices, in one sentence."""
    now = found["in_force"]
    return (
        f"In force: {now['words']}; {_count(now['escape_rate'])} defects escape, "
        f"{_count(now['overkill_rate'])} good devices are rejected here."
    )


def _is_in_force(found: dict) -> bool:
    proposed = operating_point.serving_threshold(found["operating_point"]["threshold"])
    # Scores computed anew by a SavedModel differ in the fifth decimal.
    return abs(found["in_force"]["threshold"] - proposed) <= min(2e-5, proposed / 20)


def _keeps_more(found: dict) -> bool:
    """Whether the threshold in force is guaranteed, and the judged one is not."""
    return found["in_force"]["guaranteed"] and not _certain(found["operating_point"])


def _certain(point: dict) -> bool:
    return point["guaranteed"] and not point["broken"]


def proposal(found: dict, *, run: str = "RUN") -> str:
    """What is proposed beside the threshold in force, and how it would be stored."""
    point = found["operating_point"]
    if _is_in_force(found):
        return "The threshold in force is the one that these figures are for."
    proposed = f"{point['threshold']:.4g}"
    if _keeps_more(found):
        return (
            f"{proposed} would keep no promise of "
            f"{operating_point.percent(point['target'])}, the threshold in force keeps "
            "the one it names: ask for that one with --max-escape."
        )
    if not found["in_force"]["keeps"]:
        return (
            f"Proposed: {proposed}. The one in force is baked into this SavedModel: "
            "store another in its run, or give predict --threshold."
        )
    if _certain(point):
        flags = f"--max-escape {point['target']:g}"
        if point["confidence"] != operating_point.CONFIDENCE:
            flags += f" --confidence {point['confidence']:g}"
        return f"Proposed: {proposed}, stored by: nexperia evaluate {run} {flags}"
    exact = operating_point.serving_threshold(point["threshold"])
    return (
        f"Proposed: {proposed}, not guaranteed, stored by: nexperia evaluate {run} "
        f"--set-threshold {exact:.6g}"
    )


def _in_groups(band: dict, word: str) -> str:
    """How many groups the good devices come from, where they come in groups."""
    if band["method"] == guarantee.DEVICES:
        return ""
    return f" in such {word}s (there are {band['n_groups']} {word}s)"


def _escapes(found: dict) -> Answer:
    point = found["operating_point"]
    escape = point["escape_rate"]
    sure = operating_point.percent(point["confidence"])
    details = [f"Escape rate {share(escape['value'])} ({sure}: {limits(escape)})."]
    if some := _some_set_it(point):
        details[0] += f" {some} chose the threshold: their own escapes prove nothing."
    elif point["in_sample"]:
        details[0] += " These defects chose the threshold, so the count proves nothing."
    if not point["broken"]:
        details.append(_certified(point))
    for case in found["economics"] if point["vouches"] else ():
        # A certificate that these devices contradict is no bound for them.
        most = case["dppm"]["high"] if point["broken"] else case["dppm_certified"]
        details.append(
            f"At {operating_point.percent(case['prevalence'])} defects on the line: at "
            f"most {most:,.1f} defective parts per million shipped, where no "
            f"inspection ships {case['dppm_uninspected']:,.0f}."
        )
    answer = f"{_count(escape)} defects here."
    return Answer("What will escape?", answer, tuple(details), _tone(point))


def _certified(point: dict) -> str:
    """The bound of the calibration devices, and why these may show more."""
    escape, most = point["escape_rate"], point["certified_escape"]
    if point["taught"]:
        said = operating_point.trained_on(point["taught"], point["unlisted"])
        return f"Nothing is certified: {said}."
    if not point["vouches"]:
        return f"Nothing is certified: these devices {point['choices_why']}."
    sure = f"Certified: at most {share(most, math.ceil)}."
    if escape["value"] is None or escape["value"] <= most:
        return sure
    return (
        f"{sure} That is a bound for the devices to come, from the calibration "
        f"devices; {_count(escape)} here are more, and still within what chance does "
        f"with so few ({limits(escape)})."
    )


def _cost(found: dict) -> Answer:
    point = found["operating_point"]
    overkill = point["overkill_rate"]
    sure = operating_point.percent(point["confidence"])
    details = [
        f"{_count(overkill)} good devices are rejected ({sure}: {limits(overkill)})."
    ]
    for case in found["economics"]:
        cost = (
            f"At {operating_point.percent(case['prevalence'])} defects on the line: "
            f"{share(case['yield_loss']['value'])} of production is lost"
        )
        if found["band"]["reject_from"] is not None:
            cost += f"; with the review band {share(case['review_rate'])} is looked at"
        details.append(f"{cost}.")
    answer = f"{share(overkill['value'])} of good devices."
    tone = YES if overkill["high"] < 0.05 else CARE
    return Answer("What will it cost?", answer, tuple(details), tone)


def _uncertain(found: dict) -> Answer:
    auc_found = found["auc"]
    defects = operating_point.counted(found["n_defect"], "defect")
    details = [f"AUC {auc(auc_found)}, from {defects}."]
    if against := standing(auc_found):
        details.append(against)
    if auc_found["groups"] is not None and auc_found["low"] is not None:
        details.append(
            f"These limits take the {auc_found['groups']} {found['grouped_by']}s, not "
            f"the devices, for what was drawn: {auc_found['design_effect']:.1f} "
            f"devices in {found['grouped_by']}s are worth one that stands alone."
        )
    if any(row["same_as"] is not None for row in found["fpr_at_tpr"]):
        details.append(
            f"{found['n_defect']} defects are too few to tell every TPR target from "
            "the next: grey rows below."
        )
    unseen = found["generalisation"]["unseen"]
    seen = found["generalisation"]["seen"]
    if seen and unseen:
        word = found["grouped_by"]
        details.append(
            f"{_sentence(word)}s that training saw: AUC {seen['value']:.4f}; {word}s "
            f"it did not: {unseen['value']:.4f}. A new {word} is the second case."
        )
    if left := _left_to_fit(found["calibration"]):
        details.append(f"Scores are no probabilities yet: {left} would make them so.")
    answer = "The AUC: no interval."
    if auc_found["low"] is not None:
        answer = f"The AUC, by {auc_found['high'] - auc_found['low']:.4f}."
    return Answer("What is uncertain?", answer, tuple(details), CARE)


def _left_to_fit(found: dict) -> str:
    """What calibration the scores lack, "" where they lack little."""
    temperature, offset = found["temperature_left"], found["offset_left"]
    if temperature is None or (0.8 < temperature < 1.25 and abs(offset) < 0.25):
        return ""
    return f"a temperature of {temperature:.2f} and an offset of {offset:+.2f}"


def acquaintance(found: dict, split: str | None = None) -> str:
    """Which judged pictures were trained on, "" where none is."""
    known = found.get("trained_on")
    return training_pictures.in_words(known, split or "judged") if known else ""


def devices(needed: int) -> str:
    """How many devices would tell two runs apart.

    >>> devices(10294), devices(1_539_321_469)
    ('about 10,294', 'more than a million')
    """
    return f"about {needed:,}" if needed <= 1_000_000 else "more than a million"


def _tone(point: dict) -> str:
    if point["broken"]:
        return NO
    return YES if point["guaranteed"] else CARE


def _count(rate: dict) -> str:
    return f"{rate['count']} of {rate['of']}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
