"""What nexperia evaluate prints of a report."""

from collections.abc import Iterator, Mapping

from nexperia_tf.evaluation.report import comparisons, formats, results, summary

ANSWERS = 4  # of the five; what is uncertain stands on the page


def lines(report: results.Report, folders: Mapping[str, str]) -> Iterator[str]:
    """The report in short, line by line.

    Args:
        report: the figures.
        folders: of the runs that have one, by name.
    """
    for run in report.runs:
        yield from _of_run(run, report.split or "judged", folders.get(run.name, "RUN"))
    if report.labels and report.labels.auc_as_given:
        as_given = formats.auc(report.labels.auc_as_given)
        yield f"By the labels as given: AUC {as_given}"
    yield from comparisons.sentences(report.comparisons)


def _of_run(run: results.Run, split: str, folder: str) -> Iterator[str]:
    yield f"{run.name}: AUC {formats.auc(run.auc)}, {run.n_defect} defects of {run.n}"
    if against := formats.warning(run.auc):
        yield f"  {against}"
    if run.baseline:
        yield f"  {run.baseline.said}"
    if seen := summary.seen_in_training(run.trained_on, split):
        yield f"  warning: {seen}."
    for answer in summary.of_run(run)[:ANSWERS]:
        yield f"  {answer.question} {answer.answer}"
    if run.repeatability:
        yield f"  Does a verdict hold? {run.repeatability.said}"
    if run.in_force:
        yield f"  {summary.in_force(run)}"
        yield f"  {summary.proposal(run, folder=folder)}"
    yield f"  {summary.threshold_by(run)}"


def escaped_golden(report: results.Report) -> list[str]:
    """A line for each golden device that escapes a run."""
    return [
        f"golden device {device.image_id} escapes {run.name}: score "
        f"{device.score:.4g} lies below the {summary.judged_at(run)}"
        for run in report.runs
        if run.golden
        for device in run.golden.escaped
    ]


def refusal(report: results.Report) -> str | None:
    """Why the guaranteed threshold of a run is not stored; None where it can be."""
    for run in report.runs:
        point = run.operating_point
        if not point.guaranteed or point.broken:
            because = point.refusal or summary.broken_guarantee(point)
            return f"refused: {run.name}: {because}"
    return None
