"""Boxes of given defects as a map: where they are, and where nobody knows."""

import csv

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data.input import augment, changes
from nexperia_tf.data.records import reading, store
from nexperia_tf.data.source import DataSource

COUNT = 32
ONE_EPOCH = {"batch_size": COUNT, "epochs": 1}
STILL = {"brightness": 0.0, "contrast": 0.0}
FLIPPED = augment.Policy("both", rotation=0.0, zoom=0.0, **STILL)
TURNED = augment.Policy("both", rotation=15.0, zoom=0.1, **STILL)


@pytest.fixture(scope="module")
def boxed(tmp_path_factory):
    """Dark parts of 64x48, white where a defect is, of which every other has a box."""
    place = tmp_path_factory.mktemp("boxed")
    (place / "raw").mkdir()
    random = np.random.default_rng(0)
    lines = [["path", "label", "split", "x1", "y1", "x2", "y2"]]
    for i in range(COUNT + 4):
        blocks = random.integers(0, 60, (6, 8)).repeat(8, axis=0).repeat(8, axis=1)
        pixels = (blocks + random.integers(0, 30, (48, 64))).astype(np.uint8)
        box = [""] * 4
        if i % 2:
            left, top = 2 * random.integers(0, 24), 2 * random.integers(0, 16)
            pixels[top : top + 14, left : left + 10] = 255
            if i % 4 == 1:
                box = [left, top, left + 10, top + 14]
        Image.fromarray(pixels).save(place / "raw" / f"{i:02}.png")
        split = "train" if i < COUNT else "validation"  # else some are dealt to it
        lines.append([f"{i:02}.png", ("good", "defect")[i % 2], split, *box])
    with open(place / "raw/labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        return store.build(DataSource(place / "raw", place / "data", unboxed="keep"))


@pytest.fixture(scope="module")
def kinds(boxed, ordered):
    """Which pictures of the only batch are good, have a box, have none."""
    columns = reading.metadata(boxed, "train", ("label", "image_id"))
    numbers = np.array([int(str(name)[:2]) for name in columns["image_id"]])
    order = ordered(columns["label"], batch_size=COUNT).epoch(columns["label"], 0)
    numbers = numbers[order.indices[0]]
    return numbers % 2 == 0, numbers % 4 == 1, numbers % 4 == 3


@pytest.mark.parametrize("changed", [{"augment": "none"}, {"policy": FLIPPED}])
@pytest.mark.parametrize("stride", [1, 4])
def test_a_map_is_1_where_the_picture_shows_the_boxed_defect(
    training, boxed, kinds, changed, stride
):
    given = {**changed, "map_stride": stride}
    (batch,) = training(boxed, **ONE_EPOCH, changed=given)
    good, known, unknown = kinds
    places = 32 // stride
    shown = (batch["image"] > 150).reshape(COUNT, places, stride, places, stride)
    np.testing.assert_array_equal(
        batch["map"][known, ..., 0], shown.any(axis=(2, 4))[known]
    )
    assert batch["map"][known].any(axis=(1, 2, 3)).all()
    assert not batch["map"][good].any()
    assert (batch["map"][unknown] == changes.UNKNOWN).all()


def test_a_map_of_boxes_turns_and_shrinks_with_its_picture(training, boxed, kinds):
    (batch,) = training(boxed, **ONE_EPOCH, changed={"policy": TURNED, "map_stride": 1})
    _, known, _ = kinds
    shown, told = batch["image"][known] > 150, batch["map"][known] == 1
    overlap = (shown & told).sum() / (shown | told).sum()
    assert overlap > 0.8


def test_drawn_defects_and_given_boxes_go_into_one_map(training, boxed, kinds):
    good, known, unknown = kinds
    given = {"augment": "none", "map_stride": 1}
    (plain,) = training(boxed, **ONE_EPOCH, changed=given)
    (drawn,) = training(boxed, **ONE_EPOCH, changed=given, counted={"drawn": 0.9})
    np.testing.assert_array_equal(drawn["map"][known], plain["map"][known])
    np.testing.assert_array_equal(drawn["map"][unknown], plain["map"][unknown])
    on_good = drawn["map"][good]
    assert set(np.unique(on_good)) == {0, 1}
    np.testing.assert_array_equal(on_good.any(axis=(1, 2, 3)), drawn["label"][good])


def test_a_resumed_run_sees_the_same_maps(training, boxed, assert_same):
    few = {"batch_size": 8, "changed": {"policy": FLIPPED, "map_stride": 4}}
    few |= {"counted": {"drawn": 0.5}}
    straight = training(boxed, **few)
    assert_same(training(boxed, **few, start=(1, 2)), straight[COUNT // 8 + 2 :])


def test_given_defects_without_a_box_are_left_out_of_a_first_stage(boxed):
    from nexperia_tf.data.input import balance, batching, order, pictures

    labels = reading.metadata(boxed, "train", ("label",))["label"]
    counted = balance.Balance("none", good=16, defects=8)
    dealt = order.Order(8, 7, counted, least=0, boxed_only=True)
    told = batching.dealt_labels(boxed, dealt)
    assert np.bincount(told).tolist() == [16, 8, 8]
    np.testing.assert_array_equal(told[told != order.LEFT_OUT], labels[told != 2])
    shown = pictures.Pictures(32, 1)
    batches = batching.training(
        boxed, shown, dealt, epochs=1, changes=changes.Changes("none", map_stride=4)
    )
    seen = list(batches.as_numpy_iterator())
    assert len(seen) == 3
    assert sum(batch["label"].sum() for batch in seen) == 8
    assert all((batch["map"] >= 0).all() for batch in seen)  # all places are known
