"""Single devices worth a look: golden, the worst, decided wrongly, changed ones."""

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np

from nexperia_tf import errors, labels, predictions
from nexperia_tf.evaluation.report import results
from nexperia_tf.evaluation.subjects import Subject

WORST = 12  # devices in each gallery
CHANGED = 24  # devices shown in a comparison
# Columns of misses.csv; of the last ones those that are known.
MISSES = ("run", "image_id", "label", "verdict", "score", "threshold")
MORE = ("defect_type", "lot", "group", "machine")


def golden(
    table: predictions.Predictions, golden: Sequence[str], threshold: float
) -> results.Golden | None:
    """The golden devices that escape; None where none are named.

    Raises:
        errors.BadInput: one of them was not scored.
    """
    if not golden:
        return None
    score = dict(zip(table.image_id, table.score.tolist()))
    missing = [name for name in golden if name not in score]
    if missing:
        raise errors.BadInput(
            f"--golden: {len(missing)} of {len(golden)} golden devices are not in "
            f"{table.source}, the first is {missing[0]!r}; score them or take them off "
            "the list."
        )
    escaped = [
        results.ScoredDevice(name, score[name])
        for name in golden
        if score[name] < threshold
    ]
    return results.Golden(len(golden), tuple(escaped))


def worst(table: predictions.Predictions, threshold: float) -> results.WorstDevices:
    """The defects that score lowest and the good devices that score highest."""
    defects = np.flatnonzero(table.label == 1)
    good = np.flatnonzero(table.label == 0)
    lowest = defects[np.argsort(table.score[defects], kind="stable")][:WORST]
    highest = good[np.argsort(-table.score[good], kind="stable")][:WORST]
    return results.WorstDevices(
        escapes=tuple(_device(table, row, threshold) for row in lowest),
        overkills=tuple(_device(table, row, threshold) for row in highest),
    )


def _device(
    table: predictions.Predictions, row: int, threshold: float
) -> results.Device:
    kind = table.columns.get("defect_type")
    return results.Device(
        image_id=table.image_id[row],
        score=float(table.score[row]),
        rejected=bool(table.score[row] >= threshold),
        label=int(table.label[row]),
        defect_type="" if kind is None else kind[row],
    )


def changes(
    table: predictions.Predictions,
    other: predictions.Predictions,
    thresholds: tuple[float, float],
) -> results.Changes:
    """Devices that two runs decide differently, most surprising first.

    Args:
        table, other: scores of the two on the same devices in the same order.
        thresholds: of each.
    """
    before = table.score >= thresholds[0]
    after = other.score >= thresholds[1]
    defect = table.label == 1

    def changed(mask: np.ndarray) -> results.ChangedDevices:
        rows = np.flatnonzero(mask)
        rows = rows[np.argsort(-np.abs(other.score - table.score)[rows])][:CHANGED]
        shown = [
            results.ChangedDevice(
                **vars(_device(other, row, thresholds[1])),
                score_first=float(table.score[row]),
            )
            for row in rows
        ]
        return results.ChangedDevices(int(mask.sum()), tuple(shown))

    return results.Changes(
        newly_caught=changed(defect & ~before & after),
        newly_missed=changed(defect & before & ~after),
        newly_overkilled=changed(~defect & ~before & after),
        newly_passed=changed(~defect & before & ~after),
    )


def misses(subjects: Sequence[Subject], runs: Sequence[results.Run]) -> str:
    """Every device that the threshold in force decides wrongly, as a table.

    Escapes come first, the worst of each first.

    Args:
        subjects: the judged runs.
        runs: what was found of each.

    Returns:
        CSV with columns those of MISSES, and those of MORE that any run knows.
    """
    more = [n for n in MORE if any(n in s.scored.columns for s in subjects)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*MISSES, *more])
    for subject, run in zip(subjects, runs):
        writer.writerows(_missed(subject, run.judged_at.threshold, more))
    return text.getvalue()


def _missed(subject: Subject, threshold: float, more: Sequence[str]) -> Iterator[tuple]:
    scored = subject.scored
    rejected, defect = scored.score >= threshold, scored.label == labels.POSITIVE
    escapes, overkills = (
        np.flatnonzero(wrong) for wrong in (defect & ~rejected, ~defect & rejected)
    )
    order = [
        *escapes[np.argsort(scored.score[escapes], kind="stable")],
        *overkills[np.argsort(-scored.score[overkills], kind="stable")],
    ]
    for row in order:
        given, verdict = (
            labels.NAMES[int(defect[row])],
            labels.NAMES[int(rejected[row])],
        )
        known = [scored.columns[n][row] if n in scored.columns else "" for n in more]
        score = repr(float(scored.score[row]))
        name = scored.image_id[row]
        yield subject.name, name, given, verdict, score, repr(threshold), *known
