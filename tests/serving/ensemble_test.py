import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from nexperia_tf import errors, files, predictions
from nexperia_tf.data import manifest
from nexperia_tf.data.source import DataSource
from nexperia_tf.evaluation import candidates
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.serving import combination, ensemble, export
from nexperia_tf.serving import members as opening
from nexperia_tf.statistics import calibration, choices, metrics

pytestmark = pytest.mark.slow

COMMAND = "ensemble"
PICTURES = 200


@pytest.fixture(scope="module")
def members(publish_tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    for seed, name in enumerate("abc"):
        publish_tiny(folder / name / "saved_model", seed=seed, temperature=1 + seed / 2)
    return [folder / name for name in "abc"]


@pytest.fixture(scope="module")
def contents():
    """Encoded pictures of several sizes."""
    rng = np.random.default_rng(0)
    sizes = itertools.cycle([(40, 30), (32, 32), (21, 50)])
    pictures = [
        rng.integers(0, rng.integers(2, 256), (*size, 1), np.uint8)
        for _, size in zip(range(PICTURES), sizes)
    ]
    return [tf.io.encode_png(picture).numpy() for picture in pictures]


@pytest.fixture(scope="module")
def singles(members, contents):
    """Scores of each member's own SavedModel, shape `(members, pictures)`."""
    return np.array([export.load(m).score_bytes(contents)[0] for m in members])


@pytest.fixture(scope="module")
def mean(members, run_command, tmp_path_factory):
    out = tmp_path_factory.mktemp("mean") / "ensemble"
    assert run_command(COMMAND, *members, "--method", "mean", "--out", out) == 0
    return out


def test_mean_is_the_mean_of_the_members_saved_models(mean, singles, contents):
    scores, words = export.load(mean).score_bytes(contents)
    np.testing.assert_allclose(scores, singles.mean(axis=0), atol=1e-6)
    assert np.ptp(singles, axis=0).max() > 0.05  # the members do differ
    assert words == run_folders.verdicts(scores, 0.5)


def test_bytes_and_pixels_agree(mean, contents):
    served = export.load(mean)
    pixels = tf.stack([tf.io.decode_png(content) for content in contents[::3]])
    answer = served.signature("image_pixels")(image_pixels=pixels)
    by_bytes, _ = served.score_bytes(contents[::3])
    np.testing.assert_array_equal(answer["score"].numpy(), np.float32(by_bytes))


def test_the_graph_forces_no_xla_on_a_server(mean):
    graph = saved_model_pb2.SavedModel()
    graph.ParseFromString((export.find(mean) / "saved_model.pb").read_bytes())
    functions = graph.meta_graphs[0].graph_def.library.function
    assert functions
    assert not [f.signature.name for f in functions if f.attr["_XlaMustCompile"].b]


def test_the_ensemble_is_whole_and_says_what_it_is_made_of(mean):
    version = export.find(mean)
    assert version.name == "1"
    files.verify_manifest(version)
    assert (version / "assets.extra" / "tf_serving_warmup_requests").is_file()
    facts = export.load(mean).facts
    assert [member["name"] for member in facts["members"]] == ["a", "b", "c"]
    assert (facts["temperature"], facts["threshold"]) == (1, 0.5)


def test_an_ensemble_can_be_a_member(mean, members, contents, singles, tmp_path):
    both = opening.open_members([mean, members[0]])
    combined = combination.asked(("mean",), [member.name for member in both])
    ensemble.publish(both, combined, tmp_path, in_force=run_folders.Calibration())
    scores, _ = export.load(tmp_path).score_bytes(contents)
    expected = (singles.mean(axis=0) + singles[0]) / 2
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def _maps(folder, contents):
    answer = export.load(folder).signature("serving_default")(
        image_bytes=tf.constant(contents)
    )
    return answer["map"].numpy() if "map" in answer else None


def test_the_map_is_the_mean_where_all_members_have_one(
    members, publish_tiny, contents, run_command, tmp_path
):
    mapped = [tmp_path / name for name in "de"]
    for seed, folder in enumerate(mapped):
        publish_tiny(folder, seed=seed, with_map=True)
    both, nested, mixed = (tmp_path / name for name in ("both", "nested", "mixed"))
    weights = {"of": "logits", "weights": {"d": 3, "e": 1}}
    (tmp_path / "weights.json").write_text(json.dumps(weights))
    method = ("--method", "weights", tmp_path / "weights.json")
    assert run_command(COMMAND, *mapped, *method, "--out", both) == 0
    assert run_command(COMMAND, both, mapped[0], "--out", nested) == 0
    assert run_command(COMMAND, *mapped, members[0], "--out", mixed) == 0
    first, second = (_maps(folder, contents) for folder in mapped)
    assert first.shape == (PICTURES, 1, 1) and np.abs(first - second).max() > 1e-3
    mean = (first + second) / 2
    np.testing.assert_allclose(_maps(both, contents), mean, atol=1e-6)
    np.testing.assert_allclose(_maps(nested, contents), (mean + first) / 2, atol=1e-6)
    assert _maps(mixed, contents) is None
    logits = calibration.logits(
        np.array([export.load(m).score_bytes(contents)[0] for m in mapped])
    )
    scores, _ = export.load(both).score_bytes(contents)
    expected = run_folders.probability(np.dot([3, 1], logits))
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (
            "logit-mean",
            lambda s: run_folders.probability(calibration.logits(s).mean(axis=0)),
        ),
        (
            {"of": "logits", "weights": {"c": 0, "a": 2, "b": 0.5}, "bias": -1},
            lambda s: run_folders.probability(
                np.dot([2, 0.5, 0], calibration.logits(s)) - 1
            ),
        ),
        (
            {"of": "scores", "weights": {"c": 0, "a": 3, "b": 1}},
            lambda s: np.dot([0.75, 0.25, 0], s),
        ),
    ],
)
def test_other_methods_combine_as_they_say(
    method, expected, members, singles, contents, run_command, tmp_path
):
    words = [method]
    if isinstance(method, dict):
        (tmp_path / "weights.json").write_text(json.dumps(method))
        words = ["weights", tmp_path / "weights.json"]
    out = tmp_path / "out"
    assert run_command(COMMAND, *members, "--method", *words, "--out", out) == 0
    scores, _ = export.load(out).score_bytes(contents)
    np.testing.assert_allclose(scores, expected(singles), atol=1e-5)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"image_size": 64}, "image_size is 64"),
        ({"channels": 3}, "channels is 3"),
    ],
)
def test_members_of_other_preprocessing_are_refused(
    other, words, members, publish_tiny, run_command, tmp_path, capsys
):
    publish_tiny(tmp_path / "other", **other)
    out = tmp_path / "out"
    assert run_command(COMMAND, members[0], tmp_path / "other", "--out", out) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_members_of_other_label_order_are_refused(members, publish_tiny, tmp_path):
    version = publish_tiny(tmp_path)
    facts = files.read_json(version / export.FACTS)
    files.write_json(version / export.FACTS, facts | {"labels": ["defect", "good"]})
    files.write_manifest(version)
    with pytest.raises(errors.BadInput, match=r"labels is \['defect', 'good'\]"):
        opening.open_members([members[0], tmp_path])


def test_a_model_exported_by_an_older_version_is_refused(members, mean, tmp_path):
    old = tmp_path / "1"
    tf.saved_model.save(tf.Module(), str(old))
    (old / export.FACTS).parent.mkdir()
    files.write_json(old / export.FACTS, export.load(mean).facts)
    files.write_manifest(old)
    with pytest.raises(errors.BadInput, match="older version, without its logit"):
        opening.open_members([members[0], tmp_path])


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--method", "median"], "--method"),
        (["--method", "weights"], "--method"),
        (["--max-escape", ".01"], "needs run folders"),
        (["--recalibrate"], "--recalibrate: needs run folders"),
    ],
)
def test_bad_flags_are_one_line(words, shown, members, run_command, tmp_path, capsys):
    out = tmp_path / "out"
    assert run_command(COMMAND, *members, *words, "--out", out) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error
    assert shown in error
    assert not out.exists()


def _carried(folder):
    """The number of choices in an export, as nexperia evaluate reads it."""
    facts = export.load(folder).facts
    assert choices.of_export(facts, "calibration").count == 1
    assert choices.of_export(facts, "validation").count == facts["chose_among"]
    return facts["chose_among"]


def _as_run(folder, publish_tiny, *, scores, labels):
    """A run folder as far as an ensemble reads it."""
    publish_tiny(folder / "saved_model")
    files.write_json(folder / "config.json", {"schema": 1})
    run_folders.write_calibration(
        folder / "calibration.json", run_folders.Calibration()
    )
    (folder / "predictions").mkdir()
    names = [f"d{i}" for i in range(len(scores))]
    table = predictions.Predictions(image_id=names, label=labels, score=scores)
    predictions.write(folder / "predictions" / "validation.csv", table)
    files.write_csv(folder / run_folders.HISTORY, ["epoch"], [[1]])
    files.write_manifest(folder)
    return folder


def test_the_runs_validation_split_decides_temperature_and_threshold(
    publish_tiny, run_command, tmp_path, capsys
):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 800))  # their sum is calibrated, but not their mean
    labels = (rng.random(800) < run_folders.probability(logits.sum(axis=0))).astype(int)
    folders = [
        _as_run(
            tmp_path / name,
            publish_tiny,
            scores=run_folders.probability(values),
            labels=labels,
        )
        for name, values in zip("ab", logits)
    ]
    out = tmp_path / "out"
    words = ["--method", "logit-mean", "--max-escape", ".02", "--out", out]
    assert run_command(COMMAND, *folders, *words) == 0
    facts = export.load(out).facts
    assert facts["temperature"] == pytest.approx(0.5, abs=0.1)
    assert "--recalibrate" not in capsys.readouterr().out
    mean = export.load(out).calibration.scores(logits.mean(axis=0))
    escaped = np.mean(mean[labels == 1] < facts["threshold"])
    assert 0 < escaped < 0.02
    words = ["--max-escape", ".001", "--out", tmp_path / "none"]
    assert run_command(COMMAND, *folders, *words) == 2
    assert "; 2995 are needed" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_the_members_epochs_multiply_and_fitted_weights_are_refused(
    publish_tiny, run_command, tmp_path, capsys
):
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], 700)
    folders = []
    for name, epochs in (("a", 5), ("b", 4)):
        scores = run_folders.probability(rng.normal(size=1400) + 4 * labels - 2)
        folder = tmp_path / name
        _as_run(folder, publish_tiny, scores=scores, labels=labels)
        files.write_csv(
            folder / run_folders.HISTORY, ["epoch"], [[i] for i in range(epochs)]
        )
        files.write_manifest(folder)
        folders.append(folder)
    ask = ["--max-escape", ".01"]
    assert run_command(COMMAND, *folders, *ask, "--out", tmp_path / "one") == 0
    out = capsys.readouterr().out
    assert "700 defects of the members' common validation, each its own group" in out
    assert "they chose among 20 combinations of epochs" in out
    assert "20 combinations" in export.load(tmp_path / "one").calibration.words
    assert _carried(tmp_path / "one") == 20
    again = ["--out", tmp_path / "again"]  # of an ensemble's export, which notes it
    noted = [tmp_path / "one", folders[0], *again]
    assert run_command(COMMAND, *noted) == 0
    assert _carried(tmp_path / "again") == 100
    strict = ["--max-escape", ".005", "--out", tmp_path / "two"]
    assert run_command(COMMAND, *folders, *strict) == 2
    line = capsys.readouterr().err
    assert (
        "that chose among 20 combinations of epochs" in line
        and "1196 are needed" in line
    )
    weights = tmp_path / "weights.json"
    weights.write_text('{"of": "logits", "weights": {"a": 0.9, "b": 0.4}}')
    method = ["--method", "weights", weights]
    assert (
        run_command(COMMAND, *folders, *method, *ask, "--out", tmp_path / "three") == 2
    )
    line = capsys.readouterr().err
    assert "keep devices that choose nothing (split calibration)" in line
    assert run_command(COMMAND, *folders, *method, "--out", tmp_path / "free") == 0
    assert _carried(tmp_path / "free") is None
    # With such devices any weights will do.
    for folder in folders:
        tables = folder / "predictions"
        (tables / "calibration.csv").write_bytes(
            (tables / "validation.csv").read_bytes().replace(b"\nd", b"\nc")
        )
        files.write_manifest(folder)
    assert (
        run_command(COMMAND, *folders, *method, *ask, "--out", tmp_path / "three") == 0
    )
    assert "common calibration, each its own group; they chose nothing else" in (
        capsys.readouterr().out
    )


def _lists(folder, trained, pictures):
    """Lets a run list its pictures, and some of them as trained on."""
    rows = [
        manifest.Row(name, f"{name}.png", pixel_sha256=f"content {name}")
        for name in pictures
    ]
    manifest.write(folder / run_folders.PICTURES, rows)
    lines = (
        training_pictures.Line(f"content {n}", training_pictures.PICTURE, folder.name)
        for n in trained
    )
    training_pictures.write(
        folder / training_pictures.TRAINED_ON,
        training_pictures.TrainingSet(tuple(lines)),
    )
    files.write_manifest(folder)


def test_devices_that_a_member_was_trained_on_guarantee_nothing(
    publish_tiny, run_command, tmp_path, capsys
):
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], 400)
    names = [f"d{i}" for i in range(800)]
    folders = []
    for name, trained in (("a", ["x"]), ("b", ["d3", "d7"])):
        scores = run_folders.probability(rng.normal(size=800) + 4 * labels - 2)
        folder = _as_run(tmp_path / name, publish_tiny, scores=scores, labels=labels)
        _lists(folder, trained, names[:-1])  # one device is not on its list
        folders.append(folder)
    said = (
        "2 of the calibration devices, or their twins, were trained on; whether 1 of "
        "the calibration devices was trained on is not known"
    )
    ask = ["--max-escape", ".05", "--out", tmp_path / "one"]
    assert run_command(COMMAND, *folders, *ask) == 2
    line = capsys.readouterr().err
    assert said in line and not (tmp_path / "one").exists()
    assert run_command(COMMAND, *folders, "--out", tmp_path / "two") == 0
    assert f"warning: {said}." in capsys.readouterr().out
    _lists(folders[1], ["x"], names)
    assert run_command(COMMAND, *folders, *ask) == 0
    assert "were trained on" not in capsys.readouterr().out


def test_a_mean_stays_a_mean_and_says_what_it_lacks_as_probability(
    publish_tiny, run_command, tmp_path, capsys
):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 800)) - 1
    labels = (rng.random(800) < run_folders.probability(logits.sum(axis=0))).astype(int)
    scores = [calibration.fit(one, labels).scores(one) for one in logits]
    folders = [
        _as_run(tmp_path / name, publish_tiny, scores=score, labels=labels)
        for name, score in zip("ab", scores)
    ]
    mean = np.mean(scores, axis=0)
    plain = ["--method", "mean", "--out", tmp_path / "plain"]
    assert run_command(COMMAND, *folders, *plain) == 0
    now = metrics.log_loss(labels, mean)
    shown = re.search(
        r"Log loss on the common validation ([.\d]+); --recalibrate would make it "
        r"([.\d]+), by temperature ([.\d]+) and offset ([-+.\d]+)",
        capsys.readouterr().out,
    )
    before, after, temperature, offset = map(float, shown.groups())
    assert before == pytest.approx(now, abs=1e-4)
    assert export.load(tmp_path / "plain").calibration == run_folders.Calibration()
    again = ["--recalibrate", "--out", tmp_path / "again"]
    assert run_command(COMMAND, *folders, *again) == 0
    found = export.load(tmp_path / "again").calibration
    assert found.temperature == pytest.approx(temperature, rel=1e-2) and temperature < 1
    assert found.offset == pytest.approx(offset, rel=1e-2)
    mended = metrics.log_loss(labels, calibration.rescaled(mean, found))
    assert mended == pytest.approx(after, abs=1e-4) and mended < now - 0.01
    assert f"{mended:.4f}" in capsys.readouterr().out
    # What is said is what is served.
    pixels = rng.integers(0, 256, (4, 32, 32, 1), np.uint8)
    answers = [
        export.load(tmp_path / name).signature("image_pixels")(image_pixels=pixels)
        for name in ("plain", "again")
    ]
    plain, again = (answer["score"].numpy() for answer in answers)
    expected = calibration.rescaled(plain, found)
    np.testing.assert_allclose(again, expected, rtol=1e-4)


FOREIGN = """
import json, sys, tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
words = []
for start in range(0, len(sys.argv[2:]), 50):
    images = [open(name, "rb").read() for name in sys.argv[2:][start : start + 50]]
    words += serve(image_bytes=tf.constant(images))["label"].numpy().tolist()
assert not [name for name in sys.modules if name.startswith("nexperia")]
print(json.dumps([word.decode() for word in words]))
"""


def test_a_process_without_us_gives_500_files_evaluates_verdicts(
    mean, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)  # where evaluation keeps its records
    rng = np.random.default_rng(1)
    for name in [f"{i:03}" for i in range(500)]:
        label = ("ok", "defect")[int(name) % 2]
        (tmp_path / "raw" / label).mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, rng.integers(2, 256), (32, 32, 1), np.uint8)
        path = tmp_path / "raw" / label / f"{name}.png"
        path.write_bytes(tf.io.encode_png(noise).numpy())
    table = sorted(
        path.relative_to(tmp_path / "raw") for path in tmp_path.rglob("*.png")
    )
    lines = [f"{path},{path.parent.name},test" for path in table]
    (tmp_path / "raw" / "labels.csv").write_text(
        "\n".join(["path,label,split", *lines])
    )
    opened = candidates.load(
        mean, split="test", named=DataSource(str(tmp_path / "raw"))
    )
    scored = opened.subject.scored
    names = [str(tmp_path / "raw" / f"{name}.png") for name in scored.image_id]
    shown = subprocess.run(
        [sys.executable, "-c", FOREIGN, str(export.find(mean)), *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    words = json.loads(shown.stdout.splitlines()[-1])
    assert len(words) == 500 and words == run_folders.verdicts(scored.score, 0.5)
    assert 0 < words.count("defect") < 500
