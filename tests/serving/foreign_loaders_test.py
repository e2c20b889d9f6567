"""Every kind of SavedModel, asked by programs that are not ours."""

import base64
import csv
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from nexperia_tf import errors, files, sizes
from nexperia_tf.models import backbones, classifier, folding
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export, graphs

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
FOREIGN = pathlib.Path(__file__).parent / "foreign"
LIBRARY = pathlib.Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
TINY = {  # one family each, by the name of a real one
    "resnet26_quarter": backbones.Shape((1, 1), planes=(4, 4), stem=4),
    "resnext26_32x4d": backbones.Shape((1, 1), 2, 32, planes=(8, 8), stem=4),
    "wide_resnet26_2": backbones.Shape((1, 1), 1, 128, planes=(4, 4), stem=4),
}
DRAWN = ("--drawn", ".5", "--drawn-only", "--drawn-look", "cracks", "--drawn-map", "1")
RUNS = {  # name: backbone and flags; a family, a precision, a colour each
    "resnet": ("resnet26_quarter", "--standardise", "picture"),
    "resnext": ("resnext26_32x4d", "--precision", "mixed_bfloat16", *DRAWN),
    "init": ("resnext26_32x4d", "--init", "runs/resnext", *DRAWN),
    "wide": ("wide_resnet26_2",),
}
COLOUR = "wide"
MAPPED = ("resnext", "init", "logit-mean", "bfloat16")  # all of whose members do
SIDE = 4  # of a map: 32 pixels in steps of 8
ENSEMBLES = {  # name: members and method
    "mean": (("runs/resnet", "runs/resnext"), ("mean",)),
    "logit-mean": (("runs/resnext", "runs/init"), ("logit-mean",)),
    "weighted": (("runs/resnet", "runs/init"), ("weights", "weights.json")),
    "nested": (("models/mean", "models/weighted", "runs/init"), ("mean",)),
}
KINDS = {name: f"runs/{name}" for name in RUNS}
KINDS |= {name: f"models/{name}" for name in ENSEMBLES}
KINDS["mixed_float16"] = "models/mixed_float16"
KINDS["bfloat16"] = "models/bfloat16"


@pytest.fixture(scope="module")
def place(tmp_path_factory, run_command):
    """A folder with `runs`, `models` and what they were made of."""
    place = tmp_path_factory.mktemp("serving")
    rng = np.random.default_rng(0)
    for name, low in (("ok", 0), ("scratch", 60)):
        for i in range(30):
            size = (int(rng.integers(24, 48)), 32)
            pixels = rng.integers(low, 196 + low, (*size, 3)).astype(np.uint8)
            for kind in ("grey", "colour"):
                path = place / kind / name / f"{i:02}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels if kind == "colour" else pixels[..., 0]).save(
                    path
                )
    weights = {"of": "logits", "weights": {"resnet": 2, "init": 0.5}, "bias": -0.25}
    files.write_json(place / "weights.json", weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        for name, shape in TINY.items():
            patch.setitem(backbones.BACKBONES, name, shape)
        for name, (backbone, *flags) in RUNS.items():
            argv = [
                "--data",
                _data(name),
                "--out",
                f"runs/{name}",
                "--backbone",
                backbone,
            ]
            argv += ["--image-size", "32", "--batch-size", "8", "--epochs", "1"]
            argv += ["--recipe", "plain", "--learning-rate", ".01"]
            assert run_command("train", *argv, *flags) == 0
        for name, (members, method) in ENSEMBLES.items():
            argv = [*members, "--method", *method, "--out", f"models/{name}"]
            assert run_command("ensemble", *argv) == 0
        argv = ["--run", "runs/init", "--precision", "bfloat16"]
        assert run_command("export", *argv, "--out", "models/bfloat16") == 0
    _publish_mixed_float16(place / "models" / "mixed_float16")
    return place


def _publish_mixed_float16(base: pathlib.Path) -> None:
    # Untrained: a float16 convolution takes minutes on a processor.
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier.build(TINY["resnext26_32x4d"], image_size=32, channels=1)
    finally:
        keras.config.set_dtype_policy(before)
    for layer in model.layers:  # scores that differ, as a trained network's
        layer.set_weights([3 * value for value in layer.get_weights()])
    export.publish(
        model,
        base,
        backbone="tiny",
        calibration=run_folders.Calibration(temperature=1.5, threshold=0.3),
    )


@pytest.fixture(scope="module")
def expected(place, run_command):
    """What `predict` says: `{kind: {picture: (score, label)}}`."""
    found = {}
    for kind, folder in KINDS.items():
        out = place / f"{kind}.csv"
        argv = [place / folder, place / _data(kind), "--out", out]
        assert run_command("predict", *argv) == 0
        with open(out) as file:
            rows = list(csv.DictReader(file))
        found[kind] = {r["path"]: (float(r["score"]), r["label"]) for r in rows}
        assert len({score for score, _ in found[kind].values()}) > 30, kind
    return found


def _data(kind: str) -> str:
    return "colour" if kind == COLOUR else "grey"


def _meta_graph(version: pathlib.Path):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((version / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    return graph


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _request(version: pathlib.Path, signature: str, tensor) -> dict:
    """For tests/foreign: one request with the graph's names of all that is in it."""
    definition = _meta_graph(version).signature_def[signature]
    ((name, fed),) = definition.inputs.items()
    request = {"signature": signature, "input": name, "feed": fed.name}
    request["fetch"] = {key: one.name for key, one in definition.outputs.items()}
    if isinstance(tensor, list):
        return request | {"strings": [_text(content) for content in tensor]}
    return request | {"pixels": _text(tensor.tobytes()), "shape": list(tensor.shape)}


def _warmup(version: pathlib.Path) -> list[dict]:
    """The recorded requests, as they stand."""
    requests = []
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        ((_, proto),) = log.inputs.items()
        tensor = tf.make_ndarray(proto)
        tensor = tensor.tolist() if tensor.dtype == object else tensor
        requests.append(_request(version, log.model_spec.signature_name, tensor))
    return requests


@pytest.fixture(scope="module")
def jobs(place, expected):
    """Requests for every kind: warm-up, one, many, none, and each form of input."""
    found = []
    for kind, folder in KINDS.items():
        version = export.find(place / folder)
        data = place / _data(kind)
        contents = [(data / name).read_bytes() for name in expected[kind]]
        pixels = [tf.io.decode_png(content).numpy()[None] for content in contents[:2]]
        requests = [
            *_warmup(version),
            *(_request(version, "serving_default", c) for c in (contents, [])),
            *(_request(version, "image_pixels", p) for p in (*pixels, pixels[0][:0])),
        ]
        refused = [_request(version, "serving_default", [contents[0], b"no picture"])]
        job = {"folder": str(version), "requests": requests, "refused": refused}
        found.append(job)
    path = place / "jobs.json"
    path.write_text(json.dumps(found))
    return path


def _asked(
    program: str, *arguments, cwd: pathlib.Path, **environment: str
) -> list[list[dict]]:
    environment = os.environ | {"PYTHONPATH": ""} | environment
    done = subprocess.run(
        [sys.executable, "-I", FOREIGN / program, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def _check(answers: list[list[dict]], expected: dict) -> None:
    assert len(answers) == len(KINDS)
    for kind, (*warmed, all_bytes, no_bytes, one, two, no_pixels) in zip(
        KINDS, answers
    ):
        score, label = zip(*expected[kind].values())
        np.testing.assert_allclose(all_bytes["score"], score, atol=1e-6, rtol=0)
        assert all_bytes["label"] == list(label), kind
        for i, answer in enumerate((one, two)):
            assert answer["score"] == pytest.approx([score[i]], abs=1e-6), kind
            assert answer["label"] == [label[i]]
        nothing = {"score": [], "label": []} | ({"map": []} if kind in MAPPED else {})
        assert no_bytes == no_pixels == nothing
        _check_maps(kind, all_bytes, one, two)
        assert len(warmed) == 2
        assert warmed[0]["score"] == pytest.approx(warmed[1]["score"], abs=1e-6)


def _check_maps(kind: str, many: dict, *singles: dict) -> None:
    """Maps are there where they should be, as probabilities of their own picture."""
    assert ("map" in many) == (kind in MAPPED), kind
    if kind not in MAPPED:
        return
    places = np.array(many["map"])
    assert places.shape == (len(many["score"]), SIDE, SIDE)
    assert 0 <= places.min() < places.max() <= 1
    for i, answer in enumerate(singles):
        np.testing.assert_allclose(answer["map"], places[[i]], atol=1e-6, rtol=0)


def test_a_tf1_session_gives_our_verdicts(jobs, expected, tmp_path):
    _check(_asked("session.py", jobs, cwd=tmp_path), expected)


def test_bfloat16_is_served_without_onednn(jobs, expected, tmp_path):
    (kind,) = (
        job for job in json.loads(jobs.read_text()) if "bfloat16" in job["folder"]
    )
    (tmp_path / "jobs.json").write_text(json.dumps([kind]))
    asked = ("session.py", tmp_path / "jobs.json")
    ((_, _, answer, *_),) = _asked(*asked, cwd=tmp_path, TF_ENABLE_ONEDNN_OPTS="0")
    scores = [score for score, _ in expected["bfloat16"].values()]
    np.testing.assert_allclose(answer["score"], scores, atol=0.02, rtol=0)


@pytest.mark.skipif(not LIBRARY.is_file(), reason="only Linux wheels hold the library")
def test_the_loader_of_tensorflow_serving_gives_our_verdicts(jobs, expected, tmp_path):
    _check(_asked("c_api.py", LIBRARY, jobs, cwd=tmp_path), expected)


def _documented(start: str) -> str:
    """The one command of README and docs/ that starts so, as it stands."""
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    found = re.findall(rf"^    ({re.escape(start)}.*)$", text, re.MULTILINE)
    assert len(found) == 1, found
    return found[0]


def _typed(command: str, cwd: pathlib.Path) -> str:
    tools = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=cwd,
        env=os.environ | {"PATH": tools, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _packed(folder: pathlib.Path, kind: str, place: pathlib.Path, name: str) -> None:
    """What the documented command takes: a version in runs/mine, bytes in one.npy."""
    mine = folder / "runs" / "mine" / "saved_model" / "1"
    shutil.copytree(export.find(place / KINDS[kind]), mine)
    content = (place / _data(kind) / name).read_bytes()
    np.save(folder / "one.npy", np.array([content], object))


def _check_shown(shown: str, score: float, label: str) -> None:
    assert f"Result for output key label:\n[b'{label}']" in shown
    (said,) = re.findall(r"output key score:\n\[(.*)\]", shown)
    assert float(said) == pytest.approx(score, abs=1e-6)


def test_saved_model_cli_gives_our_verdicts_of_every_kind(place, expected, tmp_path):
    for kind in KINDS:
        _packed(tmp_path / kind, kind, place, next(iter(expected[kind])))
    folders = [tmp_path / kind for kind in KINDS]
    line = _documented("saved_model_cli run")
    answers = _asked("command_line.py", line, *folders, cwd=tmp_path)
    assert len(answers) == len(KINDS)
    for kind, shown in zip(KINDS, answers):
        _check_shown(shown, *next(iter(expected[kind].values())))


def test_saved_model_cli_as_docs_print_it(place, expected, tmp_path):
    name, (score, label) = next(iter(expected["nested"].items()))
    _packed(tmp_path, "nested", place, name)
    (tmp_path / "one.npy").unlink()
    shutil.copy(place / _data("nested") / name, tmp_path / "PICTURE")
    _typed(_documented('python -c "import sys, numpy'), tmp_path)
    _check_shown(_typed(_documented("saved_model_cli run"), tmp_path), score, label)


def test_the_rest_request_of_docs_holds_the_pictures(place, tmp_path):
    picture = next((place / "grey").rglob("*.png"))
    shutil.copy(picture, tmp_path / "PICTURE")
    _typed(_documented('python -c "import base64'), tmp_path)
    inputs = json.loads((tmp_path / "request.json").read_text())["inputs"]
    assert list(inputs) == ["image_bytes"]
    sent = [base64.b64decode(one["b64"]) for one in inputs["image_bytes"]]
    assert sent == [picture.read_bytes()] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_model_is_what_the_contract_says(kind, place):
    version = export.find(place / KINDS[kind])
    graph = _meta_graph(version)
    assert list(graph.meta_info_def.tags) == ["serve"]
    assert (version / "fingerprint.pb").is_file()
    channels = 3 if kind == COLOUR else 1
    shapes = {"image_bytes": [-1], "image_pixels": [-1, -1, -1, channels]}
    for signature, name in (
        ("serving_default", "image_bytes"),
        ("image_pixels", "image_pixels"),
    ):
        found = graph.signature_def[signature]
        assert found.method_name == "tensorflow/serving/predict"
        shape = found.inputs[name].tensor_shape
        assert [dim.size for dim in shape.dim] == shapes[name]
        assert list(found.inputs) == [name]
        outputs = {key: tf.as_dtype(one.dtype) for key, one in found.outputs.items()}
        wanted = {"score": tf.float32, "label": tf.string}
        assert outputs == wanted | ({"map": tf.float32} if kind in MAPPED else {})
        if kind in MAPPED:
            sizes_of = [d.size for d in found.outputs["map"].tensor_shape.dim]
            assert sizes_of == [-1, SIDE, SIDE]
    functions = graph.graph_def.library.function
    assert functions
    assert not [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]


def _tracking_wrappers(patch):
    """What was once published: Keras' variables tracked, not those the graph reads."""
    fold, save, models = folding.fold_batch_norm, tf.saved_model.save, []

    def folded(model, **knobs):
        models.append(fold(model, **knobs))
        return models[-1]

    def saved(graph, path, signatures):
        graph.variables_read = models[-1].variables
        save(graph, path, signatures)

    patch.setattr(folding, "fold_batch_norm", folded)
    patch.setattr(tf.saved_model, "save", saved)


def _other_weights(patch):
    save = tf.saved_model.save

    def saved(graph, path, signatures):
        values = [variable.numpy() for variable in graph.variables_read]
        for variable, value in zip(graph.variables_read, values):
            variable.assign(value + 0.1)
        save(graph, path, signatures)
        for variable, value in zip(graph.variables_read, values):
            variable.assign(value)

    patch.setattr(tf.saved_model, "save", saved)


def _changed_after(change):
    """Has `change(folder)` befall what was saved."""

    def broken(patch):
        save = tf.saved_model.save

        def saved(graph, path, signatures):
            save(graph, path, signatures)
            change(pathlib.Path(path))

        patch.setattr(tf.saved_model, "save", saved)

    return broken


def _threshold_elsewhere(patch):
    save = tf.saved_model.save

    def saved(graph, path, signatures):
        other = graphs.signatures(graphs.answerer(graph), 32, 1, 1e-9)
        save(graph, path, other)

    patch.setattr(tf.saved_model, "save", saved)


def _only_one_signature(patch):
    save = tf.saved_model.save

    def saved(graph, path, signatures):
        save(graph, path, {"serving_default": signatures["serving_default"]})

    patch.setattr(tf.saved_model, "save", saved)


def _lost_weights(folder):
    for path in (folder / "variables").iterdir():
        path.unlink()


def _other_tag(folder):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    saved.meta_graphs[0].meta_info_def.tags[:] = ["train"]
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


def _unknown_op(folder):
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    # In all of them: which comes first, and whether it is called, is not fixed.
    for function in saved.meta_graphs[0].graph_def.library.function:
        function.node_def[0].op = "OfSomebodysOwn"
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


def _refused(run, *out, run_command, capsys) -> str:
    """What is said of an export that nothing may be left of."""
    before = sorted(run.rglob("*"))
    assert run_command("export", "--run", run, *out) == 2
    assert sorted(run.rglob("*")) == before
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("error: ") and "\n" not in shown
    assert "not published" in shown
    return shown


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (_other_weights, "warm-up request is answered with"),
        (_threshold_elsewhere, "is answered with labels"),
        (_only_one_signature, "image_pixels"),
        (_changed_after(_lost_weights), "variables"),
        (_changed_after(_other_tag), "no graph is tagged serve"),
        (_changed_after(_unknown_op), "OfSomebodysOwn"),
    ],
)
def test_what_no_server_could_use_is_not_published(
    broken, words, place, run_command, tmp_path, monkeypatch, capsys
):
    broken(monkeypatch)
    asked = {"run_command": run_command, "capsys": capsys}
    out = ("--out", tmp_path / "new" / "base")
    assert words in _refused(place / "runs" / "init", *out, **asked)
    assert not (tmp_path / "new").exists()


def test_a_run_keeps_its_versions_when_the_next_is_refused(
    place, run_command, monkeypatch, capsys
):
    _tracking_wrappers(monkeypatch)
    run = place / "runs" / "init"
    shown = _refused(run, run_command=run_command, capsys=capsys)
    assert f"{run / 'saved_model' / '2'}: not published" in shown
    assert "Could not find variable" in shown
    files.verify_manifest(run)


def _through_python(images):
    return tf.numpy_function(lambda x: x.mean((1, 2, 3)), [images], tf.double)


@tf.function(jit_compile=True, autograph=False)
def _through_xla(images):
    return tf.reduce_mean(tf.cast(images, tf.float32), axis=(1, 2, 3))


@pytest.mark.parametrize(
    ("logit", "words"),
    [
        (lambda images: tf.cast(_through_python(images), tf.float32), "calls Python"),
        (_through_xla, "_XlaMustCompile"),
    ],
)
def test_a_graph_that_needs_more_than_a_server_has_is_refused(logit, words, tmp_path):
    with pytest.raises(errors.BadInput, match=words):
        export.publish_logit(
            logit,
            tmp_path / "base",
            image_size=sizes.Size(32, 32),
            channels=1,
            calibration=run_folders.Calibration(),
            facts={},
        )
    assert not (tmp_path / "base").exists()
