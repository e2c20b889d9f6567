"""The files of a search, and what a report says of it."""

import dataclasses

import numpy as np
import pytest

from nexperia_tf import errors, files, predictions
from nexperia_tf.evaluation import recipes_tried
from nexperia_tf.evaluation.report import page, results
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.statistics import intervals

TRIALS = [
    recipes_tried.Trial("standard", "", 1, 1, 100, 0.7, 0.65, 10.0),
    recipes_tried.Trial("given", "--drawn 0.0", 1, 1, 100, 0.625, None, 9.5),
    recipes_tried.Trial("standard", "", 2, 2, 200, 0.75, None, 20.0),
    recipes_tried.Trial("standard", "", 2, 3, 210, 0.85, 0.7, 21.0),
]
FAIR = intervals.Interval(0.79, 0.7, 0.85, "bootstrap-corrected")


def search(**changed):
    made = recipes_tried.Search(
        took="given",
        flags="--drawn 0.0",
        best="given",
        better_in=0.93,
        auc=0.812,
        corrected=FAIR,
        confidence=0.95,
        groups=12,
        rows=recipes_tried.by_rung(TRIALS),
    )
    return dataclasses.replace(made, **changed)


def test_trials_are_read_as_they_were_written(tmp_path):
    assert recipes_tried.read_trials(tmp_path) == []
    recipes_tried.write_trials(tmp_path, TRIALS)
    assert recipes_tried.read_trials(tmp_path) == TRIALS
    header = (tmp_path / "tried.csv").read_text().splitlines()[0]
    assert header == "recipe,flags,rung,part,steps,auc,auc_within_groups,seconds"


def test_parts_are_averaged_and_steps_added():
    rows = recipes_tried.by_rung(TRIALS)
    assert [(row.recipe, row.rung, row.parts) for row in rows] == [
        ("standard", 1, 1),
        ("given", 1, 1),
        ("standard", 2, 2),
    ]
    assert (rows[2].steps, rows[2].seconds) == (410, 41.0)
    assert rows[2].auc == pytest.approx(0.8)
    assert rows[2].auc_within_groups == 0.7 and rows[1].auc_within_groups is None


def test_a_search_is_read_as_it_was_written(tmp_path):
    folder = tmp_path / "search"
    folder.mkdir()
    assert recipes_tried.of_run(tmp_path) is None
    recipes_tried.write(folder, search())
    assert recipes_tried.of_run(tmp_path) == search()
    payload = files.read_json(folder / "tried.json")
    files.write_json(folder / "tried.json", payload | {"rows": [{"recipe": "a"}]})
    with pytest.raises(errors.BadInput, match="no table of a search"):
        recipes_tried.of_run(tmp_path)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, "took given (--drawn 0.0; better than the standard recipe in 93% of"),
        (
            {"took": "standard", "flags": "", "better_in": 0.6},
            "took standard (given was better than the standard recipe in 60% of "
            "resamplings, which is too few)",
        ),
        (
            {"took": "standard", "flags": "", "best": "standard"},
            "took standard (no other was better)",
        ),
    ],
)
def test_a_sentence_says_what_was_taken_and_what_it_is_worth(changed, why):
    said = search(**changed).said
    assert why in said and "AUC 0.812 on parts" in said
    assert "0.790 (95 %: 0.700 to 0.850) corrected for the choice" in said


def test_a_report_shows_what_was_tried_and_others_have_no_such_section():
    labels = np.array([0] * 20 + [1] * 10)
    scores = np.linspace(0.01, 0.99, 30)
    ids = [f"{i:02}" for i in range(30)]
    for tried in (search(), None):
        subject = Subject(
            "mine", predictions.Predictions(ids, labels, scores), search=tried
        )
        facts = {"split": "test", "labels": None, "notes": ()}
        report = page.report_of([subject], results.Settings(), **facts)
        html = page.page(report, [subject], {})
        assert ("Recipes tried" in html) == (tried is not None)
        assert ("search" in report.as_json()) == (tried is not None)
        if tried:
            assert "<b>given</b>" in html and "corrected for the choice" in html
            assert report.as_json()["search"]["rows"][2]["steps"] == 410
