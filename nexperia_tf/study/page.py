"""study.json, study.md and study.html: the same tables for programs and for people."""

import pathlib
from collections.abc import Sequence

import jinja2

from nexperia_tf import files
from nexperia_tf.evaluation.report import page, plots, summary
from nexperia_tf.statistics import comparison
from nexperia_tf.study import results, tables

JSON, HTML, MARKDOWN = "study.json", "study.html", "study.md"
# Columns of cells, in the order of the page.
CELLS = ("features", "setting", "chosen", "fitted on")


def write(out: pathlib.Path, study: results.Study) -> None:
    """Writes the three files; each replaces an earlier one whole."""
    files.write_json(out / JSON, study.as_json())
    files.write_text(out / MARKDOWN, _rendered("study.md", study, escaped=False))
    files.write_text(out / HTML, _rendered("study.html", study, escaped=True))


def _rendered(template: str, study: results.Study, *, escaped: bool) -> str:
    here = pathlib.Path(__file__).parent
    environment = page.environment(here / "templates", escaped=escaped)
    environment.filters["count"] = _count
    loaded: jinja2.Template = environment.get_template(template)
    return loaded.render(
        study=study,
        name=study.data.rstrip("/").rpartition("/")[2],
        answers=answers(study.tables),
        rule=rule(study.tables),
        by_group=_by_group(study.tables),
        columns_of=_columns,
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


def _columns(table: results.Table) -> list[str]:
    """The columns of cells that the rows of a table have."""
    return [name for name in CELLS if any(row.cells.get(name) for row in table.rows)]


def _aucs(table: results.Table) -> str:
    """The AUCs of a table with their limits, as a drawing."""
    rows = [(row.name, row.auc.value, row.auc.low, row.auc.high) for row in table.rows]
    return plots.forest(rows, zero=None)


def _by_group(shown: Sequence[results.Table]) -> bool:
    """Whether the devices come in groups."""
    return any(row.auc.groups is not None for table in shown for row in table.rows)


def rule(shown: Sequence[results.Table]) -> str:
    """When a difference counts, and what is corrected."""
    pairs = [pair for table in shown for pair in table.differences]
    tests = "paired DeLong and the paired bootstrap"
    if _by_group(shown):
        tests = "the paired jackknife and the sign flip of whole groups"
    family = max((pair.family for pair in pairs), default=0)
    return (
        f"A difference counts only where {tests} both give p < "
        f"{comparison.SIGNIFICANCE}, corrected by Holm for the {family} comparisons of "
        "these tables."
    )


def answers(shown: Sequence[results.Table]) -> list[summary.Answer]:
    """What the tables answer, question by question."""
    pairs = [pair for table in shown for pair in table.differences]
    return [
        _answer(words, [pair for pair in pairs if pair.question == question])
        for question, words in tables.QUESTIONS.items()
    ]


def _answer(question: str, pairs: Sequence[results.Difference]) -> summary.Answer:
    apart = [pair for pair in pairs if pair.verdict == comparison.APART]
    ahead = [pair for pair in apart if pair.difference.value > 0]
    said = tuple(pair.said for pair in pairs)
    if not pairs:
        return summary.Answer(question, "Not asked here.", said, summary.CAUTION)
    if ahead:
        best = max(ahead, key=lambda pair: pair.difference.value)
        return summary.Answer(question, f"{best.first}.", said, summary.YES)
    if len(apart) == len(pairs):
        return summary.Answer(question, "No, worse.", said, summary.NO)
    shown = "None is better here." if len(pairs) > 2 else "Not distinguishable here."
    if any(pair.verdict == comparison.TOO_FEW for pair in pairs):
        shown = f"Too few {pairs[0].grouped_by}s for a verdict."
    return summary.Answer(question, shown, said, summary.CAUTION)
