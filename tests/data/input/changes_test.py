import csv

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.data.input import augment, changes
from nexperia_tf.data.records import store
from nexperia_tf.data.source import DataSource

PLAIN = {"augment": "none"}


def joined(batches, name) -> np.ndarray:
    return np.concatenate([batch[name] for batch in batches])


def test_an_unknown_augmentation_is_refused():
    with pytest.raises(errors.BadInput, match="augment 'jumble' .* choose one of none"):
        changes.Changes("jumble")


def test_drawn_defects_turn_that_share_of_the_good_pictures_into_defects(
    training, letterboxed
):
    few = {"changed": PLAIN, "batch_size": 46, "epochs": 40}
    given = joined(training(**few), "label")
    batches = training(**few, counted={"drawn": 0.25})
    shown = joined(batches, "label")
    assert (shown >= given).all()  # a defect stays one
    assert shown[given == 0].mean() == pytest.approx(0.25, abs=0.03)
    plain = {image.tobytes() for image in letterboxed("train")}
    touched = {image.tobytes() for image in joined(batches, "image")} - plain
    assert len(touched) > 0.9 * (shown > given).sum()  # another one in each epoch


@pytest.mark.parametrize("look", changes.LOOKS)
def test_balanced_batches_count_drawn_defects(training, truth, ordered, look, sides):
    counted = {"drawn": 0.5, "kind": "sampling"}
    changed = {**PLAIN, "drawn_look": look}
    batches = training(counted=counted, changed=changed, epochs=6)
    # Half, where 34 good and 12 defects with .5 drawn used to show three in four.
    assert {batch["label"].sum() for batch in batches} == {sides.batch / 2}
    dealt = ordered(truth, **counted).epoch(truth, 0).indices
    for batch, indices in zip(batches, dealt):
        assert batch["label"][truth[indices] == 1].all()


def test_balanced_batches_of_drawn_defects_alone_hold_half(training, sides):
    counted = {"drawn": 0.2, "drawn_only": True, "kind": "sampling"}
    batches = training(counted=counted, changed=PLAIN)
    assert {batch["label"].sum() for batch in batches} == {sides.batch / 2}


@pytest.mark.parametrize("look", changes.LOOKS)
def test_no_defect_is_drawn_where_nobody_sees_it(look, training, tmp_path_factory):
    """Pictures of 4:1, of which bars hide three quarters, and black ones."""
    place = tmp_path_factory.mktemp("wide")
    random = np.random.default_rng(0)
    for i in range(60):
        dark = i % 10 == 9
        pixels = random.integers(0, 3 if dark else 256, (24, 96)).astype(np.uint8)
        path = place / "raw" / ("defect" if i < 2 else "good") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    lines = [["path", "label", "split"]]
    for path in sorted((place / "raw").rglob("*.png")):
        name = path.relative_to(place / "raw").as_posix()
        lines.append([name, path.parent.name, "train"])
    with open(place / "raw/labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    wide = store.build(DataSource(place / "raw", place / "data"))
    batches = training(
        wide,
        size=64,
        batch_size=16,
        counted={"drawn": 0.99, "drawn_only": True},
        changed={**PLAIN, "map_stride": 1, "drawn_look": look},
    )
    labels = joined(batches, "label")
    seen = joined(batches, "map").sum(axis=(1, 2, 3))
    black = joined(batches, "image").max(axis=(1, 2, 3)) < 3
    assert 0 < black.sum() < 20
    assert set(labels[black]) == {0}  # nothing can be seen there: still good
    assert np.mean(labels[~black]) > 0.95  # with a share of .99
    assert (seen[labels == 1] >= 3).all() and not seen[labels == 0].any()


def test_drawn_only_shows_no_given_defect(training, truth, ordered, letterboxed, sides):
    counted = {"drawn": 0.5, "drawn_only": True}
    batches = training(counted=counted, changed=PLAIN, epochs=2)
    steps = sides.good // sides.batch
    assert len(batches) == 2 * steps
    given = np.stack(letterboxed("train"))
    indices = ordered(truth, **counted).epoch(truth, 1).indices[2]
    batch = batches[steps + 2]
    undrawn = batch["label"] == 0
    assert not truth[indices].any() and undrawn.any()
    np.testing.assert_array_equal(batch["image"][undrawn], given[indices[undrawn]])


def test_a_map_shows_where_the_drawn_defects_are(training, sides):
    few = {"batch_size": 32, "epochs": 1}
    (plain,) = training(**few, counted={"drawn_only": True}, changed=PLAIN)
    counted = {"drawn": 0.5, "drawn_only": True}
    (batch,) = training(**few, counted=counted, changed={**PLAIN, "map_stride": 4})
    labels, maps = batch["label"], batch["map"]
    places = sides.size // 4
    assert maps.shape == (32, places, places, 1)
    assert not maps[labels == 0].any()
    assert maps[labels == 1].any(axis=(1, 2, 3)).mean() > 0.7  # some are too faint
    changed = (batch["image"] != plain["image"]).reshape(32, places, 4, places, 4, 1)
    assert not (maps[..., 0] > changed.any(axis=(2, 4, 5))).any()


def test_drawn_defects_may_teach_the_map_alone(training):
    few = {"batch_size": 32, "epochs": 1, "counted": {"drawn": 0.5}}
    changed = {**PLAIN, "map_stride": 4}
    (usual,) = training(**few, changed=changed)
    (batch,) = training(**few, changed={**changed, "drawn_label": changes.UNKNOWN})
    np.testing.assert_array_equal(batch["image"], usual["image"])
    np.testing.assert_array_equal(batch["map"], usual["map"])
    drawn = batch["label"] == changes.UNKNOWN
    assert drawn.any() and (usual["label"][drawn] == 1).all()
    np.testing.assert_array_equal(batch["label"][~drawn], usual["label"][~drawn])


def test_a_map_moves_with_its_picture(training):
    ways = {"flip": "both", "rotation": 0.0, "zoom": 0.0}

    def maps(**changed):
        counted = {"drawn": 0.9, "drawn_only": True}
        changed = {**changed, "map_stride": 1}
        few = {"counted": counted, "batch_size": 32, "epochs": 1}
        (batch,) = training(**few, changed=changed)
        return batch["map"]

    still = maps(policy=augment.Policy(**ways, brightness=0.0, contrast=0.0))
    lit = maps(policy=augment.Policy(**ways, brightness=0.3, contrast=0.5, tone=1.0))
    np.testing.assert_array_equal(still, lit)  # light does not move it
    unmoved = maps(**PLAIN)
    assert not np.array_equal(still, unmoved)
    for moved, own in zip(still, unmoved):
        mirrored = [own, own[::-1], own[:, ::-1], own[::-1, ::-1]]
        assert any(np.array_equal(moved, way) for way in mirrored)


def test_harmless_marks_come_on_good_and_defective_pictures_alike(
    training, sides, assert_same
):
    few = {"changed": PLAIN, "batch_size": 46, "epochs": 1}
    (plain,) = training(**few)
    counted, cracks = {"drawn": 0.5}, {"drawn_look": "cracks"}
    (shown,) = training(**{**few, "changed": {**PLAIN, **cracks}}, counted=counted)
    changed = (shown["image"] != plain["image"]).any(axis=(1, 2, 3))
    assert 0.5 < changed[shown["label"] == 0].mean() < 1  # good ones, still called good
    assert 0.5 < changed[plain["label"] == 1].mean() < 1  # given defects
    straight = training(counted=counted, changed=cracks)
    later = training(counted=counted, changed=cracks, start=(1, 0))
    assert_same(later, straight[sides.steps :])
