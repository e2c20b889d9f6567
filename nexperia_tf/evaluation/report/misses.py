"""misses.csv: every device that the threshold in force decides wrongly."""

import csv
import io
from collections.abc import Iterator, Sequence

import numpy as np

from nexperia_tf import labels
from nexperia_tf.evaluation.report import results
from nexperia_tf.evaluation.subjects import Subject

COLUMNS = ("run", "image_id", "label", "verdict", "score", "threshold")
MORE = ("defect_type", "lot", "group", "machine")  # where they are known


def table(subjects: Sequence[Subject], runs: Sequence[results.Run]) -> str:
    """The devices of all runs, escapes first, the worst of each first.

    Args:
        subjects: the judged runs.
        runs: what was found of each.

    Returns:
        CSV with columns COLUMNS, and those of MORE that any run knows.
    """
    more = [n for n in MORE if any(n in s.scored.columns for s in subjects)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *more])
    for subject, run in zip(subjects, runs):
        writer.writerows(_rows(subject, run.judged_at.threshold, more))
    return text.getvalue()


def _rows(subject: Subject, threshold: float, more: Sequence[str]) -> Iterator[tuple]:
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
