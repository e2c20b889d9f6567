"""`--weights auto`: what the hub's local cache holds, how it is said and recorded."""

import hashlib
import pathlib
import shutil

import huggingface_hub
import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import constants
from PIL import Image

from nexperia_tf import configs, errors, files
from nexperia_tf.configs import fine_tuning
from nexperia_tf.models import backbones, weights
from nexperia_tf.runs import run_folders
from nexperia_tf.training import loop, model_setup

pytestmark = pytest.mark.usefixtures("no_network", "tiny_backbone")

TIMMS = pathlib.Path(__file__).parents[1] / "models" / "goldens" / "grouped.safetensors"
SHA256 = hashlib.sha256(TIMMS.read_bytes()).hexdigest()


@pytest.fixture
def tiny_backbone(monkeypatch):
    """The network of timm's small goldens, as if weights were published for it."""
    shape = backbones.Shape((1, 2, 1, 1), groups=8, width=32, planes=(8, 8, 16, 16))
    monkeypatch.setitem(backbones.BACKBONES, "tiny", shape)
    known = weights.Published("tiny.bt_in1k", "tiny.tv_in1k", 3)
    monkeypatch.setitem(weights.IMAGENET, "tiny", known)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The hub's cache, empty, laid out as its client does."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def filled(cache):
    """The cache with the weights for fine-tuning; gives their path in it."""
    home = cache / "models--timm--tiny.bt_in1k"
    for part in ("blobs", "refs", "snapshots/c0ffee"):
        (home / part).mkdir(parents=True)
    (home / "refs" / "main").write_text("c0ffee")
    shutil.copyfile(TIMMS, home / "blobs" / SHA256)
    path = home / "snapshots" / "c0ffee" / weights.FILE_NAME
    path.symlink_to(pathlib.Path("../../blobs") / SHA256)
    return path


def started(*, machines=1, **flags):
    config = configs.of(backbone="tiny", image_size=32, **flags)
    return model_setup.started(config, machines=machines)


def test_cached_weights_are_taken_and_named(filled):
    config, lines = started()
    assert config.network.weights == str(filled)
    assert lines[0] == "weights: timm/tiny.bt_in1k (Apache-2.0)"
    used = model_setup.weights_used(config)
    assert used == {"weights_file": str(filled), "weights_sha256": SHA256}
    model = model_setup.build(config, channels=3, prior=0.2, steps=9)
    stem = safetensors.numpy.load_file(TIMMS)["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("stem_conv").get_weights()[0], stem)


def test_an_empty_cache_is_one_line_that_says_how_to_fill_it(cache):
    config, lines = started()
    assert config == configs.of(backbone="tiny", image_size=32, weights="none")
    assert len(lines) == 1
    assert "`nexperia weights tiny` fetches" in lines[0]
    assert "(3 MB, Apache-2.0)" in lines[0] and "not measured" in lines[0]
    nothing = {"weights_file": None, "weights_sha256": None}
    assert model_setup.weights_used(config) == nothing


@pytest.mark.parametrize("flags", [{"init": "runs/a"}, {"weights": "none"}])
def test_auto_gives_way_to_what_is_asked_for(filled, flags):
    config, lines = started(**flags)
    assert config.network.weights == "none" and lines == []
    assert config.optimisation == configs.of().optimisation


def test_machines_whose_caches_may_differ_take_none(filled):
    config, lines = started(machines=2)
    assert config.network.weights == "none"
    assert "where several machines train" in lines[0]


def test_a_backbone_for_which_nothing_is_published_says_nothing(cache):
    config = configs.of(backbone="resnet26_quarter")
    found, lines = model_setup.started(config)
    assert found.network.weights == "none" and lines == []


def test_damaged_content_is_refused(filled):
    with open(filled, "r+b") as file:
        file.write(b"x")
    with pytest.raises(errors.BadInput, match="SHA-256 is .* delete the file"):
        started()


@pytest.mark.parametrize("asked", ["auto", "imagenet", str(TIMMS)])
def test_fine_tuning_has_its_recipe(filled, asked, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: str(filled))
    config, lines = started(weights=asked, learning_rate=1e-4)
    recipe = dict(fine_tuning.FINE_TUNING) | {"learning_rate": 1e-4}  # what is chosen
    values = config.flat()
    assert {name: values[name] for name in recipe} == recipe
    assert lines[1].startswith("fine-tuning: --learning-rate 0.0001 --layer-decay")
    again, _ = model_setup.started(config)
    assert again == config
    as_given = started(weights=asked, fine_tuning=False)[0]
    assert as_given.optimisation == configs.of().optimisation
    assert model_setup.weights_used(config)["weights_sha256"] == SHA256


def test_a_config_json_from_before_starts_as_it_did():
    old = {"network": {"backbone": "resnet50"}, "run": {"channels": 1}}
    assert configs.from_json(old, where="c").network.weights == "none"
    old["network"]["weights"] = "imagenet"
    config = configs.from_json(old, where="c")
    assert fine_tuning.applied(config) == config


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Noise, of which the defective half is brighter."""
    folder = tmp_path_factory.mktemp("weights") / "raw"
    noise = np.random.default_rng(0)
    for name, low in (("good", 0), ("defect", 60)):
        (folder / name).mkdir(parents=True)
        for i in range(40):
            pixels = noise.integers(low, 196 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def test_a_run_keeps_the_weights_it_found(filled, raw, tmp_path, run_command, capsys):
    run = tmp_path / "run"
    argv = ("--data", raw, "--data-dir", tmp_path / "data", "--backbone", "tiny")
    argv += ("--image-size", 32, "--batch-size", 8, "--epochs", 1)
    assert run_command("train", *argv, "--out", run) == 0
    assert "weights: timm/tiny.bt_in1k (Apache-2.0)\nfine-tuning: --le" in (
        capsys.readouterr().out
    )
    recorded = files.read_json(run / run_folders.CONFIG)
    assert recorded["network"]["weights"] == str(filled)
    assert recorded["run"]["weights_file"] == str(filled)
    assert recorded["run"]["weights_sha256"] == SHA256
    assert recorded["optimisation"]["layer_decay"] == 0.9

    (run / files.MANIFEST).unlink()  # as if it had been killed at the end
    asked = configs.load(str(run / run_folders.CONFIG)).changed(weights="auto")
    filled.unlink()
    with pytest.raises(errors.BadInput, match="no longer in the hub's cache"):
        loop.train(asked.changed(out=str(run)), resume=True)
    shutil.copyfile(TIMMS, filled)
    with open(filled, "ab") as file:
        file.write(bytes(8))
    with pytest.raises(errors.BadInput):  # other weights than it began with
        loop.train(asked.changed(out=str(run)), resume=True)
    shutil.copyfile(TIMMS, filled)
    loop.train(asked.changed(out=str(run)), resume=True)
    assert (run / files.MANIFEST).is_file()

    filled.unlink()
    again = ("--config", run / run_folders.CONFIG, "--out", tmp_path / "again")
    capsys.readouterr()
    assert run_command("train", *again) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"error: --weights {filled}: no longer in the hub's cache;")
    assert "`nexperia weights tiny`" in said and not (tmp_path / "again").exists()
