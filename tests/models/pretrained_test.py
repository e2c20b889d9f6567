import hashlib
import json
import os
import pathlib

import keras
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.models import backbones, classifier, pretrained, weights

GOLDENS = pathlib.Path(__file__).parent / "goldens"
SMALL = {  # the networks of make_goldens.py
    name: backbones.Shape((1, 2, 1, 1), planes=(8, 8, 16, 16), **knobs)
    for name, knobs in {
        "plain": {"width": 64},
        "grouped": {"groups": 8, "width": 32},
        "wide": {"width": 128},
    }.items()
}
GROUPED = GOLDENS / "grouped.safetensors"


def relative_error(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


def assert_equal_to_timm(model, golden):
    parts = [model.get_layer(name).output for name in ("stage4", "features", "logit")]
    found = keras.Model(model.input, parts)(golden["pixels"], training=False)
    for part, name in zip(found, ("stage4", "features", "logits")):
        assert part.shape == golden[name].shape
        error = relative_error(part, golden[name])
        print(f"{model.name} {golden['pixels'].shape[1:3]} {name}: {error:.1e}")
        assert error < 1e-4


def small(name="grouped", *, channels=3, classes=10, size=None):
    return classifier.build(
        SMALL[name], image_size=size, channels=channels, classes=classes
    )


@pytest.fixture
def state():
    return safetensors.numpy.load_file(GROUPED)


@pytest.fixture
def saved(tmp_path):
    """Writes a changed state dict and gives its path."""

    def save(state):
        safetensors.numpy.save_file(state, tmp_path / "changed.safetensors")
        return str(tmp_path / "changed.safetensors")

    return save


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_timms(name):
    model = small(name)
    pretrained.load(model, str(GOLDENS / f"{name}.safetensors"))
    assert_equal_to_timm(model, np.load(GOLDENS / f"{name}.npz"))


@pytest.mark.skipif(
    "NEXPERIA_TF_GOLDENS" not in os.environ,
    reason="full-size networks take a GB and minutes: see make_goldens.py --full",
)
@pytest.mark.parametrize("name", weights.IMAGENET)
def test_outputs_are_timms_at_full_size(name):
    folder = pathlib.Path(os.environ["NEXPERIA_TF_GOLDENS"])
    if not (folder / f"{name}.npz").is_file():
        pytest.skip("made with --only, and not of this one")
    model = classifier.build(name, image_size=None, channels=3, classes=1000)
    pretrained.load(model, str(folder / f"{name}.safetensors"))
    assert_equal_to_timm(model, np.load(folder / f"{name}.npz"))


def test_another_number_of_classes_gets_a_new_head():
    model = small(classes=1)
    bias = model.get_layer("logit").get_weights()[1]
    pretrained.load(model, str(GROUPED))
    features = keras.Model(model.input, model.get_layer("features").output)
    golden = np.load(GOLDENS / "grouped.npz")
    assert relative_error(features(golden["pixels"]), golden["features"]) < 1e-4
    np.testing.assert_array_equal(model.get_layer("logit").get_weights()[1], bias)


def test_file_without_a_head_leaves_a_new_one(state, saved):
    del state["fc.weight"], state["fc.bias"]
    model = small()
    bias = model.get_layer("logit").get_weights()[1]
    pretrained.load(model, saved(state))
    np.testing.assert_array_equal(model.get_layer("logit").get_weights()[1], bias)


def test_grey_stem_is_the_colour_stem_on_repeated_channels():
    colour, grey = small(), small(channels=1)
    for model in (colour, grey):
        pretrained.load(model, str(GROUPED))
    # Past the scaling, which differs by the channels' own means.
    tails = [
        keras.Model(model.get_layer("scaling").output, model.output)
        for model in (colour, grey)
    ]
    scaled = np.random.default_rng(0).normal(size=(2, 37, 40, 1)).astype("float32")
    expected = tails[0](np.repeat(scaled, 3, axis=-1))
    assert relative_error(tails[1](scaled), expected.numpy()) < 1e-5


@pytest.mark.parametrize(
    "key,message",
    [
        ("layer2.1.conv2.weight", "has no layer2.1.conv2.weight"),
        ("bn1.running_mean", "has no bn1.running_mean"),
    ],
)
def test_missing_weights_are_named(state, saved, key, message):
    del state[key]
    with pytest.raises(errors.BadInput, match=message):
        pretrained.load(small(), saved(state))


def test_extra_weights_are_named(state, saved):
    state["layer5.0.conv1.weight"] = np.zeros(3, "float32")
    with pytest.raises(errors.BadInput, match=r"has layer5.0.conv1.weight, which"):
        pretrained.load(small(), saved(state))


def test_misshapen_weights_change_nothing(state, saved):
    state["layer4.0.conv3.weight"] = np.zeros((64, 8, 1, 1), "float32")
    model = small()
    before = model.get_weights()
    with pytest.raises(errors.BadInput, match=r"layer4.0.conv3.weight has shape \(64,"):
        pretrained.load(model, saved(state))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_weights_of_another_backbone_are_one_line():
    with pytest.raises(errors.BadInput, match="choose the backbone") as refusal:
        pretrained.load(small("wide"), str(GROUPED))
    assert "\n" not in str(refusal.value)


def _claiming(header: object, size: int | None = None) -> bytes:
    """A safetensors file of any header, of any claimed size, with 8 bytes behind it."""
    text = json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + bytes(8)


HOSTILE = [
    _claiming({}, 1 << 62),
    _claiming({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}}),
    _claiming({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 1 << 40]}}),
    _claiming({"w": {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}}),
    _claiming({"w": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}}),
    _claiming([1, 2]),
    _claiming(json.loads("[" * 900 + "]" * 900)),
]


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", None, *HOSTILE])
def test_damaged_or_missing_file_is_one_line(tmp_path, content):
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.BadInput, match=r"w\.safetensors: ") as refusal:
        pretrained.load(small(), str(path))
    assert "\n" not in str(refusal.value)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Pictures to train on, were there weights to begin with."""
    raw = tmp_path_factory.mktemp("weights") / "raw"
    for i in range(40):
        path = raw / ("good" if i % 3 else "worn") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (24, 24), np.uint8)
        Image.fromarray(pixels).save(path)
    return raw


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "features"])
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_file_ends_a_command_in_one_line(
    noise, command, number, small_backbone, run_command, tmp_path, capsys
):
    path, out = tmp_path / "w.safetensors", tmp_path / "out"
    path.write_bytes(HOSTILE[number])
    argv = ("--data", noise, "--data-dir", noise.parent / "data", "--out", out)
    argv += ("--backbone", small_backbone, "--image-size", 32)
    argv += ("--batch-size", 8, "--weights", path)
    capsys.readouterr()
    assert run_command(command, *argv) == 2
    said = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(said) == 1 and said[0].startswith(f"error: {path}: ")
    assert not out.exists()


def test_none_leaves_the_model_alone():
    model = small()
    before = model.get_weights()
    pretrained.load(model, "none")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


class TestImageNet:
    """The hub's client, replaced: nothing here leaves the machine."""

    @pytest.fixture
    def hub(self, monkeypatch, tmp_path):
        """A cache as the hub's client lays it out; gives the requests made."""
        import huggingface_hub

        digest = hashlib.sha256(GROUPED.read_bytes()).hexdigest()
        self.blob = tmp_path / digest
        self.blob.write_bytes(GROUPED.read_bytes())
        link = tmp_path / "model.safetensors"
        link.symlink_to(self.blob)
        requests = []

        def download(repository, name):
            requests.append((repository, name))
            return str(link)

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        return requests

    def test_fetches_the_recipe_for_the_use(self, hub):
        weights.download("resnext50_32x4d")
        weights.download("resnext50_32x4d", fixed=True)
        assert hub == [
            ("timm/resnext50_32x4d.a1h_in1k", "model.safetensors"),
            ("timm/resnext50_32x4d.tv_in1k", "model.safetensors"),
        ]

    def test_changed_content_is_refused(self, hub):
        content = bytearray(self.blob.read_bytes())
        content[-1] ^= 1
        self.blob.write_bytes(content)
        with pytest.raises(errors.BadInput, match="SHA-256 is .* delete the file"):
            weights.download("resnet50")

    def test_loads_into_the_model(self, hub, monkeypatch):
        model = small()
        shape = weights.IMAGENET["resnet50"]
        monkeypatch.setitem(weights.IMAGENET, model.name, shape)
        pretrained.load(model, "imagenet")
        assert_equal_to_timm(model, np.load(GOLDENS / "grouped.npz"))

    def test_offline_says_which_file_to_bring(self, monkeypatch):
        import huggingface_hub

        def refuse(*_):
            raise huggingface_hub.errors.LocalEntryNotFoundError("no connection\nmore")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
        with pytest.raises(errors.BadInput) as refusal:
            weights.download("wide_resnet50_2")
        message = str(refusal.value)
        assert "timm/wide_resnet50_2.racm_in1k" in message
        assert "fetch its model.safetensors" in message and "\n" not in message

    def test_backbone_without_published_weights_names_those_with(self):
        with pytest.raises(errors.BadInput, match="nothing is published for resnext26"):
            weights.download("resnext26_32x4d")

    def test_no_default_has_a_non_commercial_licence(self):
        for published in weights.IMAGENET.values():
            assert "fb_" not in published.fine_tuning + published.fixed
