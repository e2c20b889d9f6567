"""Folds and bags of training lots."""

import collections

import pytest

from nexperia_tf.data import manifest
from nexperia_tf.study import folds


@pytest.fixture(scope="module")
def rows():
    """Twelve training lots of five, every fifth device a defect; two other splits."""
    lots = {f"lot{number:02}": "train" for number in range(12)}
    lots |= {"lotV": "validation", "lotT": "test"}
    return [
        manifest.Row(
            image_id=f"{lot}/{place}",
            path=f"{lot}/{place}.png",
            label="good" if place else "defect",
            group=lot,
            split=split,
        )
        for lot, split in lots.items()
        for place in range(5)
    ]


def test_every_training_device_is_tested_in_exactly_one_fold_with_its_lot(rows):
    tested = collections.Counter()
    for number in (1, 2, 3):
        split = folds._fold(rows, number, 3)
        in_fold = {name for name, part in split.items() if part == "test"}
        tested.update(in_fold)
        for row in rows:
            if row.split == "train":  # lots are whole
                lot = {split[r.image_id] for r in rows if r.group == row.group}
                assert len(lot) == 1
            elif row.split == "validation":
                assert split[row.image_id] == "validation"
            else:
                assert row.image_id not in split
    assert set(tested.values()) == {1}
    assert set(tested) == {row.image_id for row in rows if row.split == "train"}


def test_a_bag_holds_whole_lots_and_about_two_thirds_of_them(rows):
    sizes = []
    for seed in range(40):
        split = folds._bag(rows, seed)
        lots = collections.Counter(name.split("/")[0] for name in split)
        assert set(lots.values()) == {5} and {"lotV", "lotT"} <= set(lots)
        sizes.append(len(lots) - 2)
    assert len(set(sizes)) > 1
    assert sum(sizes) / len(sizes) / 12 == pytest.approx(0.65, abs=0.05)
    assert folds._bag(rows, 3) == folds._bag(rows, 3)


def test_a_picture_is_linked_or_copied(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"pixels")
    folds._link(tmp_path / "a.png", tmp_path / "linked.png")
    assert (tmp_path / "linked.png").samefile(tmp_path / "a.png")

    def refuse(source, target):
        raise OSError("another disk")

    monkeypatch.setattr(folds.os, "link", refuse)
    folds._link(tmp_path / "a.png", tmp_path / "copied.png")
    assert (tmp_path / "copied.png").read_bytes() == b"pixels"
