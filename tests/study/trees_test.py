"""Forests on features: grown once, kept, and missing with a reason."""

import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.statistics import metrics
from nexperia_tf.study import features, trees

SIZES = {"train": 240, "validation": 120, "test": 120}


def extracted(split, *, width=6):
    random = np.random.default_rng(len(split))
    label = (np.arange(SIZES[split]) % 3 == 0).astype(np.int8)
    values = random.normal(size=(len(label), width)) + label[:, None]
    names = np.array([f"{split}{i}" for i in range(len(label))])
    columns = ("group", "lot", "machine", "defect_type")
    text = {name: np.full(len(label), name) for name in columns}
    return features.Features(names, label, values.astype(np.float32), text)


@pytest.fixture
def asked(monkeypatch):
    """Which features were extracted, in order; none of a real network."""
    seen = []

    def extract(network, dataset, split, *, stage):
        seen.append((network, split, stage))
        return extracted(split)

    monkeypatch.setattr(features, "extract", extract)
    small = [{"n_estimators": 5, "min_samples_leaf": 3}]
    monkeypatch.setattr(trees, "SMALL_GRID", small)
    return seen


def test_every_kind_is_grown_once_on_the_stage_it_stands_for(asked, tmp_path):
    opened = []
    source = trees.Source("bce", lambda: opened.append(1) or "network")
    assert trees.grow(tmp_path, source, None, small=True) == {}
    assert opened == [1]  # however many stages are asked of it
    assert {stage for _, _, stage in asked} == set(trees.STAGES.values())
    assert len(asked) == 3 * len(set(trees.STAGES.values()))
    for kind in trees.KINDS:
        scored = trees.read(tmp_path, f"bce-{kind}")
        assert {split: len(table) for split, table in scored.items()} == {
            "validation": 120,
            "test": 120,
        }
        assert metrics.auc(scored["test"].label, scored["test"].score) > 0.8
    asked.clear()
    assert trees.grow(tmp_path, source, None, small=True) == {}
    assert asked == [] and opened == [1]


def test_features_larger_than_memory_leave_the_others_standing(
    asked, tmp_path, monkeypatch
):
    def too_large(network, dataset, split, *, stage):
        if stage == trees.STAGES[trees.ORIGINAL]:
            raise errors.BadInput("4 GB are more than --max-gigabytes")
        return extracted(split)

    monkeypatch.setattr(features, "extract", too_large)
    source = trees.Source("focal", lambda: "network")
    problems = trees.grow(tmp_path, source, None, small=True)
    assert problems == {trees.ORIGINAL: "4 GB are more than --max-gigabytes"}
    assert trees.read(tmp_path, f"focal-{trees.ORIGINAL}") is None
    assert trees.read(tmp_path, "focal-100") is not None


def test_adaboost_says_what_it_was_fitted_on_and_is_not_fitted_twice(asked, tmp_path):
    source = trees.Source("wide-focal", lambda: "network")
    trees.boost(tmp_path, source, None)
    facts = trees.facts(tmp_path)
    assert facts["of"] == "wide-focal" and facts["stumps"] >= 1
    scored = trees.read(tmp_path, trees.BOOSTED)
    assert metrics.auc(scored["test"].label, scored["test"].score) > 0.8
    asked.clear()
    trees.boost(tmp_path, source, None)
    assert asked == []
