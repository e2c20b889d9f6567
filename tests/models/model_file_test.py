"""Hostile model.keras files, through the command that opens one."""

import io
import json
import shutil
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest

from nexperia_tf import configs, errors, files
from nexperia_tf.models import backbones, classifier, model_file
from nexperia_tf.runs import run_folders

SHAPE = backbones.Shape((1, 1, 1, 1), planes=(8, 8, 8, 8), stem=8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model.keras as training writes it."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    classifier.build(SHAPE, image_size=32, channels=1, standardise="picture").save(path)
    return path


@pytest.fixture
def members(whole) -> dict[str, bytes]:
    with zipfile.ZipFile(whole) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def run(tmp_path):
    """What a run folder needs for its model to be opened, but for the model."""
    folder = tmp_path / "run"
    folder.mkdir()
    config = configs.to_json(configs.Config(), {"channels": 1})
    files.write_json(folder / run_folders.CONFIG, config)
    run_folders.write_calibration(
        folder / run_folders.CALIBRATION, run_folders.Calibration()
    )
    return folder


def _write(path, members: dict[str, bytes], *more, packed=False):
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in [*members.items(), *more]:
            archive.writestr(name, content)


def _layers(members) -> tuple[dict, list[dict]]:
    config = json.loads(members["config.json"])
    return config, config["config"]["layers"]


def _with_config(members, config) -> dict[str, bytes]:
    return members | {"config.json": json.dumps(config).encode()}


def _lambda(members):
    config, layers = _layers(members)
    code = {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}
    layers[1] |= {"class_name": "Lambda", "module": "keras.layers"}
    layers[1]["config"] = {"name": "scaling", "function": code}
    return _with_config(members, config)


def _of_the_system(members):
    config, layers = _layers(members)
    layers[1] |= {"class_name": "system", "module": "os", "registered_name": None}
    return _with_config(members, config)


def _function(members):
    config, layers = _layers(members)
    call = {"class_name": "function", "module": "builtins", "config": "system"}
    layers[-1]["config"]["activation"] = call
    return _with_config(members, config)


def _huge(name, value):
    def change(members):
        config, layers = _layers(members)
        layer = next(layer for layer in layers if name in layer["config"])
        layer["config"][name] = value
        return _with_config(members, config)

    return change


def _h5(change):
    def changed(members):
        with h5py.File(
            file := io.BytesIO(members["model.weights.h5"]), "r+"
        ) as weights:
            change(weights)
        return members | {"model.weights.h5": file.getvalue()}

    return changed


def _packed_array(weights):
    weights.create_dataset("bomb", (1 << 28,), "f8", chunks=(1 << 20,), compression=9)


def _external(weights):
    weights["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def _raw_file(weights):
    weights.create_dataset("raw", (8,), "u1", external=[("/etc/passwd", 0, 8)])


def _text(weights):
    weights.create_dataset("text", data=[b"code"], dtype=h5py.string_dtype())


HOSTILE = {
    "Lambda": (_lambda, "'Lambda'|'__lambda__'"),
    "a function": (_function, "'function'"),
    "os.system": (_of_the_system, "holds 'system' of 'os'"),
    "many filters": (_huge("filters", 1 << 30), "weights, but it holds"),
    "many units": (_huge("units", 1 << 40), "weights, but it holds"),
    "a wide window": (_huge("kernel_size", [9999, 9999]), "kernel_size of"),
    "a wide border": (_huge("padding", [[1, 1], [1, 1 << 40]]), "padding of"),
    "large pictures": (_huge("batch_shape", [None, 1 << 20, 1 << 20, 1]), "no input"),
    "no layers": (lambda m: _with_config(m, {"class_name": "Functional"}), "KeyError"),
    "depth": (lambda m: m | {"config.json": b"[" * 100_000}, "cannot be read"),
    "no JSON": (lambda m: m | {"config.json": b"\xff"}, "cannot be read"),
    "no HDF5": (lambda m: m | {"model.weights.h5": b"weights"}, "cannot be read"),
    "packed zeros": (_h5(_packed_array), "would unpack to"),
    "another file": (_h5(_external), "is a link"),
    "raw file": (_h5(_raw_file), "lies in other files"),
    "text": (_h5(_text), "holds no numbers"),
    "one missing": (lambda m: {"config.json": m["config.json"]}, "holds no "),
    "one more": (lambda m: m | {"code.py": b"1"}, "holds 'code.py'"),
    "a way out": (lambda m: m | {"../../etc/x": b"1"}, "holds '../../etc/x'"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_model_is_one_line_and_not_loaded(
    kind, members, run, run_command, capsys, monkeypatch
):
    changed, words = HOSTILE[kind]
    _write(run / run_folders.MODEL, changed(members))
    files.write_manifest(run)
    monkeypatch.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("made"))
    assert run_command("export", "--run", run) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and shown.count("\n") == 1
    assert any(word in shown for word in words.split("|")), shown
    assert not (run / "saved_model").exists()


def test_a_small_file_that_unpacks_to_gigabytes_takes_no_memory(members, run):
    zeros = zipfile.ZipInfo("model.weights.h5")
    zeros.compress_type = zipfile.ZIP_DEFLATED
    path = run / run_folders.MODEL
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata.json", "config.json"):
            archive.writestr(name, members[name])
        with archive.open(zeros, "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    with pytest.raises(errors.BadInput, match="bytes would unpack to 31"):
        run_folders.load_model(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_what_is_no_zip_file_or_holds_one_twice_is_refused(members, run, recwarn):
    path = run / run_folders.MODEL
    for content in (b"", b"PK", b"no zip file" * 100):
        path.write_bytes(content)
        with pytest.raises(errors.BadInput, match="is no zip file"):
            run_folders.load_model(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        _write(path, members, ("config.json", b"{}"))
    with pytest.raises(errors.BadInput, match="one member twice"):
        run_folders.load_model(path)


def test_a_model_with_another_hash_is_refused(whole, run, run_command, capsys):
    shutil.copy(whole, run / run_folders.MODEL)
    files.write_manifest(run)
    content = bytearray((run / run_folders.MODEL).read_bytes())
    content[len(content) // 2] ^= 1
    (run / run_folders.MODEL).write_bytes(content)
    assert run_command("export", "--run", run) == 2
    assert "model.keras: differs from its SHA-256" in capsys.readouterr().err


def test_what_training_writes_is_loaded_and_packed_once_more_too(whole, members, run):
    packed = run / run_folders.MODEL
    _write(packed, members, packed=True)
    images = np.zeros((1, 32, 32, 1), np.uint8)
    answers = [run_folders.load_model(path)(images) for path in (whole, packed)]
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize(
    ("name", "policy", "with_map"),
    [
        ("resnext26_32x4d", "float32", True),
        ("wide_resnet26_2", "mixed_bfloat16", False),
    ],
)
def test_as_many_weights_are_needed_as_there_are(name, policy, with_map):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = classifier.build(name, image_size=64, channels=3)
    finally:
        keras.config.set_dtype_policy(before)
    if with_map:
        model = classifier.as_kept(classifier.with_map(model))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    model_file._check_classes(config)
    layers = config["config"]["layers"]
    assert model_file._weights_needed(layers) == model.count_params()
