import io
import json
import pickle
import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, files
from nexperia_tf.data.records import reading
from nexperia_tf.models import classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.study import features

COMMAND = "features"
BACKBONE, SIZE, DEVICES = "resnext26_32x4d", 64, 10  # devices of each split
pytestmark = pytest.mark.usefixtures("small_backbone")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features") / "raw"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for split in ("train", "validation", "test"):
        for i in range(DEVICES):
            name = f"{split}{i}.png"
            pixels = rng.integers(0, 256, (30, 40), np.uint8)
            Image.fromarray(pixels).save(folder / name)
            rows.append([name, ("good", "defect")[i % 2], f"{split}{i % 3}", split])
    files.write_csv(folder / "labels.csv", ["path", "label", "group", "split"], rows)
    return folder


@pytest.fixture(scope="module")
def run_folder(raw):
    """A run folder as far as features need it, of an untrained model."""
    folder = raw.parent / "run"
    folder.mkdir()
    config = {"backbone": BACKBONE, "data": str(raw), "image_size": SIZE}
    config |= {"data_dir": str(raw.parent / "data"), "weights": "none"}
    config |= {"loss": "focal", "seed": 0}
    files.write_json(folder / "config.json", config | {"run": {"channels": 1}})
    model = classifier.build(BACKBONE, image_size=SIZE, channels=1)
    model.save(folder / run_folders.MODEL)
    files.write_manifest(folder)
    return folder


def test_features_under_the_head_give_the_runs_logits(run_folder, run_command):
    out = run_folder.parent / "pooled"
    assert run_command(COMMAND, run_folder, "--out", out) == 0
    files.verify_manifest(out)
    assert json.loads((out / "features.json").read_text())["run"] == "run"
    run = run_folders.load(run_folder)
    kernel, bias = run.model().get_layer("logit").get_weights()
    for split in ("train", "validation", "test"):
        found = features.read(out / f"{split}.npz")
        assert found.values.shape == (DEVICES, 32) and found.values.dtype == np.float32
        logits = run_folders.logits_of(run.model(), run.dataset, split)
        np.testing.assert_allclose((found.values @ kernel + bias)[:, 0], logits, 1e-4)
        wanted = reading.metadata(run.dataset, split)
        assert list(found.image_id) == list(wanted["image_id"])
        assert list(found.columns["group"]) == list(wanted["group"])
        np.testing.assert_array_equal(found.label, wanted["label"])


def test_any_stage_is_flattened_row_by_row(run_folder):
    run = run_folders.load(run_folder)
    wide = features.extract(run.model(), run.dataset, "test", stage="stage3")
    assert wide.values.shape == (DEVICES, 4 * 4 * 32)  # 64 / 16 px a side
    last = features.extract(run.model(), run.dataset, "test", stage="stage4")
    pooled = features.extract(run.model(), run.dataset, "test", stage="features")
    maps = last.values.reshape(DEVICES, 2 * 2, 32)
    np.testing.assert_allclose(maps.mean(axis=1), pooled.values, rtol=1e-4, atol=1e-6)


def test_a_network_without_a_run_takes_weights_and_data(raw, run_command, tmp_path):
    out = tmp_path / "random"
    argv = ["--weights", "none", "--backbone", BACKBONE, "--image-size", SIZE]
    argv += ["--data", raw, "--data-dir", raw.parent / "data", "--split", "test"]
    assert run_command(COMMAND, *argv, "--out", out) == 0
    assert not (out / "train.npz").exists()
    assert features.read(out / "test.npz").values.shape == (DEVICES, 32)


def test_a_runs_pictures_may_have_moved(raw, run_folder, run_command, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(raw, moved)
    words = ("--data", moved, "--data-dir", tmp_path / "data", "--split", "test")
    assert run_command(COMMAND, run_folder, *words, "--out", tmp_path / "there") == 0
    assert len(list((tmp_path / "data").glob("moved-*"))) == 1
    words = ("--split", "test", "--out", tmp_path / "here")
    assert run_command(COMMAND, run_folder, *words) == 0
    here, there = (features.read(tmp_path / n / "test.npz") for n in ("here", "there"))
    assert list(here.image_id) == list(there.image_id)
    np.testing.assert_array_equal(here.values, there.values)


def test_a_network_of_grey_pictures_is_given_no_colour(
    raw, run_folder, run_command, tmp_path, capsys
):
    for file in shutil.copytree(raw, tmp_path / "colour").glob("*.png"):
        pixels = np.stack(3 * [np.asarray(Image.open(file))], axis=-1)
        pixels[..., 0] //= 2
        Image.fromarray(pixels).save(file)
    words = ("--data", tmp_path / "colour", "--data-dir", tmp_path / "data")
    assert run_command(COMMAND, run_folder, *words, "--out", tmp_path / "out") == 2
    assert "holds colour pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--stage", "stage5"], "--stage stage5: unknown; did you mean stage"),
        (["--stage", "stage1", "--max-gigabytes", "1e-5"], "take 0.0 GB, more than"),
        (["--weights", "none"], "name one of them"),
    ],
)
def test_what_cannot_work_is_one_line_and_leaves_nothing(
    words, shown, run_folder, run_command, tmp_path, capsys
):
    out = tmp_path / "out"
    assert run_command(COMMAND, run_folder, *words, "--out", out) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and shown in error
    assert not out.exists()


def _found(n: int = 3) -> features.Features:
    names = np.array([f"d{i}" for i in range(n)])
    text = {name: np.full(n, "") for name in ("group", "lot", "machine", "defect_type")}
    return features.Features(names, np.zeros(n, np.int8), np.ones((n, 2), "f4"), text)


def test_damaged_or_foreign_files_are_refused(tmp_path):
    path = tmp_path / "test.npz"
    with pytest.raises(errors.BadInput, match="no such file"):
        features.read(path)
    features.write(path, _found())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(errors.BadInput, match="no table of features"):
        features.read(path)
    np.savez(path, features=np.ones((2, 2)))
    with pytest.raises(errors.BadInput, match="no table of features"):
        features.read(path)


def _array(header: dict, content: bytes = b"") -> bytes:
    """An .npy file of any header."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


HOSTILE = {
    "more than it holds": {"features": ("<f4", (1 << 40, 64), b"\0" * 64)},
    "objects": {"features": ("|O", (1,), pickle.dumps([1]))},
    "zeros": {"features": ("<f4", (20 << 20,), bytes(80 << 20))},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_features_are_one_line(kind, tmp_path, run_command, capsys):
    for split in ("train", "validation"):
        with zipfile.ZipFile(
            tmp_path / f"{split}.npz", "w", zipfile.ZIP_DEFLATED
        ) as archive:
            for name, (kind_of, shape, content) in HOSTILE[kind].items():
                header = {"descr": kind_of, "fortran_order": False, "shape": shape}
                archive.writestr(f"{name}.npy", _array(header, content))
    files.write_manifest(tmp_path)
    tracemalloc.start()
    assert run_command("forest", tmp_path, "--out", tmp_path / "out") == 2
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and shown.count("\n") == 1
    assert "train.npz" in shown and not (tmp_path / "out").exists()


def test_rows_without_name_or_number_are_refused(tmp_path):
    path = tmp_path / "test.npz"
    found = _found()
    found.values[1, 0] = np.nan
    features.write(path, found)
    with pytest.raises(errors.BadInput, match="must be finite"):
        features.read(path)
    found = _found()
    found.image_id[2] = "d0"
    features.write(path, found)
    with pytest.raises(errors.BadInput, match="3 names, 3 labels and 3 rows"):
        features.read(path)
