"""Who is in a sample: names, lots and labels, of which none gives another away."""

import collections
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

from nexperia_tf.sample import plan
from nexperia_tf.statistics import metrics

# The grammar of the real names, in four patterns.
NAME = re.compile(
    r"((?P<lot>[A-Z0-9]{12})_(?P<sub>\d\d)"
    r"(?P<kind>-[A-Z0-9]{3}-ITISA\d{2,3}-|-APG_ITIS_H\d{2,3}_|_))?"
    r"(?P<track>[12])_(?P<seq>\d{1,4})_(?P<pos>[1-4])(?P<copy> - Copy)?"
)


@pytest.fixture(scope="module")
def benchmark():
    """The plan of the benchmark sample; nothing is drawn."""
    return plan.plan(3400, 0)


def test_names_follow_the_real_grammar_and_are_unique(benchmark):
    names = [file.name for file in benchmark.files]
    assert all(NAME.fullmatch(name) for name in names)
    assert len(names) == len(set(names))


def test_every_pattern_of_name_is_as_common_among_defects(benchmark):
    shares = {}
    for bad in (False, True):
        patterns = [
            re.sub(r"\d|(?<=-)\w{3}(?=-)", "", NAME.fullmatch(file.name)["kind"] or "N")
            for file in benchmark.files
            if bool(file.device.defect_type) == bad
        ]
        counts = collections.Counter(patterns)
        shares[bad] = {
            pattern: count / len(patterns) for pattern, count in counts.items()
        }
    for pattern in ("--ITISA-", "-APG_ITIS_H_", "_"):
        assert shares[True][pattern] == pytest.approx(shares[False][pattern], abs=0.05)


def test_parts_of_a_name_do_not_tell_the_label(benchmark):
    ordinary = [file for file in benchmark.files if not file.kind]
    parts = [NAME.fullmatch(file.name).groupdict("") for file in ordinary]
    machines = [re.search(r"ITIS_?[AH](\d+)", file.name) for file in ordinary]
    columns = [[len(part["kind"]) for part in parts]]
    columns.append([int(match[1]) if match else 0 for match in machines])
    columns += [[int(part[key] or 0) for part in parts] for key in ("sub", "track")]
    columns += [[int(part[key]) for part in parts] for key in ("seq", "pos")]
    columns.append([file.lot for file in ordinary])
    labels = np.array([bool(file.device.defect_type) for file in ordinary], int)
    scores = cross_val_predict(
        RandomForestClassifier(60, min_samples_leaf=10, random_state=0),
        np.array(columns).T,
        labels,
        cv=4,
        method="predict_proba",
    )[:, 1]
    assert metrics.auc(labels, scores) == pytest.approx(0.5, abs=0.05)


def test_lots_and_machines_hold_both_labels_alike(benchmark):
    by_lot, by_machine = collections.defaultdict(list), collections.defaultdict(list)
    for file in benchmark.files:
        if not file.kind:
            bad = bool(file.device.defect_type)
            by_lot[file.lot].append(bad)
            by_machine[benchmark.lots[file.lot].machine].append(bad)
    assert len(by_lot) >= 60
    assert all(0.08 < np.mean(labels) < 0.35 for labels in by_lot.values())
    assert all(0.17 < np.mean(labels) < 0.24 for labels in by_machine.values())


def test_benchmark_has_enough_defects_for_a_test_split_of_lots(benchmark):
    usable = [
        file for file in benchmark.files if file.kind in ("", "escapee", "zero_box")
    ]
    defects = sum(bool(file.device.defect_type) for file in usable)
    assert 0.15 * defects >= 104
    assert defects / len(usable) == pytest.approx(0.21, abs=0.01)


@pytest.mark.parametrize("devices", [20, 33, 100])
def test_small_samples_hold_both_classes_and_several_lots(devices):
    planned = plan.plan(devices, 1)
    labels = collections.Counter(file.device.label for file in planned.files)
    assert labels["defect"] >= 4 and labels["good"] >= 0.6 * devices
    assert len({file.lot for file in planned.files}) >= 6


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), min_size=1),
    st.integers(0, 60),
)
def test_quotas_are_within_one_of_the_exact_shares(shares, count):
    names = plan.quotas(shares, count)
    assert len(names) == count
    for name, share in shares.items():
        assert abs(names.count(name) - count * share / sum(shares.values())) < 1
    if count >= len(shares):
        assert set(plan.quotas(shares, count, at_least=1)) == set(shares)


def test_every_copy_names_a_file_that_shows_its_device(benchmark):
    copies = [file for file in benchmark.files if file.source is not None]
    assert {file.kind for file in copies} == set(plan.COPIES)
    for copy in copies:
        assert benchmark.files[copy.source].device == copy.device
