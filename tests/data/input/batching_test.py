import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.data.input import augment, batching, pictures
from nexperia_tf.data.records import reading

PLAIN = {"augment": "none"}


def labels_of(batches) -> np.ndarray:
    return np.concatenate([batch["label"] for batch in batches])


def images_of(batches) -> np.ndarray:
    return np.concatenate([batch["image"] for batch in batches])


def test_batches_are_uint8_images_and_float_labels(straight, sides):
    images, labels = straight[0]["image"], straight[0]["label"]
    shape = sides.batch, sides.size, sides.size, 1
    assert (images.shape, images.dtype) == (shape, np.uint8)
    assert (labels.shape, labels.dtype) == ((sides.batch,), np.float32)
    assert set(labels_of(straight)) == {0.0, 1.0}


def test_the_same_seed_gives_the_same_batches(training, straight, assert_same):
    tf.random.set_seed(123)  # what others seed does not matter
    assert_same(training(), straight)


@pytest.mark.parametrize(
    "counted",
    [
        {},
        {"kind": "sampling"},
        {"drawn": 0.5},
        {"drawn": 0.5, "kind": "sampling"},
    ],
)
def test_a_resumed_or_streamed_run_sees_the_batches_of_an_unbroken_one(
    training, counted, sides, assert_same
):
    straight = training(counted=counted)
    assert_same(training(counted=counted, cache="none"), straight)
    later = training(counted=counted, start=(1, 3))
    assert_same(later, straight[sides.steps + 3 :])


def test_devices_come_as_their_order_says(training, truth, ordered, letterboxed):
    given = np.stack(letterboxed("train"))
    batches = training(changed=PLAIN, start=(2, 3))
    dealt = ordered(truth).epoch(truth, 2).indices[3:]
    assert len(batches) == len(dealt)
    for batch, indices in zip(batches, dealt):
        np.testing.assert_array_equal(batch["image"], given[indices])
        np.testing.assert_array_equal(batch["label"], truth[indices])


def test_augmentation_changes_pictures_from_epoch_to_epoch(training):
    few = {"batch_size": 46, "epochs": 2}
    first, second = (batch["image"] for batch in training(**few))
    plain = training(**few, changed=PLAIN)[0]["image"]
    assert not np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))
    assert not np.array_equal(first, plain)
    still = {"policy": augment.Policy("none", 0.0, 0.0, 0.0, 0.0)}
    np.testing.assert_array_equal(training(**few, changed=still)[0]["image"], plain)


def test_a_picture_that_an_epoch_shows_again_is_changed_anew(training, truth, ordered):
    few = {"batch_size": 46, "epochs": 1, "counted": {"kind": "sampling"}}
    dealt = ordered(truth, batch_size=46, kind="sampling").epoch(truth, 0)
    (indices,), (before,) = dealt.indices, dealt.before
    again = np.flatnonzero(before)
    assert len(again) == 23 - 12  # defects
    (batch,) = training(**few)
    for place in again:
        (first,) = np.flatnonzero((indices == indices[place]) & (before == 0))
        assert not np.array_equal(batch["image"][place], batch["image"][first])


def test_workers_share_each_batch(training, straight):
    parts = [training(worker=(rank, 2)) for rank in range(2)]
    assert len(parts[0]) == len(parts[1]) == len(straight)
    for batch, *halves in zip(straight, *parts):
        for name in ("image", "label"):
            shares = np.concatenate([half[name] for half in halves])
            np.testing.assert_array_equal(shares, batch[name])


def test_a_batch_that_cannot_be_shared_is_refused(training):
    with pytest.raises(errors.BadInput, match="size 8 cannot be shared among 3 work"):
        training(worker=(0, 3))


def test_the_number_of_batches_is_known_beforehand(dataset, truth, ordered, sides):
    shown, dealt = pictures.Pictures(sides.size, 1), ordered(truth)
    batches = batching.training(dataset, shown, dealt, epochs=sides.epochs)
    assert len(batches) == sides.epochs * sides.steps == sides.epochs * dealt.steps


@pytest.mark.parametrize("cache", pictures.CACHES)
def test_evaluation_shows_all_devices_in_record_order(
    dataset, cache, letterboxed, sides
):
    shown = pictures.Pictures(sides.size, 1, cache)
    batches = batching.evaluation(dataset, "validation", shown, batch_size=4)
    expected = reading.metadata(dataset, "validation", ("label",))["label"]
    for _ in range(2):
        found = list(batches.as_numpy_iterator())
        np.testing.assert_array_equal(images_of(found), letterboxed("validation"))
        np.testing.assert_array_equal(labels_of(found), expected)
    alone = list(batching.images(batches).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate(alone), letterboxed("validation"))


def test_unlabelled_devices_are_evaluated_as_minus_one(dataset, sides):
    shown = pictures.Pictures(sides.size, 3)
    batches = batching.evaluation(dataset, "unlabelled", shown, batch_size=4)
    (batch,) = batches.as_numpy_iterator()
    assert batch["image"].shape == (3, sides.size, sides.size, 3)
    assert batch["label"].tolist() == [-1, -1, -1]
