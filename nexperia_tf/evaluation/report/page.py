"""report.json and report.html: the same figures, for programs and for people."""

import dataclasses
import datetime
import os
import pathlib
from collections.abc import Mapping, Sequence

import jinja2

from nexperia_tf import errors, files, locks
from nexperia_tf.data import pages
from nexperia_tf.evaluation import slices
from nexperia_tf.evaluation.report import answers, figures, gallery, plots, verdicts
from nexperia_tf.statistics import comparison

NO_BREAK = "\N{NO-BREAK SPACE}"
JSON, HTML = "report.json", "report.html"
# How an interval is called in the report.
METHODS = {
    "logit-delong": "logit-DeLong",
    "delong": "DeLong",
    "newcombe-5": "Newcombe 5 as if devices stood alone",
    "newcombe-5-by-group": "Newcombe 5 by group",
    "none": "no interval",
}
SHOWN_SLICES = 12  # of one column; the rest are in report.json


def figures_of(
    subjects: Sequence[figures.Subject], settings: figures.Settings, **facts
) -> dict:
    """What report.json holds.

    The keys of the first run stand at the top; with several runs each has its own
    under `runs`, and `comparisons` holds every pair.

    Args:
        subjects: the runs; several must hold the same devices in the same order.
        settings: what was asked.
        **facts: stated as they are, such as the split and where labels came from.
    """
    judged = [figures.judge(subject, settings) for subject in subjects]
    payload = {"schema": figures.SCHEMA, **facts, **judged[0]}
    payload["settings"] = dataclasses.asdict(settings) | {
        "golden": list(settings.golden)
    }
    payload["created"] = datetime.datetime.now(datetime.UTC).isoformat(
        timespec="seconds"
    )
    if len(subjects) > 1:
        payload["runs"] = judged
        payload["comparisons"] = figures.comparisons(
            subjects, judged, confidence=settings.confidence
        )
    return payload


def write(
    folder: str | os.PathLike,
    payload: dict,
    subjects: Sequence[figures.Subject],
    pictures: Mapping[str, Mapping[str, gallery.Embedded]] | None = None,
) -> None:
    """Writes both files into `folder`.

    Args:
        folder: made when it is not there; an earlier report in it is replaced.
        payload: from `figures_of`, with what was added since.
        subjects: the runs it was made of.
        pictures: by run name, then by image id.
    """
    folder = pathlib.Path(folder)
    html = page(payload, subjects, pictures or {})
    with locks.held(folder, busy="writes a report there"):
        if folder.exists():
            _write_both(folder, html, payload)
        else:
            with files.new_folder(folder) as beside:
                _write_both(beside, html, payload)


def is_one(folder: pathlib.Path) -> bool:
    """Whether a folder holds a report and nothing else, so that it may be replaced."""
    if not folder.is_dir() or not (folder / JSON).is_file():
        return False
    names = {p.name for p in folder.iterdir() if not locks.is_leftover(p.name)}
    try:
        found = files.read_json(folder / JSON)
    except errors.BadInput:
        return False
    return names <= {HTML, JSON} and {"schema", "auc", "operating_point"} <= set(found)


def _write_both(folder: pathlib.Path, html: str, payload: dict) -> None:
    files.write_text(folder / HTML, html)
    files.write_json(folder / JSON, payload)


def page(
    payload: dict,
    subjects: Sequence[figures.Subject],
    pictures: Mapping[str, Mapping[str, gallery.Embedded]],
) -> str:
    """report.html: one self-contained page."""
    judged = payload.get("runs") or [payload]
    runs = [
        {
            "found": found,
            "answers": answers.of_run(found),
            "known": answers.acquaintance(found, payload.get("split")),
            "roc": plots.roc(
                [subject.scored], [subject.name], [found["operating_point"]]
            ),
            "histogram": plots.histogram(subject.scored, _thresholds(found)),
            "reliability": plots.reliability(found["calibration"]["bins"]),
            "slices": _slices(found["slices"]),
            "pictures": pictures.get(subject.name, {}),
        }
        for subject, found in zip(subjects, judged)
    ]
    return (
        environment()
        .get_template("report.html")
        .render(
            payload=payload,
            runs=runs,
            small=slices.SMALL,
            compared=_compared(payload, subjects) if len(subjects) > 1 else None,
            pictures=pictures,
        )
    )


def _thresholds(found: dict) -> dict[str, float]:
    point, band = found["operating_point"], found["band"]
    lines = {f"reject from {point['threshold']:.3g}": point["threshold"]}
    if band["reject_from"] is not None and band["reject_from"] > point["threshold"]:
        name = f"without review from {band['reject_from']:.3g}"
        lines[name] = band["reject_from"]
    return lines


def _slices(found: Sequence[dict]) -> list[dict]:
    """The slices by column, the worst of each; the rest is counted."""
    columns: dict[str, list[dict]] = {}
    for part in found:
        columns.setdefault(part["by"], []).append(part)
    return [
        {
            "title": slices.TITLES.get(by, by),
            "parts": parts[:SHOWN_SLICES],
            "left_out": len(parts[SHOWN_SLICES:]),
        }
        for by, parts in columns.items()
    ]


def _compared(payload: dict, subjects: Sequence[figures.Subject]) -> dict:
    judged, pairs = payload["runs"], payload["comparisons"]
    ranked = sorted(judged, key=lambda found: found["auc"]["value"], reverse=True)
    return {
        "pairs": [
            pair | {"said": verdicts.verdict(pair), "because": verdicts.evidence(pair)}
            for pair in pairs
        ],
        "apart": any(pair["verdict"] == comparison.APART for pair in pairs),
        "undecided": _undecided(pairs),
        "best": ranked[0]["name"],
        "roc": plots.roc(
            [subject.scored for subject in subjects],
            [subject.name for subject in subjects],
            [found["operating_point"] for found in judged],
        ),
        "aucs": plots.forest([_row(f["name"], f["auc"]) for f in judged], zero=None),
        "differences": plots.forest(
            [
                _row(f"{pair['first']} − {pair['second']}", pair["difference"])
                for pair in pairs
            ],
            zero=0.0,
        ),
    }


def _undecided(pairs: Sequence[dict]) -> str:
    """What is said when no pair is told apart."""
    if any(pair["verdict"] == comparison.TOO_FEW for pair in pairs):
        return f"Too few {pairs[0]['grouped_by']}s for a verdict."
    return "Not distinguishable."


def _row(name: str, interval: dict) -> tuple[str, float, float | None, float | None]:
    return name, interval["value"], interval["low"], interval["high"]


def _unbroken(text):
    """A number stays on one line with its per cent sign."""
    return text.replace(" %", f"{NO_BREAK}%") if isinstance(text, str) else text


def _limits(found: Mapping) -> str:
    """The limits of a rate for a cell, which may break before its "to"."""
    return answers.limits(found).replace(" to ", f" to{NO_BREAK}")


def _ends(found: Mapping, digits: int = 5, signed: bool = False) -> str:
    """The limits of an AUC for a cell, which may break before its "to"."""
    return answers.ends(found, digits, signed=signed).replace(" to ", f" to{NO_BREAK}")


def environment(*folders: pathlib.Path, escaped: bool = True) -> jinja2.Environment:
    """Where templates find the report's style and its filters.

    Args:
        *folders: of templates beside the report's own.
        escaped: whether text may not be markup, as in HTML.
    """
    own = pathlib.Path(__file__).parent / "templates"
    environment = pages.templates(*folders, own, escaped=escaped, finalize=_unbroken)
    environment.filters["share"] = answers.share
    environment.filters["devices"] = answers.devices
    environment.filters["limits"] = _limits
    environment.filters["auc"] = answers.auc
    environment.filters["p"] = lambda p: verdicts.p_value(p).removeprefix("= ")
    environment.filters["ends"] = _ends
    environment.filters["standing"] = answers.standing
    environment.filters["method"] = lambda name: METHODS.get(name, name)
    environment.filters["judged_at"] = answers.judged_at
    environment.filters["percent"] = answers.operating_point.percent
    return environment
