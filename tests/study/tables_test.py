"""Who is compared with whom: the tables of a study on scores that were drawn."""

import dataclasses
import types

import numpy as np
import pytest

from nexperia_tf import configs, predictions
from nexperia_tf.evaluation.subjects import Subject
from nexperia_tf.runs import run_folders
from nexperia_tf.study import entries, plan, tables, trees

CHOSEN = {
    "resnext-bce": "resnext-bce-alpha25",
    "resnext-focal": "resnext-focal",
    "wide-bce": "wide-bce",
    "wide-focal": "wide-focal",
}


def entry(key, title, run=""):
    random = np.random.default_rng(list(key.encode()))
    label = np.arange(300) % 3 == 0
    logits = random.normal(-1, 1, 300) + 2 * label
    names = [f"d{i}" for i in range(300)]
    scored = predictions.Predictions(names, label, run_folders.probability(logits))
    subject = Subject(title, scored, calibration=scored)
    return entries.Entry(key, subject, (run,) if run else ())


class Scores:
    """Those of a study without a network: each run and forest has drawn scores."""

    def __init__(self, planned, out, *, grown=True):
        self.trained = {
            step.name: types.SimpleNamespace(step=step, config=step.config)
            for step in planned.steps
        }
        self.out, self.grown = out, grown

    def of_run(self, run, title):
        return entry(run, title, run)

    def of_forest(self, folder, title, run):
        return entry(folder, title, run) if self.grown else None


@pytest.fixture
def planned():
    return plan.make(seeds=2, extended=True)


@pytest.fixture
def scores(planned, tmp_path):
    return Scores(planned, tmp_path)


@pytest.fixture
def networks(scores, planned):
    return tables.singles(scores, planned.families[-1], CHOSEN)


def check(table):
    """Keys stand once, and pairs compare rows of the table."""
    keys = [row.key for row in table.rows]
    assert len(set(keys)) == len(keys)
    for pair in table.pairs:
        assert {pair.first, pair.second} <= set(keys) and pair.first != pair.second
        assert pair.question is None or pair.question in tables.QUESTIONS
    return keys


def test_forests_stand_on_three_networks_and_the_originals_alone_were_published(
    scores, planned
):
    table = tables.forests(scores, planned.families[-1], CHOSEN, "trained on ImageNet")
    keys = check(table)
    assert len(keys) == 3 * len(trees.KINDS)
    published = {row.key: row.published for row in table.rows if row.published}
    assert published.keys() == {f"{s}-{trees.ORIGINAL}" for s in tables.COLUMNS}
    asked = [pair for pair in table.pairs if pair.question == tables.FINE_TUNING]
    assert {(p.first, p.second) for p in asked} == {
        (f"bce-{kind}", f"pretrained-{kind}") for kind in trees.KINDS
    }
    columns = {row.cells["features"] for row in table.rows}
    assert "(a) trained on ImageNet" in columns


def test_without_forests_the_table_is_empty(planned, tmp_path):
    scores = Scores(planned, tmp_path, grown=False)
    table = tables.forests(scores, planned.families[-1], CHOSEN, "any")
    assert check(table) == [] and table.pairs == []


def test_the_four_networks_say_their_setting_and_their_seeds(networks):
    assert [row.key for row in networks] == list(CHOSEN.values())
    settings = [row.cells["setting"] for row in networks]
    assert settings[:2] == ["cross-entropy, alpha 0.25", "focal, gamma 2"]
    assert {len(row.cells["seeds"]) for row in networks} == {2}
    assert networks[1].published == tables.PUBLISHED_SINGLES["resnext-focal"]


def test_losses_are_compared_within_a_network_and_networks_within_a_loss(
    networks, planned
):
    table = tables.ablation(networks, None, planned.families[-1])
    check(table)
    bce, focal, wide, wide_focal = (row.key for row in networks)
    by_question = {}
    for pair in table.pairs:
        by_question.setdefault(pair.question, set()).add((pair.first, pair.second))
    assert by_question == {
        tables.FOCAL_LOSS: {(focal, bce), (wide_focal, wide)},
        tables.ARCHITECTURE: {(bce, wide), (focal, wide_focal)},
    }
    grown = dataclasses.replace(entry("a", "forest"), cells={"forest": "100 trees"})
    with_forest = tables.ablation(networks, grown, planned.families[-1])
    assert check(with_forest)[0] == "a"
    assert tables.Pair(bce, "a") in with_forest.pairs


def test_every_committee_is_compared_with_the_best_single_network(networks, planned):
    table = tables.committees(networks, planned.families[-1])
    check(table)
    single = tables.strongest(networks)
    assert table.rows[0].key == single.key
    several = [pair for pair in table.pairs if pair.question == tables.SEVERAL]
    assert {pair.second for pair in several} == {single.key}
    assert len(several) == len(tables.COMMITTEES)
    means = [r for r in table.rows if r.cells.get("method") == "mean of scores"]
    assert [row.published for row in means] == list(tables.PUBLISHED_MEANS.values())


def test_what_is_better_is_asked_of_the_mean_and_fitted_on_no_test_device(
    scores, networks, planned, monkeypatch
):
    fold = entry("out of fold", "out of fold").subject.calibration
    monkeypatch.setattr(entries, "out_of_fold", lambda scores, names: fold)
    table = tables.better(scores, planned, networks)
    check(table)
    mean = table.rows[1].key
    asked = [pair for pair in table.pairs if pair.question == tables.BEYOND_MEAN]
    assert {pair.second for pair in asked} == {mean}
    assert {pair.first for pair in asked} == {row.key for row in table.rows[2:]}
    assert {row.cells["fitted on"] for row in table.rows} == {
        "validation chose it",
        "nothing",
        "validation",
        "folds",
        "draws of training lots",
        "train; stumps by validation",
    }
    files = {path.stem for path in (scores.out / entries.WEIGHTS).iterdir()}
    assert files == {
        "greedy-selection",
        "stacking",
        "greedy-selection-out-of-fold",
        "stacking-out-of-fold",
    }


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"loss": "bce"}, "cross-entropy"),
        ({"loss": "focal", "gamma": 0.0, "alpha": 0.25}, "cross-entropy, alpha 0.25"),
        ({"loss": "focal", "gamma": 3.0}, "focal, gamma 3"),
    ],
)
def test_a_setting_is_said_by_what_it_is(changed, words):
    assert tables._setting(configs.of(**changed)) == words
