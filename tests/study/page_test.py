"""The study's page on scores that were drawn, without any training."""

import numpy as np
import pytest

from nexperia_tf import predictions
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.statistics import comparison
from nexperia_tf.study import entries, page, results, tables


def entry(name, *, apart, lots):
    random = np.random.default_rng(len(name))
    labels = np.arange(600) % 3 == 0
    hard = np.random.default_rng(0).normal(size=600)
    logits = hard + 0.3 * random.normal(size=600) + apart * labels - 1
    columns = {} if lots is None else {"lot": [f"lot{i % lots}" for i in range(600)]}
    scored = predictions.Predictions(
        image_id=[f"d{i}" for i in range(600)],
        label=labels.astype(int),
        score=1 / (1 + np.exp(-logits)),
        columns={k: np.array(v, dtype=object) for k, v in columns.items()},
        source=name,
    )
    return entries.Entry(
        name.replace(" ", "-"), Subject(name, scored, calibration=scored)
    )


def judged(lots):
    rows = [
        entry("weak", apart=1.0, lots=lots),
        entry("strong one", apart=4.0, lots=lots),
        entry("not so weak", apart=1.05, lots=lots),
    ]
    weak, strong, slight = (row.key for row in rows)
    shown = [
        tables.Table("any", "One", "A note.", rows, [tables.Pair(weak, strong)]),
        tables.Table(
            "two",
            "Two",
            "",
            rows,
            [tables.Pair(strong, weak, tables.FOCAL_LOSS), tables.Pair(weak, slight)],
        ),
    ]
    return results.judged(shown, {})


@pytest.mark.parametrize(
    ("lots", "verdict", "rule"),
    [
        (None, comparison.APART, "paired DeLong and the paired bootstrap"),
        (2, comparison.TOO_FEW, "sign flip of whole groups"),
        (20, comparison.APART, "sign flip of whole groups"),
    ],
)
def test_a_study_of_any_number_of_lots_is_written(
    tmp_path, study_of, lots, verdict, rule
):
    found = study_of(judged(lots))
    first, turned, slight = [p for t in found.tables for p in t.differences]
    # The same two runs in two tables are one comparison.
    assert first.family == turned.family == slight.family == 2
    assert first.verdict == turned.verdict == verdict
    assert first.difference.value == -turned.difference.value
    page.write(tmp_path, found)
    for name in (page.HTML, page.MARKDOWN):
        text = " ".join((tmp_path / name).read_text().split())
        assert rule in text and "Holm for the 2 comparisons" in text
        assert "no upper limit" in text  # 200 defects place none of the thresholds
        assert "None" not in text.replace("None is better", "")
        assert ("too few lots for a verdict" in text) == (lots == 2)
        assert ("2 lots are too few to show how lots differ" in text) == (lots == 2)
    rows = found.tables[0].rows
    assert all((row.auc.low is None) == (lots == 2) for row in rows)


def test_a_question_is_answered_by_the_pairs_that_say_so_whatever_they_are_called():
    answers = {answer.question: answer for answer in page.answers(judged(None))}
    focal = answers.pop(tables.QUESTIONS[tables.FOCAL_LOSS])
    assert focal.answer == "strong one."
    assert focal.details == ("strong one ranks better than weak.",)
    assert {answer.answer for answer in answers.values()} == {"Not asked here."}
