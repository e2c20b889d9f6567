import collections
import random

import hypothesis
import pytest
from hypothesis import strategies

from nexperia_tf import errors
from nexperia_tf.data import manifest, splits

MAYBE = strategies.sampled_from(["", "", "p", "q", "r", "s"])


def _row(index: int, label="good", **values) -> manifest.Row:
    name = f"{index:04}"
    values = {"group": name} | values
    return manifest.Row(name, f"{name}.bmp", label=label, label_given=label, **values)


def _folder(count: int = 400) -> list[manifest.Row]:
    """One device in five is a defect, in lots of about eight."""
    draw = random.Random(0)
    kinds = ["scratch", "chipping", "chipping", "lead"]
    return [
        _row(
            i,
            "defect" if i % 5 == 0 else "good",
            defect_type=kinds[i // 5 % 4] if i % 5 == 0 else "",
            group=f"lot{draw.randrange(count // 8)}",
        )
        for i in range(count)
    ]


@hypothesis.given(
    strategies.lists(
        strategies.tuples(
            strategies.sampled_from(["good", "defect", ""]),
            strategies.sampled_from("abcdefgh"),
            MAYBE,
            MAYBE,
            strategies.booleans(),
        ),
        max_size=60,
    ),
    strategies.integers(0, 3),
)
def test_no_group_cluster_or_twin_group_ever_stands_in_two_splits(table, seed):
    rows = [
        _row(
            i,
            label,
            group=group,
            cluster=cluster,
            twin_group=twins,
            dropped_because="duplicate" if dropped else "",
            split="" if label else manifest.UNLABELLED,
        )
        for i, (label, group, cluster, twins, dropped) in enumerate(table)
    ]
    splits.assign(rows, seed=seed)
    for column in ("group", "cluster", "twin_group"):
        places = collections.defaultdict(set)
        for row in rows:
            if row.used and row.label and getattr(row, column):
                places[getattr(row, column)].add(row.split)
        assert all(len(found) == 1 for found in places.values())
    for row in rows:
        expected = (
            {""}
            if not row.used
            else set(manifest.SPLITS)
            if row.label
            else {manifest.UNLABELLED}
        )
        assert row.split in expected


def test_shares_and_labels_come_out_as_asked():
    rows = _folder()
    splits.assign(rows)
    size = collections.Counter(row.split for row in rows)
    defects = collections.Counter(row.split for row in rows if row.label == "defect")
    for split, share in zip(manifest.SPLITS, splits.FRACTIONS):
        assert size[split] == pytest.approx(share * 400, abs=8)
        assert defects[split] == pytest.approx(share * 80, abs=3)
        for kind in ("scratch", "lead", "chipping"):
            assert any(r.split == split and r.defect_type == kind for r in rows)


def test_order_does_not_matter_and_the_seed_does():
    rows, shuffled, other = _folder(), _folder(), _folder()
    random.Random(1).shuffle(shuffled)
    splits.assign(rows)
    splits.assign(shuffled)
    splits.assign(other, seed=1)
    by_path = {row.path: row.split for row in shuffled}
    assert {row.path: row.split for row in rows} == by_path
    assert {row.path: row.split for row in other} != by_path


def test_given_splits_stay_and_validation_is_cut_from_train_only_if_missing():
    rows = _folder()
    for i, row in enumerate(rows):
        row.split = manifest.SPLITS[i % 3]
    assert splits.keep_given(rows) is None
    assert [row.split for row in rows[:3]] == ["train", "validation", "test"]
    for i, row in enumerate(rows):
        row.split = "test" if i % 4 == 0 else "train"
    assert "cut from train" in splits.keep_given(rows)
    size = collections.Counter(row.split for row in rows)
    assert size["test"] == 100 and 40 <= size["validation"] <= 65


def test_folds_are_even_and_hold_whole_groups():
    rows = _folder()
    names = splits.folds(rows, 5)
    assert sorted(set(names)) == list("12345")
    assert max(collections.Counter(names).values()) <= 90
    places = collections.defaultdict(set)
    for row, name in zip(rows, names):
        places[row.group].add(name)
    assert all(len(found) == 1 for found in places.values())
    with pytest.raises(errors.BadInput, match="from 2 to 50 folds"):
        splits.folds(rows, 51)


def test_leave_one_out_leaves_out_twins_that_stand_under_two_values():
    rows = [_row(i, machine=str(i % 3)) for i in range(6)]
    rows[0].twin_group = rows[1].twin_group = "t"
    assert splits.leave_one_out(rows, "machine") == ["", "", "2", "0", "1", "2"]
    rows[2].extra["month"] = "202101"
    with pytest.raises(errors.BadInput, match="fewer than two values"):
        splits.leave_one_out(rows, "month")


def test_calibration_devices_come_out_of_train_in_whole_groups():
    rows = _folder()
    splits.assign(rows)
    before = [row.split for row in rows]
    splits.cut_calibration(rows, 0.15)
    moved = [old for old, row in zip(before, rows) if row.split == "calibration"]
    assert set(moved) == {"train"} and 0.12 < len(moved) / len(rows) < 0.18
    stay = ("validation", "test")
    assert all(old == row.split for old, row in zip(before, rows) if old in stay)
    for group in {row.group for row in rows}:
        assert len({row.split for row in rows if row.group == group}) == 1
    cut = [row for row in rows if row.split == "calibration"]
    assert {row.label for row in cut} == {"good", "defect"}


@pytest.mark.parametrize(
    ("share", "given", "words"),
    [
        (0.1, "calibration", "names calibration devices already; leave the flag out"),
        (0.8, "train", "holds 280 devices; pass a share between 0 and 0.7"),
        (-0.1, "train", "pass a share between 0 and 0.7"),
    ],
)
def test_a_share_that_cannot_be_cut_is_refused(share, given, words):
    rows = _folder()
    for i, row in enumerate(rows):
        row.split = "train" if i % 10 < 7 else "test"
    rows[0].split = given
    with pytest.raises(errors.BadInput, match=words):
        splits.cut_calibration(rows, share)
