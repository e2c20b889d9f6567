import random

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from nexperia_tf import errors, files, preprocess, sizes
from nexperia_tf.data import manifest
from nexperia_tf.data.records import reading, store
from nexperia_tf.data.source import DataSource
from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import neighbours, run_folders

SHAPE = backbones.Shape((1, 1), planes=(4, 8), stem=4)
SIZE = sizes.Size(96, 64)
PICTURES, DEFECTS = 30, 6  # of the training split


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    raw = tmp_path_factory.mktemp("neighbours") / "raw"
    raw.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(PICTURES + 4):
        split = "train" if i < PICTURES else ("validation", "test")[i % 2]
        label = "defect" if i < DEFECTS or i in (30, 31) else "good"
        Image.fromarray(rng.integers(0, 256, (60, 40), np.uint8)).save(raw / f"{i}.png")
        rows.append([f"{i}.png", label, split])
    files.write_csv(raw / "labels.csv", ["path", "label", "split"], rows)
    return store.build(DataSource(data=str(raw), data_dir=str(raw.parent / "data")))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = classifier.build(SHAPE, image_size=SIZE, channels=1)
    return classifier.as_kept(classifier.with_map(model))


@pytest.fixture(scope="module")
def whole(dataset, model):
    return neighbours.of_model(model, dataset, seed=0)


def test_all_pictures_are_described(whole, dataset, model):
    columns = reading.metadata(dataset, "train")
    np.testing.assert_array_equal(whole.image_id, columns["image_id"])
    np.testing.assert_array_equal(whole.label, columns["label"])
    assert (whole.label == 1).sum() == DEFECTS
    rows = {r.image_id: r for r in manifest.read(dataset.prepared / "manifest.csv")}
    for name, pixels, seen in zip(whole.image_id, whole.pixel_sha256, whole.phash):
        assert (pixels, seen) == (rows[name].pixel_sha256, rows[name].phash) != ("", "")
    found = reading.examples(dataset, "train", whole.image_id)
    encoded = [found[name].image for name in whole.image_id]
    images = preprocess.batch(encoded, SIZE, 1)
    part = keras.Model(model.input, model.get_layer("features").output)
    np.testing.assert_allclose(whole.features, part(images), rtol=2e-3, atol=1e-4)
    assert whole.features.dtype == np.float16
    assert whole.thumbnails.shape == (PICTURES, 48, 32, 1)
    averaged = images.reshape(PICTURES, 48, 2, 32, 2, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(whole.thumbnails, averaged, atol=0.51)


def test_of_many_all_defects_and_a_seeded_draw_are_kept(dataset, model, whole):
    some = neighbours.of_model(model, dataset, seed=1, most=10)
    assert (some.label == 1).sum() == DEFECTS and len(some.label) == 10
    places = np.searchsorted(
        whole.image_id[order := np.argsort(whole.image_id)], some.image_id
    )
    np.testing.assert_allclose(some.features, whole.features[order[places]], 2e-3, 1e-4)
    again = neighbours.of_model(model, dataset, seed=1, most=10)
    np.testing.assert_array_equal(again.image_id, some.image_id)
    other = neighbours.of_model(model, dataset, seed=2, most=10)
    assert set(other.image_id) != set(some.image_id)
    good = neighbours.of_model(model, dataset, seed=0, without_defects=True)
    assert len(good.label) == PICTURES - DEFECTS and not good.label.any()


@pytest.fixture
def path(whole, tmp_path):
    neighbours.write(tmp_path / neighbours.NEIGHBOURS, whole)
    return tmp_path / neighbours.NEIGHBOURS


def test_what_is_written_is_read(path, whole, tmp_path):
    found = neighbours.read(path)
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(found, name), values)
        assert getattr(found, name).dtype == values.dtype
    neighbours.write(tmp_path / "again.npz", whole)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    assert path.stat().st_size < 2200 + PICTURES * (2 * 32 + 48 * 32 + 8 * 64 + 400)


def test_damage_is_said_in_one_line(path, whole):
    content, rng = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        refused += _refused(path, bytes(damaged), whole)
    assert refused > 150  # the rest are bits of zip that say nothing, such as times
    for _ in range(50):
        assert _refused(path, content[: rng.randrange(len(content))], whole)


def _refused(path, content, whole) -> bool:
    """Whether it is refused; what is read all the same must be what was written."""
    path.write_bytes(content)
    try:
        found = neighbours.read(path)
    except errors.BadInput as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return True
    for name, values in vars(whole).items():
        np.testing.assert_array_equal(getattr(found, name), values)
    return False


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"features": None}, "holds no features.npy"),
        ({"more": np.zeros(3)}, "holds 'more.npy'"),
        ({"label": np.array([object()] * PICTURES)}, "promises more than it holds"),
        ({"label": np.full(PICTURES, 2, np.int8)}, "labels are 1"),
        ({"label": np.zeros(3, np.int8)}, "3 of label"),
        ({"features": np.full((PICTURES, 3), np.nan)}, "not finite"),
        ({"features": np.zeros(PICTURES)}, r"features is float64 of shape \(30,\)"),
        ({"thumbnails": np.zeros((PICTURES, 2, 2))}, "thumbnails is float64"),
        ({"image_id": np.array(["a"] * PICTURES)}, "names a picture twice"),
        ({"phash": np.zeros(PICTURES)}, "phash is float64"),
    ],
)
def test_arrays_that_are_none_of_a_runs_are_refused(changed, words, path, whole):
    arrays = {k: v for k, v in (vars(whole) | changed).items() if v is not None}
    np.savez(path, **arrays)
    with pytest.raises(errors.BadInput, match=words):
        neighbours.read(path)


def test_a_run_of_an_older_version_has_none(path, whole, tmp_path):
    assert neighbours.of_run(tmp_path / "older") is None
    files.write_manifest(tmp_path)
    found = neighbours.of_run(tmp_path)
    np.testing.assert_array_equal(found.image_id, whole.image_id)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(errors.BadInput, match="differs from its SHA-256"):
        neighbours.of_run(tmp_path)


def test_a_version_has_its_own_or_those_of_the_run_it_lies_in(path, whole, tmp_path):
    version = tmp_path / "saved_model" / "1"
    (version / "assets.extra").mkdir(parents=True)
    files.write_manifest(tmp_path)
    assert neighbours.of_version(version) is None  # the folder is no run's
    (tmp_path / run_folders.CONFIG).write_text("{}")
    assert len(neighbours.of_version(version).label) == PICTURES
    neighbours.write(version / neighbours.EXPORTED, neighbours.part(whole, 4))
    assert len(neighbours.of_version(version).label) == 4


@pytest.mark.parametrize(("most", "defects"), [(4, 2), (20, 6), (99, 6)])
def test_a_part_has_both_classes(most, defects, whole):
    some = neighbours.part(whole, most)
    assert len(some.label) == min(most, PICTURES) and some.label.sum() == defects
    places = [whole.image_id.tolist().index(name) for name in some.image_id]
    assert places == sorted(places)
    np.testing.assert_array_equal(some.thumbnails, whole.thumbnails[places])


def test_the_nearest_are_those_of_scikit_learn(whole, monkeypatch):
    monkeypatch.setattr(neighbours, "_COMPARED", 7)  # they are compared in parts
    wanted = whole.features[3].astype(np.float32) * 2
    places, likeness = neighbours.nearest(whole, wanted, 5)
    cosines = metrics.pairwise.cosine_similarity(
        wanted[np.newaxis], whole.features.astype(np.float32)
    )[0]
    assert places[0] == 3 and likeness[0] == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(places, np.argsort(-cosines)[:5])
    np.testing.assert_allclose(likeness, cosines[places], atol=1e-6)


def test_nothing_is_left_of_what_could_not_be_written(whole, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        neighbours.write(tmp_path / "neighbours.npz", whole)
    assert list(tmp_path.iterdir()) == []
