"""study.json, study.md and study.html: the same tables for programs and for people."""

import pathlib
from collections.abc import Mapping, Sequence

import jinja2

from nexperia_tf import files
from nexperia_tf.evaluation.report import answers, page, plots
from nexperia_tf.statistics import comparison
from nexperia_tf.study import tables

JSON, HTML, MARKDOWN = "study.json", "study.html", "study.md"
# Columns of notes, in the order of the page.
NOTES = ("features", "setting", "chosen", "fitted on")


def write(out: pathlib.Path, payload: dict) -> None:
    """Writes the three files; each replaces an earlier one whole."""
    files.write_json(out / JSON, payload)
    files.write_text(out / MARKDOWN, _rendered("study.md", payload, escaped=False))
    files.write_text(out / HTML, _rendered("study.html", payload, escaped=True))


def _rendered(template: str, payload: dict, *, escaped: bool) -> str:
    here = pathlib.Path(__file__).parent
    environment = page.environment(here / "templates", escaped=escaped)
    environment.filters["count"] = _count
    loaded: jinja2.Template = environment.get_template(template)
    return loaded.render(
        payload=payload,
        name=payload["data"].rstrip("/").rpartition("/")[2],
        head=head(payload["tables"]),
        rule=rule(payload["tables"]),
        by_group=_by_group(payload["tables"]),
        notes=_notes,
        aucs=_aucs,
        published_defects=tables.PUBLISHED_DEFECTS,
        published=tables.PUBLISHED_DEFECTS + tables.PUBLISHED_GOOD,
    )


def _count(number: float | None) -> str:
    """Parameters in millions, with as many digits as they need.

    >>> _count(25_028_904), _count(None)
    ('25.0 M', '')
    """
    return "" if number is None else f"{number / 1e6:.1f} M"


def _notes(table: Mapping) -> list[str]:
    """The columns of notes that the rows of a table have."""
    return [name for name in NOTES if any(row.get(name) for row in table["rows"])]


def _aucs(table: Mapping) -> str:
    """The AUCs of a table with their limits, as a drawing."""
    rows = [(row["name"], row["auc"]) for row in table["rows"]]
    return plots.forest(
        [(name, auc["value"], auc["low"], auc["high"]) for name, auc in rows], zero=None
    )


def _by_group(found: Sequence[Mapping]) -> bool:
    """Whether the devices come in groups."""
    return any(row["auc"]["groups"] is not None for t in found for row in t["rows"])


def rule(found: Sequence[Mapping]) -> str:
    """When a difference counts, and what is corrected."""
    pairs = [pair for table in found for pair in table["differences"]]
    tests = "paired DeLong and the paired bootstrap"
    if _by_group(found):
        tests = "the paired jackknife and the sign flip of whole groups"
    family = max((pair["family"] for pair in pairs), default=0)
    return (
        f"A difference counts only where {tests} both give p < "
        f"{comparison.SIGNIFICANCE}, corrected by Holm for the {family} comparisons of "
        "these tables."
    )


def head(found: Sequence[Mapping]) -> list[answers.Answer]:
    """What the tables answer, question by question."""
    asked = {
        "Does fine-tuning help the forest?": _pairs(found, "Table 1", "(b)", "(a)"),
        "Does focal loss help?": _focal(found),
        "Which architecture?": _architectures(found),
        "Are several better than one?": [
            pair
            for pair in _pairs(found, "Table 3", "mean of scores", "")
            if not pair["second"].startswith("mean")
        ],
        "Is anything better than the plain mean?": _pairs(
            found, "Table 4", "", "mean of scores"
        ),
    }
    return [_answer(question, pairs) for question, pairs in asked.items()]


def _pairs(found: Sequence[Mapping], title: str, first: str, second: str) -> list:
    """Comparisons of the tables of this title, of rows with these words in them."""
    return [
        pair
        for table in found
        if table["title"].startswith(title)
        for pair in table["differences"]
        if first in pair["first"] and second in pair["second"]
    ]


def _focal(found: Sequence[Mapping]) -> list:
    pairs = _pairs(found, "Table 2", "focal", "")
    return [pair for pair in pairs if "focal" not in pair["second"]]


def _architectures(found: Sequence[Mapping]) -> list:
    pairs = _pairs(found, "Table 2", "ResNeXt", "wide-ResNet")
    return [p for p in pairs if ("focal" in p["first"]) == ("focal" in p["second"])]


def _answer(question: str, pairs: Sequence[Mapping]) -> answers.Answer:
    apart = [pair for pair in pairs if pair["verdict"] == comparison.APART]
    ahead = [pair for pair in apart if pair["difference"]["value"] > 0]
    said = tuple(pair["said"] for pair in pairs)
    if not pairs:
        return answers.Answer(question, "Not asked here.", said, answers.CARE)
    if ahead:
        best = max(ahead, key=lambda pair: pair["difference"]["value"])
        return answers.Answer(question, f"{best['first']}.", said, answers.YES)
    if len(apart) == len(pairs):
        return answers.Answer(question, "No, worse.", said, answers.NO)
    shown = "None is better here." if len(pairs) > 2 else "Not distinguishable here."
    if any(pair["verdict"] == comparison.TOO_FEW for pair in pairs):
        shown = f"Too few {pairs[0]['grouped_by']}s for a verdict."
    return answers.Answer(question, shown, said, answers.CARE)
