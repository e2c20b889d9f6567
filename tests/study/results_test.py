"""The judged tables: every row once, every pair once, read either way."""

import dataclasses

import numpy as np
import pytest

from nexperia_tf import predictions
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.models import costs
from nexperia_tf.study import entries, results, tables

COST = costs.Cost(parameters=10, gmac=0.5, ms=2.0)


def entry(key, apart, **known):
    random = np.random.default_rng(0)
    label = np.arange(400) % 4 == 0
    logits = random.normal(-1, 1, 400) + apart * label
    scored = predictions.Predictions(
        [f"d{i}" for i in range(400)],
        label,
        1 / (1 + np.exp(-logits)),
        {"lot": [f"lot{i % 40}" for i in range(400)]},
    )
    return entries.Entry(key, Subject(key, scored, calibration=scored), **known)


@pytest.fixture(scope="module")
def judged():
    """Two tables that share two rows and ask for their pair either way."""
    weak = entry("weak", 1.0, runs=("a",), published=0.95)
    strong = entry("strong", 3.0, runs=("a", "b"))
    third = entry("third", 1.5)
    shown = [
        tables.Table("one", "One", "", [weak, strong], [tables.Pair("weak", "strong")]),
        tables.Table(
            "two",
            "Two",
            "",
            [strong, weak, third],
            [
                tables.Pair("strong", "weak", tables.SEVERAL),
                tables.Pair("third", "weak"),
            ],
        ),
    ]
    return results.judged(shown, {"a": COST, "b": COST})


def test_a_row_in_two_tables_is_judged_once(judged):
    (weak, strong), (strong_again, weak_again, _) = (table.rows for table in judged)
    assert weak.auc is weak_again.auc and strong.auc is strong_again.auc
    assert (weak.n, weak.n_defect) == (400, 100)
    assert weak.auc.value < strong.auc.value


def test_a_row_costs_what_all_its_networks_cost(judged):
    weak, strong = judged[0].rows
    assert (weak.parameters, strong.parameters) == (10, 20)
    assert (strong.gmac, strong.ms, strong.networks) == (1.0, 4.0, ("a", "b"))
    assert judged[1].rows[2].parameters is None


def test_a_published_value_has_the_limits_of_the_test_part_it_was_reached_on(judged):
    published = judged[0].rows[0].published
    assert published.value == 0.95 and published.low < 0.95 < published.high
    assert published.high - published.low < 0.03  # 778 defects and 3,052 good ones
    assert judged[0].rows[1].published is None


def test_a_pair_read_the_other_way_is_the_same_with_its_sign(judged):
    (one,), (other, _) = (table.differences for table in judged)
    assert (one.first, one.second) == (other.second, other.first)
    assert one.difference.value == -other.difference.value < 0
    assert one.difference.low == -other.difference.high
    assert one.p_adjusted == other.p_adjusted
    assert (one.question, other.question) == (None, tables.SEVERAL)


def test_study_json_holds_all_of_it_with_its_schema(judged, study_of):
    study = study_of(judged, notes=("left out",))
    payload = study.as_json()
    assert payload["schema"] == results.SCHEMA and payload["notes"] == ["left out"]
    names = {field.name for field in dataclasses.fields(results.Study)}
    assert payload.keys() == {"schema", *names}
    row = payload["tables"][0]["rows"][0]
    assert (row["key"], row["published"]["value"]) == ("weak", 0.95)
