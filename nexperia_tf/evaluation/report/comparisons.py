"""Pairs of runs on the same devices: which differ, and which devices change sides.

And a run beside its baseline, which simple numbers reach.
"""

from collections.abc import Sequence

import numpy as np

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import devices, formats, results
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.statistics import clustered, comparison, wording


def compare(
    subjects: Sequence[Subject],
    *,
    confidence: float,
    pairs: Sequence[tuple[int, int]] | None = None,
) -> dict[tuple[int, int], results.Comparison]:
    """The difference of pairs of runs, and whether it is one, by their places.

    Args:
        subjects: the runs, on the same devices in the same order.
        confidence: level of the intervals.
        pairs: places of the runs to compare, corrected as one family; None compares
            every run with every other.
    """
    first = subjects[0].scored
    differences = comparison.compare(
        first.label,
        [subject.scored.score for subject in subjects],
        groups=clustered.groups_of(first),
        pairs=pairs,
        confidence=confidence,
    )
    return {
        (i, j): _comparison(
            (subjects[i].name, subjects[j].name),
            difference,
            confidence=confidence,
            grouped_by=clustered.word_of(first),
        )
        for (i, j), difference in differences.items()
    }


def of_runs(
    subjects: Sequence[Subject],
    runs: Sequence[results.Run],
    *,
    confidence: float,
) -> tuple[results.RunComparison, ...]:
    """Every pair, with the devices that change sides; each run at its own threshold.

    Args:
        subjects: as of `compare`.
        runs: their figures.
        confidence: level of the intervals.
    """
    thresholds = [run.operating_point.threshold for run in runs]
    compared = compare(subjects, confidence=confidence)
    return tuple(
        results.RunComparison(
            **vars(pair),
            **vars(
                devices.changes(
                    subjects[i].scored,
                    subjects[j].scored,
                    (thresholds[i], thresholds[j]),
                )
            ),
        )
        for (i, j), pair in compared.items()
    )


def _comparison(
    names: tuple[str, str],
    difference: comparison.Difference,
    *,
    confidence: float,
    grouped_by: str | None,
) -> results.Comparison:
    first, second = names
    return results.Comparison(
        first=first,
        second=second,
        difference=results.Difference(
            difference.value,
            difference.low,
            difference.high,
            difference.method,
            confidence,
        ),
        p_delong=difference.p_delong,
        p_bootstrap=difference.p_bootstrap,
        bootstrap=results.Bootstrap(
            difference.bootstrap_low,
            difference.bootstrap_high,
            difference.resampled,
            difference.units,
        ),
        p_jackknife=difference.p_jackknife,
        p_sign_flip=difference.p_sign_flip,
        p=difference.p,
        p_adjusted=difference.p_adjusted,
        family=difference.family,
        groups_needed=difference.groups_needed,
        verdict=difference.words,
        devices_needed=difference.devices_needed,
        grouped_by=grouped_by,
    )


def sentences(pairs: Sequence[results.Comparison]) -> list[str]:
    """For each pair of runs the verdict and what it rests on."""
    return [f"{verdict(pair)} {basis(pair)}" for pair in pairs]


def verdict(pair: results.Comparison) -> str:
    """Which of two runs ranks better, in one sentence."""
    first, second = pair.first, pair.second
    if pair.verdict == comparison.TOO_FEW:
        return f"{first} and {second}: too few {pair.grouped_by}s for a verdict."
    if pair.verdict != comparison.APART:
        return f"{first} and {second} are not distinguishable."
    if pair.difference.value < 0:
        first, second = second, first
    return f"{first} ranks better than {second}."


def basis(pair: results.Comparison) -> str:
    """What the verdict rests on: difference, limits, both p, devices needed."""
    difference = pair.difference
    level = wording.percent(difference.confidence)
    limited = f"{level}: {formats.ends(difference, signed=True)}"
    if difference.low is None:
        limited = "no interval"
    said = [
        f"AUC of {pair.first} minus that of {pair.second}: "
        f"{difference.value:+.5f} ({limited}); {_both_p(pair)}."
    ]
    if pair.verdict == comparison.TOO_FEW:
        said.append(
            f"A sign-flip test of {_lots(pair)} cannot reach {_level(pair)}; "
            f"{pair.groups_needed} {pair.grouped_by}s could."
        )
    elif pair.verdict != comparison.APART:
        said.append(
            "A difference counts where both p lie below "
            f"{comparison.SIGNIFICANCE}{_corrected(pair)}."
        )
    if pair.verdict != comparison.APART and (needed := pair.devices_needed):
        said.append(
            f"{formats.devices(needed).capitalize()} devices like these would show a "
            "true difference of this size."
        )
    return " ".join(said)


def with_baseline(
    subject: Subject, simple: predictions.Predictions, *, confidence: float
) -> results.Comparison | None:
    """AUC of a run minus its baseline's; None where a class has fewer than two devices.

    Args:
        subject: the run.
        simple: the baseline's scores of the same devices in the same order.
        confidence: level of the limits.
    """
    if min(np.bincount(simple.label, minlength=2)) < 2:
        return None
    pair = [subject, Subject("baseline", simple)]
    return compare(pair, confidence=confidence)[0, 1]


def is_first_better(pair: results.Comparison | None) -> bool:
    """Whether the first of two ranks better by the paired tests."""
    if pair is None or pair.verdict != comparison.APART:
        return False
    return pair.difference.value > 0


def against_baseline(
    name: str,
    ours: results.Auc,
    simple: results.Auc,
    pair: results.Comparison | None,
    *,
    advice: str = "",
) -> str:
    """Whether a run beats its baseline, in one sentence, and what to try if not."""
    figures = f"AUC {ours.value:.3f} against {simple.value:.3f}"
    simple_numbers = "the baseline of simple numbers"
    if is_first_better(pair):
        return f"{name} beats {simple_numbers} ({figures}; p {p_value(pair.p)})."
    if pair is None or pair.verdict == comparison.TOO_FEW:
        few = "devices" if pair is None else f"{pair.grouped_by}s"
        said = f"too few {few} to show that {name} beats {simple_numbers} ({figures})"
    else:
        worse = pair.verdict == comparison.APART
        does = "is worse than" if worse else "does not beat"
        said = f"{name} {does} {simple_numbers} by a paired test ({figures}; p "
        asked = "" if worse else f"; below {comparison.SIGNIFICANCE} counts"
        said += f"{p_value(pair.p)}{asked})"
    return f"{said}; try {advice}." if advice else f"{said}."


def _both_p(pair: results.Comparison) -> str:
    """The two p that must agree, and what both are after correction."""
    drawn = pair.bootstrap
    if pair.p_sign_flip is None:
        said = (
            f"p {p_value(pair.p_delong)} by paired DeLong, "
            f"{p_value(pair.p_bootstrap)} by paired bootstrap of {drawn.units} "
            f"{drawn.resampled}"
        )
    else:
        said = f"p {p_value(pair.p_sign_flip)} by sign flip of {_lots(pair)}"
        if pair.difference.low is not None:
            said += f", {p_value(pair.p_jackknife)} by paired jackknife"
    if pair.family == 1:
        return said
    among = f"among {pair.family} comparisons"
    return f"{said}; {p_value(pair.p_adjusted)} {among}"


def p_value(p: float) -> str:
    """A p as a person writes it; no test shows that one is 0.

    >>> p_value(0.0123), p_value(0.0)
    ('= 0.012', '< 1e-16')
    """
    return f"= {p:.2g}" if p >= 1e-16 else "< 1e-16"


def _lots(pair: results.Comparison) -> str:
    return wording.counted(pair.bootstrap.units, pair.grouped_by)


def _level(pair: results.Comparison) -> str:
    if pair.family == 1:
        return f"p < {comparison.SIGNIFICANCE}"
    return f"p < {comparison.SIGNIFICANCE} among {pair.family} comparisons"


def _corrected(pair: results.Comparison) -> str:
    if pair.family == 1:
        return ""
    return f", corrected by Holm for {pair.family} comparisons"
