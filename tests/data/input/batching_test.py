import csv
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nexperia_tf import errors, preprocess
from nexperia_tf.data.input import augment, batching
from nexperia_tf.data.records import reading, store

SIZE = 32
BATCH = 8
EPOCHS = 3
STEPS = 5  # 46 devices to train on, six of them left over in each epoch
SPLITS = ["train"] * 46 + ["validation"] * 10 + ["unlabelled"] * 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Grey pictures wider than high; every fourth is a defect."""
    place = tmp_path_factory.mktemp("pipeline")
    (place / "raw").mkdir()
    random = np.random.default_rng(0)
    lines = [["path", "label", "split"]]
    for i, split in enumerate(SPLITS):
        pixels = random.integers(0, 256, (36, 48)).astype(np.uint8)
        Image.fromarray(pixels).save(place / "raw" / f"{i:02}.png")
        label = "defect" if i % 4 == 0 else "good"
        lines.append([f"{i:02}.png", label if split != "unlabelled" else "", split])
    with open(place / "raw/labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        return store.build(place / "raw", data_dir=place / "data")


def training(dataset, **options) -> tf.data.Dataset:
    fixed = {"image_size": SIZE, "channels": 1, "batch_size": BATCH}
    return batching.training_batches(
        dataset, **{**fixed, "seed": 7, "epochs": EPOCHS, **options}
    )


@pytest.fixture(scope="module")
def straight(dataset):
    return list(training(dataset).as_numpy_iterator())


def assert_same(batches, expected):
    batches = list(batches.as_numpy_iterator())
    assert len(batches) == len(expected)
    for (images, labels), (expected_images, expected_labels) in zip(batches, expected):
        np.testing.assert_array_equal(images, expected_images)
        np.testing.assert_array_equal(labels, expected_labels)


def order(dataset, **options) -> np.ndarray:
    """Place in the records of each device, `(epochs, devices)`, known by its pixels."""
    batches = training(dataset, augment="none", **options).as_numpy_iterator()
    seen = [image.tobytes() for images, _ in batches for image in images]
    places = {image.tobytes(): i for i, image in enumerate(pictures(dataset, "train"))}
    return np.array([places[image] for image in seen]).reshape(-1, STEPS * BATCH)


def pictures(dataset, split) -> list[np.ndarray]:
    bytes_ = [r["image"] for r in reading.load(dataset, split).as_numpy_iterator()]
    decoded = [preprocess.decode(b, 1) for b in bytes_]
    return [preprocess.letterbox(image, SIZE).numpy() for image in decoded]


def test_batches_are_uint8_images_and_float_labels(straight):
    images, labels = straight[0]
    assert (images.shape, images.dtype) == ((BATCH, SIZE, SIZE, 1), np.uint8)
    assert (labels.shape, labels.dtype) == ((BATCH,), np.float32)
    assert {0.0, 1.0} == {label for _, batch in straight for label in batch}


def test_the_same_seed_gives_the_same_batches(dataset, straight):
    tf.random.set_seed(123)  # what others seed does not matter
    assert_same(training(dataset), straight)


def test_a_resumed_run_sees_the_batches_of_an_unbroken_one(dataset, straight):
    assert_same(training(dataset, first_epoch=1), straight[STEPS:])
    assert_same(training(dataset, first_epoch=1, first_step=3), straight[STEPS + 3 :])


def test_streamed_pictures_equal_kept_ones(dataset, straight):
    assert_same(training(dataset, cache="none"), straight)


def test_every_epoch_shows_other_devices_in_another_order(dataset):
    epochs = order(dataset)
    for places in epochs:
        assert len(set(places)) == STEPS * BATCH  # none twice
    assert len({tuple(places) for places in epochs}) == EPOCHS
    assert len(np.unique(epochs)) == 46  # those left over come later
    assert not np.array_equal(epochs, order(dataset, seed=8))


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_balanced_batches_hold_as_many_of_both_classes(dataset, cache):
    batches = list(training(dataset, balanced=True, cache=cache).as_numpy_iterator())
    assert len(batches) == EPOCHS * STEPS
    assert {labels.sum() for _, labels in batches} == {BATCH / 2}
    places = order(dataset, balanced=True, cache=cache)
    truth = reading.metadata(dataset, "train")["label"]
    for epoch in places:  # 20 of 34 good devices, and 12 defects again and again
        good, defects = epoch[truth[epoch] == 0], epoch[truth[epoch] == 1]
        assert len(set(good)) == len(good) == 20
        counts = np.bincount(defects, minlength=len(truth))[truth == 1]
        assert set(counts) == {1, 2}
    assert len({tuple(epoch) for epoch in places}) == EPOCHS


def test_balanced_batches_follow_from_seed_and_position(dataset):
    straight = list(training(dataset, balanced=True).as_numpy_iterator())
    assert_same(training(dataset, balanced=True, cache="none"), straight)
    later = training(dataset, balanced=True, first_epoch=1, first_step=3)
    assert_same(later, straight[STEPS + 3 :])


def test_labels_stay_with_their_pictures(dataset):
    labels = reading.metadata(dataset, "train")["label"]
    batches = training(dataset, augment="none").as_numpy_iterator()
    given = np.concatenate([batch for _, batch in batches])
    np.testing.assert_array_equal(given, labels[order(dataset)].ravel())


def test_augmentation_changes_pictures_from_epoch_to_epoch(dataset):
    policy = augment.Policy()
    few = {"batch_size": 46, "epochs": 2, "policy": policy}
    first, second = training(dataset, **few).as_numpy_iterator()
    plain = training(dataset, **few, augment="none").as_numpy_iterator()
    assert not np.array_equal(np.sort(first[0], axis=0), np.sort(second[0], axis=0))
    assert not np.array_equal(first[0], next(plain)[0])


def test_kept_pictures_are_decoded_once(dataset, tmp_path, straight):
    copy = store.Dataset(dataset.name, tmp_path / "copy", dataset.prepared)
    shutil.copytree(dataset.data_dir, copy.data_dir)
    batches = training(copy, cache="memory")
    shutil.rmtree(copy.data_dir)
    assert_same(batches, straight)


def test_auto_keeps_pictures_up_to_a_limit(dataset, monkeypatch, straight):
    monkeypatch.setattr(batching, "CACHE_BYTES", 46 * SIZE**2 - 1)
    monkeypatch.setattr(batching, "_kept", None)
    assert_same(training(dataset), straight)


def test_workers_share_each_batch(dataset, straight):
    parts = [list(training(dataset, worker=(rank, 2))) for rank in range(2)]
    assert len(parts[0]) == len(parts[1]) == len(straight)
    for (images, labels), *halves in zip(straight, *parts):
        np.testing.assert_array_equal(np.concatenate([h[0] for h in halves]), images)
        np.testing.assert_array_equal(np.concatenate([h[1] for h in halves]), labels)


def test_the_number_of_batches_is_known_beforehand(dataset):
    assert len(training(dataset)) == EPOCHS * STEPS
    assert len(training(dataset, first_epoch=1, first_step=2)) == 2 * STEPS - 2
    assert batching.steps_per_epoch(dataset, BATCH) == STEPS


@pytest.mark.parametrize("cache", batching.CACHES)
def test_evaluation_shows_all_devices_in_record_order(dataset, cache):
    batches = batching.evaluation_batches(
        dataset, "validation", image_size=SIZE, channels=1, batch_size=4, cache=cache
    )
    for _ in range(2):
        images, labels = (np.concatenate(x) for x in zip(*batches.as_numpy_iterator()))
        np.testing.assert_array_equal(images, pictures(dataset, "validation"))
        expected = reading.metadata(dataset, "validation")["label"]
        np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("cache", ["memory", "none"])
def test_the_devices_of_a_batch_can_be_named(dataset, cache, balanced):
    how = {"cache": cache, "balanced": balanced}
    places = order(dataset, **how).reshape(EPOCHS, STEPS, BATCH)
    common = {"image_size": SIZE, "channels": 1, "batch_size": BATCH, "seed": 7}
    named = batching.batch_indices(dataset, **common, epoch=2, step=3, **how)
    np.testing.assert_array_equal(named, places[2, 3])


def test_unlabelled_devices_are_evaluated_as_minus_one(dataset):
    batches = batching.evaluation_batches(
        dataset, "unlabelled", image_size=SIZE, channels=3, batch_size=4
    )
    ((images, labels),) = batches.as_numpy_iterator()
    assert images.shape == (3, SIZE, SIZE, 3)
    assert labels.tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 64}, "46 images to train on are less than one batch of 64"),
        ({"augment": "jumble"}, "augment 'jumble' is unknown; choose one of none"),
        ({"cache": "disk"}, "cache 'disk' is unknown; choose one of auto"),
        ({"worker": (0, 3)}, "batch size 8 cannot be shared among 3 workers"),
        (
            {"augment": "mixup", "deterministic": True},
            "'mixup' keeps hidden random state and cannot be repeated; leave out",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(dataset, options, message):
    with pytest.raises(errors.BadInput, match=message):
        training(dataset, **options)


def test_drawn_defects_turn_that_share_of_the_good_pictures_into_defects(dataset):
    few = {"augment": "none", "batch_size": 46, "epochs": 40}
    given = np.concatenate([y for _, y in training(dataset, **few)])
    batches = list(training(dataset, drawn=0.25, **few).as_numpy_iterator())
    shown = np.concatenate([labels for _, labels in batches])
    assert (shown >= given).all()  # a defect stays one
    assert shown[given == 0].mean() == pytest.approx(0.25, abs=0.03)
    plain = {image.tobytes() for image in pictures(dataset, "train")}
    touched = {x.tobytes() for x in np.concatenate([x for x, _ in batches])} - plain
    assert len(touched) > 0.9 * (shown > given).sum()  # another one in each epoch


def test_drawn_defects_follow_from_seed_and_position(dataset):
    straight = list(training(dataset, drawn=0.5).as_numpy_iterator())
    assert_same(training(dataset, drawn=0.5, cache="none"), straight)
    later = training(dataset, drawn=0.5, first_epoch=1, first_step=3)
    assert_same(later, straight[STEPS + 3 :])


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize("look", ["dark", "cracks"])
def test_balanced_batches_count_drawn_defects(dataset, cache, look):
    few = {"drawn": 0.5, "balanced": True, "augment": "none", "epochs": 6}
    few |= {"drawn_look": look, "cache": cache}
    batches = list(training(dataset, **few).as_numpy_iterator())
    # Half, where 34 good and 12 defects with .5 drawn used to show three in four.
    assert {labels.sum() for _, labels in batches} == {BATCH / 2}
    truth = reading.metadata(dataset, "train")["label"]
    common = {"image_size": SIZE, "channels": 1, "batch_size": BATCH, "seed": 7}
    how = {"drawn": 0.5, "balanced": True, "cache": cache}
    for step in range(STEPS):
        named = batching.batch_indices(dataset, **common, **how, epoch=0, step=step)
        given = truth[named] == 1
        assert batches[step][1][given].all()
        # 12 given ones and 17 of 34 that are drawn on: in that proportion.
        assert given.sum() in (1, 2)  # of four


def test_balanced_drawn_batches_follow_from_seed_and_position(dataset):
    few = {"drawn": 0.5, "balanced": True}
    straight = list(training(dataset, **few).as_numpy_iterator())
    assert_same(training(dataset, **few, cache="none"), straight)
    later = training(dataset, **few, first_epoch=1, first_step=3)
    assert_same(later, straight[STEPS + 3 :])


def test_balanced_batches_of_drawn_defects_alone_hold_half(dataset):
    few = {"drawn": 0.2, "drawn_only": True, "balanced": True, "augment": "none"}
    batches = list(training(dataset, **few).as_numpy_iterator())
    assert {labels.sum() for _, labels in batches} == {BATCH / 2}


@pytest.mark.parametrize("look", ["dark", "cracks"])
def test_no_defect_is_drawn_where_nobody_sees_it(look, tmp_path_factory):
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
    wide = store.build(place / "raw", data_dir=place / "data")
    few = {"image_size": 64, "batch_size": 16, "augment": "none", "map_stride": 1}
    few |= {"drawn": 0.99, "drawn_only": True, "drawn_look": look}
    batches = list(training(wide, **few).as_numpy_iterator())
    images, labels, maps = (np.concatenate(part) for part in zip(*batches))
    seen = maps.sum(axis=(1, 2, 3))
    black = images.max(axis=(1, 2, 3)) < 3
    assert 0 < black.sum() < 20
    assert set(labels[black]) == {0}  # nothing can be seen there: still good
    assert np.mean(labels[~black]) > 0.95  # with a share of .99
    assert (seen[labels == 1] >= 3).all() and not seen[labels == 0].any()


def test_drawn_only_shows_no_given_defect(dataset):
    truth = reading.metadata(dataset, "train")["label"]
    good = int((truth == 0).sum())
    few = {"drawn": 0.5, "drawn_only": True, "augment": "none"}
    batches = list(training(dataset, **few, epochs=2).as_numpy_iterator())
    assert len(batches) == 2 * (good // BATCH)
    plain = np.concatenate([x[y == 0] for x, y in batches])
    given = [image.tobytes() for image in pictures(dataset, "train")]
    assert {truth[given.index(image.tobytes())] for image in plain} == {0}
    ids = batching.batch_indices(
        dataset,
        image_size=SIZE,
        channels=1,
        batch_size=BATCH,
        seed=7,
        epoch=1,
        step=2,
        drawn_only=True,
    )
    images, labels = batches[good // BATCH + 2]
    for index, image, label in zip(ids, images, labels):
        assert truth[index] == 0
        assert label or image.tobytes() == given[index]


def test_too_few_good_devices_are_named(dataset):
    with pytest.raises(errors.BadInput, match="34 good images .* one batch of 35"):
        training(dataset, batch_size=35, drawn=0.5, drawn_only=True)


def test_a_map_shows_where_the_drawn_defects_are(dataset):
    few = {"drawn": 0.5, "drawn_only": True, "batch_size": 32, "augment": "none"}
    (plain,) = training(dataset, **{**few, "drawn": 0.0}, epochs=1).as_numpy_iterator()
    (batch,) = training(dataset, **few, map_stride=4, epochs=1).as_numpy_iterator()
    images, labels, maps = batch
    assert maps.shape == (32, SIZE // 4, SIZE // 4, 1)
    assert not maps[labels == 0].any()
    assert maps[labels == 1].any(axis=(1, 2, 3)).mean() > 0.7  # some are too faint
    changed = (images != plain[0]).reshape(32, SIZE // 4, 4, SIZE // 4, 4, 1)
    assert not (maps[..., 0] > changed.any(axis=(2, 4, 5))).any()


def test_a_map_moves_with_its_picture(dataset):
    few = {"drawn": 0.9, "drawn_only": True, "batch_size": 32, "map_stride": 1}
    ways = {"flip": "both", "rotation": 0.0, "zoom": 0.0}
    still = {"policy": augment.Policy(**ways, brightness=0.0, contrast=0.0)}
    lit = {"policy": augment.Policy(**ways, brightness=0.3, contrast=0.5, tone=1.0)}
    (_, _, maps) = next(training(dataset, **few, **still).as_numpy_iterator())
    (_, _, same) = next(training(dataset, **few, **lit).as_numpy_iterator())
    np.testing.assert_array_equal(maps, same)  # light does not move it
    (_, _, unmoved) = next(training(dataset, **few, augment="none").as_numpy_iterator())
    assert not np.array_equal(maps, unmoved)
    for one, other in zip(maps, unmoved):
        ways = [other, other[::-1], other[:, ::-1], other[::-1, ::-1]]
        assert any(np.array_equal(one, way) for way in ways)


def test_harmless_marks_come_on_good_and_defective_pictures_alike(dataset):
    few = {"drawn": 0.5, "augment": "none", "batch_size": 46}
    (plain,) = training(dataset, **{**few, "drawn": 0.0}, epochs=1).as_numpy_iterator()
    cracks = {**few, "drawn_look": "cracks"}
    (shown,) = training(dataset, **cracks, epochs=1).as_numpy_iterator()
    changed = (shown[0] != plain[0]).any(axis=(1, 2, 3))
    assert 0.5 < changed[shown[1] == 0].mean() < 1  # good ones, still called good
    assert 0.5 < changed[plain[1] == 1].mean() < 1  # given defects
    straight = list(training(dataset, drawn=0.5, drawn_look="cracks"))
    later = training(dataset, drawn=0.5, drawn_look="cracks", first_epoch=1)
    assert_same(later, [tuple(map(np.array, batch)) for batch in straight[STEPS:]])
