import collections

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import kept_splits
from nexperia_tf.data.records import folds, reading, store
from nexperia_tf.data.source import DataSource


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("folds"), np.random.default_rng(0)
    lines = ["path,label,group"]
    for i in range(48):
        label = ("good", "defect")[i % 3 == 0]
        pixels = random.integers(0, 255, (24, 24)).astype(np.uint8)
        (folder / "raw").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"raw/{i}.png")
        lines.append(f"{i}.png,{label},lot {i // 4}")
    (folder / "raw/labels.csv").write_text("\n".join(lines))
    return DataSource(data=folder / "raw", data_dir=folder / "data")


def _names(dataset, split):
    return set(reading.metadata(dataset, split, ("image_id",))["image_id"])


def test_folds_hold_out_every_picture_once(source):
    held_out, everything = collections.Counter(), set()
    for number in (1, 2, 3):
        dataset = store.build(source, fold=f"{number}/3")
        parts = {s: _names(dataset, s) for s in ("train", "validation", "test")}
        assert len(set.union(*parts.values())) == sum(map(len, parts.values())) == 48
        held_out.update(parts["test"])
        everything |= parts["test"]
    assert len(everything) == 48 and set(held_out.values()) == {1}


def test_groups_stay_whole_in_a_fold(source):
    dataset = store.build(source, fold="2/3")
    split_of = collections.defaultdict(set)
    for row in manifest.read(dataset.prepared / "manifest.csv"):
        split_of[row.group].add(row.split)
    assert all(len(held) == 1 for held in split_of.values())


def test_a_fold_is_made_once_and_leaves_the_splits_of_the_folder_alone(source):
    whole = store.build(source)
    assert store.build(source, fold="1/3") == store.build(source, fold="1/3")
    assert store.build(source) == whole
    found = kept_splits.neighbours(whole.prepared.parents[1])
    assert not [each for each in found if "fold-" in str(each)]


def test_more_folds_than_groups_are_refused(source):
    with pytest.raises(errors.BadInput, match="from 2 to 12 folds"):
        store.build(source, fold="1/13")
    assert folds.Fold.of("3/13").name == "fold-3-of-13"
