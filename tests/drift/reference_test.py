"""drift.npz: from a model and records, to a file and back; and `nexperia drift`."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, files, sizes
from nexperia_tf.data.records import store
from nexperia_tf.data.source import DataSource
from nexperia_tf.drift import measure, reference
from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import familiar, run_folders
from nexperia_tf.serving import export

SHAPE = backbones.Shape((1, 1), planes=(4, 8), stem=4)
IN_FORCE = run_folders.Calibration(temperature=2.0, offset=-3.0, threshold=0.6)


def drawn(rng, level=1.0):
    shades = np.linspace(30, 180, 40)[None] + rng.normal(0, 12, (36, 40))
    return np.clip(shades * level, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """20 lots of 6 pictures, half of them to train on."""
    raw = tmp_path_factory.mktemp("drift") / "raw"
    raw.mkdir()
    rng, rows = np.random.default_rng(0), []
    for i in range(120):
        lot = i // 6
        Image.fromarray(drawn(rng)).save(raw / f"{i}.png")
        split = "train" if lot < 10 else "validation" if lot < 16 else "test"
        rows.append([f"{i}.png", ("good", "defect")[i % 6 == 0], f"lot{lot}", split])
    files.write_csv(raw / "labels.csv", ["path", "label", "group", "split"], rows)
    return store.build(DataSource(data=str(raw), data_dir=str(raw.parent / "data")))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return classifier.build(SHAPE, image_size=sizes.Size(32, 32), channels=1)


@pytest.fixture(scope="module")
def known(model, dataset):
    return familiar.of_model(model, dataset, seed=0)


@pytest.fixture(scope="module")
def fine(model, dataset, known):
    return reference.of_model(model, dataset, familiar=known, seed=0)


@pytest.fixture(scope="module")
def published(model, known, fine, tmp_path_factory):
    return export.publish(
        model,
        tmp_path_factory.mktemp("drift") / "model",
        backbone="tiny",
        calibration=IN_FORCE,
        familiar=known,
        drift=fine,
    )


def test_each_picture_has_numbers_a_lot_and_what_the_network_says(
    model, dataset, fine, known
):
    assert fine.numbers.shape == (120, len(measure.names(1)))
    assert len(set(fine.lot.tolist())) == 20
    assert fine.trained_on.sum() == 60
    logits = np.concatenate(
        [
            run_folders.logits_of(model, dataset, split)
            for split in ("train", "validation", "test")
        ]
    )
    np.testing.assert_allclose(fine.logit, logits, atol=1e-4)
    assert (fine.unfamiliar > 0).all()
    assert fine.thumbnails.shape[1:] == (32, 32, 1) and len(fine.thumbnails) >= 8


def test_scores_are_those_of_the_calibration_in_force(fine):
    kept = fine.pictures(IN_FORCE)
    np.testing.assert_allclose(kept.score, IN_FORCE.scores(fine.logit), atol=1e-6)


def test_whole_lots_are_kept_of_many_pictures(model, dataset, known):
    few = reference.of_model(model, dataset, familiar=None, seed=0, most=18)
    assert len(few.logit) == 18 * 3 and np.isnan(few.unfamiliar).all()
    assert np.bincount(few.lot[few.trained_on]).max() == 6
    assert len(set(few.lot[few.trained_on].tolist())) == 3


def test_it_is_read_as_it_was_written_and_travels_with_an_export(fine, published):
    again = reference.of_export(published)
    for name, values in vars(fine).items():
        np.testing.assert_array_equal(getattr(again, name), values)
    listed = (published / files.MANIFEST).read_text()
    assert str(reference.EXPORTED) in listed


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("numbers", lambda a: a[:, :-1], "has 37 numbers of pictures with 1 channels"),
        ("logit", lambda a: a[:-1], "needs one row for each picture"),
        ("lot", lambda a: a.astype(float), "lot is float64"),
        ("logit", lambda a: a * np.nan, "its numbers are not finite"),
    ],
)
def test_what_does_not_fit_together_is_refused(fine, tmp_path, name, change, said):
    bad = dataclasses.replace(fine, **{name: change(getattr(fine, name))})
    reference.write(tmp_path / "drift.npz", bad)
    with pytest.raises(errors.BadInput, match=said):
        reference.read(tmp_path / "drift.npz")


def shift(folder, *, level=1.0, lots=10, each=6, seed=9):
    """A folder of each lot's pictures."""
    rng = np.random.default_rng(seed)
    for lot in range(lots):
        (folder / f"lot{lot}").mkdir(parents=True)
        for i in range(each):
            picture = Image.fromarray(drawn(rng, level))
            picture.save(folder / f"lot{lot}" / f"{i}.png")
    (folder / "lot0" / "torn.png").write_bytes(b"no picture")
    return folder


def test_a_darker_shift_is_told_with_a_page(published, tmp_path, run_command, capsys):
    folder, out = shift(tmp_path / "shift", level=0.8), tmp_path / "out"
    words = (published, folder, "--lots", "folders")
    assert run_command("drift", *words, "--out", out) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("drift: changed\nChanged: ")
    assert "check the light, the exposure" in shown
    assert "1 files could not be read: lot0/torn.png" in shown
    found = json.loads((out / "drift.json").read_text("utf-8"))
    assert found["state"] == "changed" and found["lots"] == 10
    darker = next(each for each in found["changes"] if each["name"] == "brightness")
    assert darker["now"] / darker["before"] == pytest.approx(0.8, abs=0.02)
    assert "data:image/jpeg" in (out / "drift.html").read_text("utf-8")


def test_a_shift_like_the_training_is_steady_also_beside_itself(
    published, tmp_path, run_command, capsys
):
    folder = shift(tmp_path / "shift")
    words = (published, folder, "--lots", "folders")
    assert run_command("drift", *words) == 0
    assert capsys.readouterr().out.startswith("drift: steady\nNo change found: 60 pict")
    assert run_command("drift", *words, "--reference", folder) == 0
    assert "drift: steady" in capsys.readouterr().out


def test_lots_that_nothing_tells_are_asked_for(
    published, tmp_path, run_command, capsys
):
    assert run_command("drift", published, shift(tmp_path / "shift")) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("drift: too_little") and "--lots folders" in shown


def test_lots_of_a_table(published, tmp_path, run_command, capsys):
    folder = shift(tmp_path / "shift")
    rows = [[f"lot{i}/{j}.png", f"L{i}"] for i in range(10) for j in range(6)]
    files.write_csv(folder / "labels.csv", ["path", "lot"], rows)
    assert run_command("drift", published, folder) == 0
    assert "60 pictures of 10 lots" in capsys.readouterr().out


def test_a_model_without_pictures_to_compare_with_asks_for_them(
    publish_tiny, tmp_path, run_command, capsys
):
    model = publish_tiny(tmp_path / "old")
    folder = shift(tmp_path / "shift", lots=2)
    assert run_command("drift", model, folder, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "keeps no pictures to compare with" in said and "--reference" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_is_compared_without_a_page(published, tmp_path):
    from nexperia_tf.evaluation import drift

    served = export.load(published)
    for level, state in ((0.8, "changed"), (1.0, "steady")):
        folder = shift(tmp_path / f"{level}", level=level)
        asked = drift.Arguments(str(published), str(folder), lots="folders")
        assert drift.of_model(served, asked).state == state
