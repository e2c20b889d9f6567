"""familiar.npz: from a model and records, to a file and back."""

import keras
import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, files, preprocess, sizes
from nexperia_tf.data.records import store
from nexperia_tf.data.source import DataSource
from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import familiar, familiarity

SHAPE = backbones.Shape((1, 1), planes=(4, 8), stem=4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Pictures of noise, 40 to train on and 24 of validation."""
    raw = tmp_path_factory.mktemp("familiar") / "raw"
    raw.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(70):
        split = "train" if i < 40 else "validation" if i < 64 else "test"
        Image.fromarray(rng.integers(0, 256, (40, 40), np.uint8)).save(raw / f"{i}.png")
        rows.append([f"{i}.png", ("good", "defect")[i % 5 == 0], split])
    files.write_csv(raw / "labels.csv", ["path", "label", "split"], rows)
    return store.build(DataSource(data=str(raw), data_dir=str(raw.parent / "data")))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return classifier.build(SHAPE, image_size=sizes.Size(32, 32), channels=1)


@pytest.fixture(scope="module")
def known(model, dataset):
    return familiar.of_model(model, dataset, seed=0)


def test_noise_is_familiar_to_a_model_of_noise_and_a_blank_picture_is_not(known, model):
    assert known.mean.shape == (16 + 32,) and known.devices == 24
    rng, size = np.random.default_rng(1), sizes.Size(32, 32)
    taken = rng.integers(0, 256, (50, 40, 40, 1), np.uint8)
    taken[0] = 0
    shown = np.stack([preprocess.letterbox_pixels(each, size) for each in taken])
    described = classifier.stage_means(model)(shown, training=False).numpy()
    found = known.unfamiliar(described)
    assert found[0] > 2 and np.median(found[1:]) < 1


def test_a_map_changes_nothing(known, model, dataset):
    twin = classifier.as_kept(classifier.with_map(model))
    found = familiar.of_model(twin, dataset, seed=0)
    np.testing.assert_allclose(found.components, known.components, atol=1e-5)


def test_of_many_pictures_some_are_looked_at(model, dataset, known):
    found = familiar.of_model(model, dataset, seed=0, most=30)
    assert found.devices == 24 and not np.array_equal(found.mean, known.mean)
    assert familiar.of_model(model, dataset, seed=0, most=10) is None


def test_what_is_written_is_read_and_an_older_run_has_none(known, tmp_path):
    assert familiar.of_run(tmp_path) is None
    familiar.write(tmp_path / familiar.FAMILIAR, known)
    files.write_manifest(tmp_path)
    found = familiar.of_run(tmp_path)
    for name, value in vars(known).items():
        np.testing.assert_array_equal(getattr(found, name), value)
        assert type(getattr(found, name)) is type(value)
    (tmp_path / familiar.FAMILIAR).write_bytes(b"other")
    with pytest.raises(errors.BadInput, match="differs from its SHA-256"):
        familiar.of_run(tmp_path)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"noise": None}, "holds no noise.npy"),
        ({"more": np.zeros(3)}, "holds 'more.npy'"),
        ({"mean": np.zeros(3, np.float32)}, "mean is float32 of shape"),
        ({"components": np.zeros(3, np.float32)}, "components is float32 of shape"),
        ({"scale": np.zeros(48, np.float32)}, "scale must be above 0"),
        ({"mean": np.full(48, np.nan, np.float32)}, "mean is not finite"),
        ({"limit": np.float64(0)}, "limit must be above 0"),
        ({"limit": np.array("far")}, "limit is no number"),
        ({"devices": np.zeros(3)}, "devices is no number"),
    ],
)
def test_arrays_that_are_none_of_a_runs_are_refused(changed, words, known, tmp_path):
    path = tmp_path / familiar.FAMILIAR
    arrays = {k: v for k, v in (vars(known) | changed).items() if v is not None}
    np.savez(path, **arrays)
    with pytest.raises(errors.BadInput, match=words) as refused:
        familiar.read(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_numbers_come_back_as_numbers(known):
    assert isinstance(known, familiarity.Familiarity)
    assert isinstance(known.devices, int) and isinstance(known.limit, float)
