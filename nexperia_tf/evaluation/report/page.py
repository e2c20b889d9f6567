"""report.json and report.html: the same figures, for programs and for people."""

import base64
import datetime
import functools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import jinja2

from nexperia_tf import errors, files, locks
from nexperia_tf.data import pages
from nexperia_tf.evaluation import slices
from nexperia_tf.evaluation.report import (
    comparisons,
    devices,
    formats,
    gallery,
    judging,
    plots,
    results,
    summary,
    sweep,
)
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.statistics import comparison, intervals, operating_point, wording

NO_BREAK = "\N{NO-BREAK SPACE}"
JSON, HTML, MISSES = "report.json", "report.html", "misses.csv"
# How an interval is called in the report.
METHODS = {
    "logit-delong": "logit-DeLong",
    "delong": "DeLong",
    "newcombe-5": "Newcombe 5, devices as independent",
    "newcombe-5-by-group": "Newcombe 5 by group",
    "none": "no interval",
}
SHOWN_SLICES = 12  # of one column; the rest are in report.json


def report_of(
    subjects: Sequence[Subject], settings: results.Settings, **facts
) -> results.Report:
    """Judges all runs and every pair of them.

    Args:
        subjects: the runs; several must hold the same devices in the same order.
        settings: what was asked.
        **facts: further fields of the report: split, labels, notes.
    """
    runs = tuple(judging.judge(subject, settings) for subject in subjects)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    pairs = ()
    if len(subjects) > 1:
        pairs = comparisons.of_runs(subjects, runs, confidence=settings.confidence)
    return results.Report(
        runs=runs, settings=settings, created=now, comparisons=pairs, **facts
    )


def write(
    folder: str | os.PathLike,
    report: results.Report,
    subjects: Sequence[Subject],
    pictures: Mapping[str, Mapping[str, gallery.DevicePicture]] | None = None,
) -> None:
    """Writes the page, the figures and the devices decided wrongly into `folder`.

    Args:
        folder: made when it is not there; an earlier report in it is replaced.
        report: from `report_of`, with what was added since.
        subjects: the runs it was made of.
        pictures: by run name, then by image id.
    """
    folder = pathlib.Path(folder)
    content = {
        HTML: page(report, subjects, pictures or {}),
        MISSES: devices.misses(subjects, report.runs),
    }
    with locks.held(folder, busy="writes a report there"):
        if folder.exists():
            _write(folder, content, report)
        else:
            with files.new_folder(folder) as partial:
                _write(partial, content, report)


def is_report(folder: pathlib.Path) -> bool:
    """Whether a folder holds a report and nothing else, so that it may be replaced."""
    if not folder.is_dir() or not (folder / JSON).is_file():
        return False
    names = {p.name for p in folder.iterdir() if not locks.is_leftover(p.name)}
    try:
        kept = files.read_json(folder / JSON)
    except errors.BadInput:
        return False
    return names <= {HTML, JSON, MISSES} and {
        "schema",
        "auc",
        "operating_point",
    } <= set(kept)


def _write(
    folder: pathlib.Path, content: Mapping[str, str], report: results.Report
) -> None:
    for name, text in content.items():
        files.write_text(folder / name, text)
    files.write_json(folder / JSON, report.as_json())


def page(
    report: results.Report,
    subjects: Sequence[Subject],
    pictures: Mapping[str, Mapping[str, gallery.DevicePicture]],
) -> str:
    """report.html: one self-contained page."""
    runs = [
        {
            "result": run,
            "answers": summary.of_run(run),
            "seen": summary.seen_in_training(run.trained_on, report.split or "judged"),
            "roc": plots.roc([subject.scored], [subject.name], [run.operating_point]),
            "histogram": plots.histogram(subject.scored, _thresholds(run)),
            "reliability": plots.reliability(run.calibration.bins),
            "slices": _slices_by_column(run.slices),
            "pictures": pictures.get(subject.name, {}),
            "misses": _link(devices.misses([subject], [run]).encode(), "text/csv"),
            "curves": subject.curves
            and _link(subject.curves.read_bytes(), "image/png"),
            "sweep": sweep.of(
                subject.scored,
                in_force=run.judged_at.threshold,
                confidence=report.settings.confidence,
            ),
        }
        for subject, run in zip(subjects, report.runs)
    ]
    return (
        environment()
        .get_template("report.html")
        .render(
            report=report,
            runs=runs,
            small=slices.SMALL,
            compared=_compared(report, subjects) if len(subjects) > 1 else None,
            pictures=pictures,
        )
    )


def _link(content: bytes, kind: str) -> str:
    """A file as an address, so that the page needs none beside it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _thresholds(run: results.Run) -> dict[str, float]:
    threshold, reject_from = run.operating_point.threshold, run.band.reject_from
    now = run.judged_at.threshold
    lines = {f"in force: reject from {now:.3g}": now} if run.judged_at.in_force else {}
    if not lines or abs(now - threshold) > 2 * operating_point.ROUNDING:
        lines[f"proposed: reject from {threshold:.3g}"] = threshold
    if reject_from is not None and reject_from > threshold:
        lines[f"without review from {reject_from:.3g}"] = reject_from
    return lines


def _slices_by_column(parts: Sequence[slices.Slice]) -> list[dict]:
    """The slices by column, the worst of each; the rest is counted."""
    columns: dict[str, list[slices.Slice]] = {}
    for part in parts:
        columns.setdefault(part.by, []).append(part)
    return [
        {
            "title": slices.TITLES.get(by, by),
            "parts": parts[:SHOWN_SLICES],
            "left_out": len(parts[SHOWN_SLICES:]),
        }
        for by, parts in columns.items()
    ]


def _compared(report: results.Report, subjects: Sequence[Subject]) -> dict:
    runs, pairs = report.runs, report.comparisons
    best = max(runs, key=lambda run: run.auc.value)
    return {
        "pairs": [
            {
                "changed": pair,
                "said": comparisons.verdict(pair),
                "because": comparisons.basis(pair),
            }
            for pair in pairs
        ],
        "apart": any(pair.verdict == comparison.APART for pair in pairs),
        "undecided": _undecided(pairs),
        "best": best.name,
        "roc": plots.roc(
            [subject.scored for subject in subjects],
            [subject.name for subject in subjects],
            [run.operating_point for run in runs],
        ),
        "aucs": plots.forest([_row(run.name, run.auc) for run in runs], zero=None),
        "differences": plots.forest(
            [_row(f"{pair.first} − {pair.second}", pair.difference) for pair in pairs],
            zero=0.0,
        ),
    }


def _undecided(pairs: Sequence[results.Comparison]) -> str:
    """The headline where no two runs can be told apart."""
    if any(pair.verdict == comparison.TOO_FEW for pair in pairs):
        return f"Too few {pairs[0].grouped_by}s for a verdict."
    return "Not distinguishable."


def _row(
    name: str, interval: intervals.Interval
) -> tuple[str, float, float | None, float | None]:
    return name, interval.value, interval.low, interval.high


def _unbroken(text):
    """A number stays on one line with its per cent sign."""
    return text.replace(" %", f"{NO_BREAK}%") if isinstance(text, str) else text


def _limits(rate: intervals.Interval) -> str:
    """The limits of a rate for a cell, which may break before its "to"."""
    return formats.limits(rate).replace(" to ", f" to{NO_BREAK}")


def _ends(auc: intervals.Interval, digits: int = 5, signed: bool = False) -> str:
    """The limits of an AUC for a cell, which may break before its "to"."""
    return formats.ends(auc, digits, signed=signed).replace(" to ", f" to{NO_BREAK}")


def _stops(stops: Sequence[sweep.Stop]) -> str:
    """The slider's stops as JSON, which holds no text of devices."""
    return json.dumps([(s.shown, s.escape, s.overkill) for s in stops])


@functools.cache  # its templates are compiled
def environment(*folders: pathlib.Path, escaped: bool = True) -> jinja2.Environment:
    """Where templates find the report's style and its filters.

    Args:
        *folders: of further templates.
        escaped: whether text may not be markup, as in HTML.
    """
    own = pathlib.Path(__file__).parent / "templates"
    environment = pages.templates(*folders, own, escaped=escaped, finalize=_unbroken)
    environment.filters["share"] = formats.share
    environment.filters["devices"] = formats.devices
    environment.filters["limits"] = _limits
    environment.filters["auc"] = formats.auc
    environment.filters["p"] = lambda p: comparisons.p_value(p).removeprefix("= ")
    environment.filters["ends"] = _ends
    environment.filters["warning"] = formats.warning
    environment.filters["method"] = lambda name: METHODS.get(name, name)
    environment.filters["judged_at"] = summary.judged_at
    environment.filters["percent"] = wording.percent
    environment.filters["stops"] = _stops
    return environment
