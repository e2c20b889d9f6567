"""Parts of the training split: groups stay whole, both classes are in each."""

import pytest

from nexperia_tf.data import manifest
from nexperia_tf.training.search import parts


def rows(count=90, *, lots=15) -> list[manifest.Row]:
    """Devices in lots, one after the other; every third is a defect."""
    return [
        manifest.Row(
            image_id=f"{i:03}",
            path=f"{i:03}.png",
            label="good" if i % 3 else "defect",
            group=f"lot{i * lots // count}",
            lot=f"lot{i * lots // count}",
            split="train",
        )
        for i in range(count)
    ]


def test_each_device_is_in_one_part_and_groups_stay_whole():
    given = rows()
    found = parts.of(given, seed=0)
    assert len(found) == 3
    assert sorted(name for part in found for name in part) == [
        row.image_id for row in given
    ]
    lots = [{row.lot for row in given if row.image_id in part} for part in found]
    assert sum(map(len, lots)) == len(set.union(*lots)) == 15
    assert [part.devices for part in parts.counted(given, found)] == [30, 30, 30]
    assert all(part.defects == 10 for part in parts.counted(given, found))
    assert parts.of(given, seed=0) == found


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (rows(lots=2), 2),
        (rows(30, lots=10), 2),  # ten defects: five in each of two
        (rows(lots=1), 0),
        (rows(12, lots=6), 0),  # four defects
    ],
)
def test_too_few_groups_or_defects_make_fewer_parts_or_none(given, count):
    assert len(parts.of(given, seed=0)) == count
