"""Training as a whole, on a network and a folder that cost seconds."""

import contextlib
import csv
import dataclasses
import random
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from nexperia_tf import configs, errors, files, predictions
from nexperia_tf.data import manifest
from nexperia_tf.data.input import batching, pictures
from nexperia_tf.models import backbones
from nexperia_tf.runs import (
    neighbours,
    precision,
    run_folders,
    training_pictures,
)
from nexperia_tf.serving import export
from nexperia_tf.statistics import metrics
from nexperia_tf.training import checkpoints, finish, fitting, loop, losses, monitor

pytestmark = pytest.mark.usefixtures("tiny_backbone")

SHAPE = backbones.Shape((1,), planes=(4,), stem=4)
MAP_SHAPE = (8, 8)  # of pictures of 32x32, by its stride of 4


@pytest.fixture(scope="module")
def tiny_backbone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "tiny", SHAPE)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Noise, of which the defective half is brighter."""
    place = tmp_path_factory.mktemp("training")
    noise = np.random.default_rng(0)
    for name, low in (("good", 0), ("defect", 60)):
        (place / "raw" / name).mkdir(parents=True)
        for i in range(40):
            pixels = noise.integers(low, 196 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(place / "raw" / name / f"{i}.png")
    return configs.of(
        backbone="tiny",
        weights="none",
        data=str(place / "raw"),
        data_dir=str(place / "data"),
        image_size=32,
        batch_size=8,
        epochs=2,
    )


def trained(config, out, **flags):
    return loop.train(config.changed(out=str(out), **flags))


EVERYTHING = {
    "freeze": "stem",
    "layer_decay": 0.8,
    "balance": "loss",
    "clip_norm": 1.0,
    "accumulate": 2,
    "ema": 0.9,
    "monitor": "partial_auc",
    "checkpoint_steps": 3,
}


@pytest.fixture(scope="module")
def first(config, tmp_path_factory):
    """A run with everything that can be switched on."""
    return trained(config, tmp_path_factory.mktemp("runs") / "first", **EVERYTHING)


def test_its_config_json_tells_the_same_run(first, config):
    again = configs.load(str(first / run_folders.CONFIG))
    assert again == config.changed(**EVERYTHING, precision=again.network.precision)


def test_its_number_format_is_kept_with_its_reason(first, tmp_path):
    made_with = files.read_json(first / run_folders.ENVIRONMENT)["precision"]
    expected = precision.decided("auto")
    assert made_with == dataclasses.asdict(expected)
    payload = files.read_json(first / run_folders.CONFIG)
    assert payload["network"]["precision"] == expected.policy
    assert payload["run"]["precision"] == expected.policy
    # As an older version wrote it, on a machine that took another format.
    payload["network"]["precision"], payload["run"]["precision"] = "auto", "float32"
    files.write_json(tmp_path / "config.json", payload)
    older = configs.load(str(tmp_path / "config.json"))
    assert older.network.precision == "float32"


def test_float16_on_a_processor_is_refused(config, tmp_path, run_command, capsys):
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("a GPU computes float16")
    files.write_json(tmp_path / "c.json", configs.to_json(config, {}))
    argv = ["--config", tmp_path / "c.json", "--precision", "mixed_float16"]
    assert run_command("train", *argv, "--out", tmp_path / "run") == 2
    (shown,) = capsys.readouterr().err.splitlines()
    assert "--precision mixed_float16: there is no GPU" in shown
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number_format", ["float32", "mixed_bfloat16"])
def test_a_resumed_run_ends_to_the_bit_as_it_would_have(
    config, tmp_path, monkeypatch, number_format
):
    flags = {"deterministic": True, "precision": number_format, "ema": 0.9}
    run = trained(config, tmp_path / "run", **flags)
    _check_resumed(config, tmp_path / "resumed", flags, run, monkeypatch)


def test_every_option_goes_with_every_other(first):
    with open(first / run_folders.HISTORY) as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 <= float(row["val_partial_auc"]) <= 1 for row in rows)
    assert (first / run_folders.CURVES).read_bytes().startswith(b"\x89PNG")


def test_a_table_says_what_was_reached(first, capsys):
    finish.print_summary(first)
    shown = capsys.readouterr().out
    assert re.search(r"validation +1\d +\d+ +[01]\.\d{4} +[01]\.\d{3} to", shown)
    assert re.search(r"test +1\d +\d+ +[01]\.\d{4} +[01]\.\d{3} to", shown)
    assert f"Run: {first}" in shown and "SavedModel: " in shown


def test_what_simple_numbers_reach_stands_beside(first, tmp_path, run_command, capsys):
    finish.print_summary(first)
    shown = capsys.readouterr().out
    assert shown.count("\n   baseline ") == 2  # under validation and test
    simple = files.read_json(first / run_folders.METRICS)["baseline"]["splits"]
    assert simple["test"]["auc"]["value"] == 1  # the defective half is brighter
    assert f"test: {simple['test']['said']}" in shown
    table = first / "baseline" / "predictions" / "test.csv"
    assert run_command("evaluate", first, table, "--out", tmp_path / "r") == 0
    assert simple["test"]["said"].removeprefix("the network")[:20] in shown
    found = files.read_json(tmp_path / "r" / "report.json")
    assert found["baseline"]["auc"] == found["runs"][1]["auc"]
    assert found["baseline"]["said"] in (tmp_path / "r" / "report.html").read_text()
    assert "baseline" not in found["runs"][1]
    assert f"  {found['baseline']['said']}" in capsys.readouterr().out


def test_the_first_batch_is_shown(first):
    shown = {}
    for path in (first / "tensorboard" / "train").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            shown |= {value.tag: value.tensor for value in event.summary.value}
    width, height, *pictures = shown["first batch"].string_val
    assert (width, height) == (b"32", b"32")
    assert len(pictures) == 8  # the whole batch, up to 16
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.slow
def test_a_run_starts_from_another_and_keeps_to_its_minutes(first, config, tmp_path):
    # Far less than an epoch takes: one is trained, none begun after it.
    flags = {"init": str(first), "learning_rate": 1e-12, "time_budget": 1e-6}
    second = trained(config, tmp_path / "second", **flags)
    assert len((second / run_folders.HISTORY).read_text().splitlines()) == 1 + 1
    # Its epochs, 1, times the 2 that the run it started from could have kept.
    reached = files.read_json(second / run_folders.METRICS)
    assert reached["validation"]["chose_among"] == 2
    assert export.load(second).facts["chose_among"] == 2
    before = run_folders.load(first).model()
    for one, other in zip(before.weights, run_folders.load(second).model().weights):
        if "moving" not in one.path:
            np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_a_calibration_split_is_scored_and_chooses_nothing(
    config, tmp_path, run_command, capsys
):
    run = trained(config, tmp_path / "run", epochs=1, calibration_share=0.15)
    tables = {path.stem for path in (run / "predictions").iterdir()}
    assert tables == {"validation", "calibration", "test"}
    scored = predictions.read(run / "predictions" / "calibration.csv")
    assert (
        len(scored)
        == files.read_json(run / run_folders.CONFIG)["run"]["splits"]["calibration"]
    )
    others = [
        predictions.read(run / "predictions" / f"{s}.csv")
        for s in ("validation", "test")
    ]
    assert not set(scored.image_id) & set().union(*(o.image_id for o in others))
    assert len(run_folders.load(run).predictions("train")) + len(scored) == 56
    out = tmp_path / "r"
    assert run_command("evaluate", run, "--no-heatmaps", "--out", out) == 0
    point = files.read_json(out / "report.json")["operating_point"]
    assert point["calibrated_on"] == "run calibration" and point["choices"] == 1
    assert "of run calibration" in capsys.readouterr().out


@pytest.mark.slow
def test_calibration_devices_that_the_first_run_learned_from_guarantee_nothing(
    first, config, tmp_path, run_command, capsys
):
    flags = {"calibration_share": 0.15, "keep_splits": "none", "init": str(first)}
    run = trained(config, tmp_path / "run", epochs=1, **flags)
    argv = ("--no-heatmaps", "--max-escape", ".5", "--out", tmp_path / "r")
    assert run_command("evaluate", run, *argv) == 2
    assert re.search(
        "refused: run: .* [0-9]+ of the calibration devices, or their twins, were "
        "trained on",
        capsys.readouterr().err,
    )


def test_the_epochs_that_validation_judged_are_corrected_for(
    first, run_command, tmp_path, capsys
):
    out = tmp_path / "r"
    assert run_command("evaluate", first, "--no-heatmaps", "--out", out) == 0
    point = files.read_json(out / "report.json")["operating_point"]
    assert point["calibrated_on"] == "first validation" and point["choices"] == 2
    assert "they chose among 2 epochs" in capsys.readouterr().out


def test_flags_decide_how_far_pictures_are_changed(config, tmp_path, monkeypatch):
    light = {"brightness": 0.1, "contrast": 0.3, "tone": 0.4}
    asked = {"rotation": 3.0, "zoom": 0.2, **light}
    seen = {}

    class EnoughSeen(Exception):
        pass

    def batches(*_, changes, **__):
        seen.update(dataclasses.asdict(changes.policy))
        raise EnoughSeen

    monkeypatch.setattr(fitting.batching, "training", batches)
    with pytest.raises(EnoughSeen):
        trained(config, tmp_path / "x", flip="both", **asked)
    assert seen == {"flip": "both", "crop": False, **asked}


@pytest.mark.slow
def test_the_recipe_of_the_study_can_be_told(config, tmp_path):
    run = trained(
        config,
        tmp_path / "x",
        optimizer="sgd",
        schedule="step",
        augment="crop",
        balance="sampling",
        monitor="accuracy",
    )
    with open(run / run_folders.HISTORY) as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row["val_accuracy"]) <= 1 for row in rows)


def test_a_run_of_another_backbone_is_no_start(first, config, tmp_path):
    with pytest.raises(errors.BadInput, match="its backbone is tiny, not resnet50"):
        trained(config, tmp_path / "x", backbone="resnet50", init=str(first))
    with pytest.raises(errors.BadInput, match="a run starts from one of them"):
        trained(config, tmp_path / "x", weights="imagenet", init=str(first))
    assert not (tmp_path / "x").exists()


def test_every_flipped_bit_is_refused(first, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(first, run)
    *others, newest = checkpoints.saved(run / run_folders.CHECKPOINTS)
    for other in others:
        shutil.rmtree(other)
    loaders = {
        run / run_folders.MODEL: lambda: run_folders.load(run).model(),
        run / run_folders.SAVED_MODEL: lambda: export.load(run),
        newest: lambda: checkpoints.restore(
            run / run_folders.CHECKPOINTS, model=None, optimizer=None
        ),
    }
    dice = random.Random(0)
    for place, load in loaders.items():
        parts = [place] if place.is_file() else sorted(place.rglob("*"))
        parts = [path for path in parts if path.is_file() and path.stat().st_size]
        for _ in range(100):
            path = dice.choice(parts)
            content = path.read_bytes()
            damaged = bytearray(content)
            damaged[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises(errors.BadInput) as refusal:
                load()
            path.write_bytes(content)
            message = str(refusal.value)
            assert str(place) in message or place.name in message
            assert "\n" not in message
    for load in list(loaders.values())[:2]:
        load()  # whole again


@contextlib.contextmanager
def full_disk(limit):
    """No file grows beyond `limit` bytes, as where a disk or a quota is full."""
    resource = pytest.importorskip("resource", reason="quotas are POSIX")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [20_000, 100_000])  # while training, at the export
def test_a_full_disk_is_one_line_and_costs_nothing_old(
    first, run_command, tmp_path, capsys, limit
):
    run = tmp_path / "run"
    shutil.copytree(first, run)
    (run / files.MANIFEST).unlink()  # as before the last epoch ended
    *_, older, newest = checkpoints.saved(run / run_folders.CHECKPOINTS)
    shutil.rmtree(newest)
    with full_disk(limit):
        assert run_command("train", "--resume", "--out", run) in (1, 2)
    shown = capsys.readouterr().err.strip().splitlines()
    assert shown[-1].startswith("error: ") and "File too large" in shown[-1]
    assert not (run / files.MANIFEST).exists()
    run_folders.load_model(run / run_folders.MODEL)
    files.verify_manifest(older)
    assert run_command("train", "--resume", "--out", run) == 0
    files.verify_manifest(run)


def test_a_diverged_run_names_step_and_pictures(config, tmp_path):
    flags = {"learning_rate": 1000.0, "optimizer": "sgd", "warmup_epochs": 0.0}
    flags["weight_decay"] = 100.0  # kernels grow 100,000 times with each step
    with pytest.raises(errors.BadInput, match=r"step \d in epoch \d .*(good|defect)/"):
        trained(config, tmp_path / "x", **flags)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"layer_decay": 0.0}, r"--layer-decay 0\.0: a number in \(0, 1\]"),
        ({"accumulate": 0}, r"--accumulate 0: a whole number in \[1, "),
        ({"deterministic": True, "time_budget": 1.0}, "--time-budget ends a run by"),
    ],
)
def test_numbers_out_of_range_are_refused(config, tmp_path, flags, words):
    with pytest.raises(errors.BadInput, match=words):
        trained(config, tmp_path / "x", **flags)
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_run_can_learn_from_drawn_defects_alone(config, tmp_path):
    flags = {"drawn": 0.5, "drawn_only": True, "standardise": "picture", "epochs": 1}
    facts = files.read_json(
        trained(config, tmp_path / "run", **flags) / run_folders.CONFIG
    )
    assert facts["run"]["prior"] == 0.5
    kept = trained(config, tmp_path / "kept", drawn=0.5, epochs=1)
    facts = files.read_json(kept / run_folders.CONFIG)["run"]
    assert facts["prior"] == pytest.approx(0.75, abs=0.03)  # half, and half of the rest


@pytest.mark.slow
def test_a_map_is_learned_and_kept_beside_the_logit(config, tmp_path, monkeypatch):
    flags = {"drawn": 0.5, "drawn_only": True, "drawn_look": "cracks", "ema": 0.9}
    flags |= {"drawn_map": 1.0, "deterministic": True, "epochs": 2}
    run = trained(config, tmp_path / "run", **flags)
    _check_map_is_kept(run_folders.load(run))
    with open(run / run_folders.HISTORY) as file:
        first, second = csv.DictReader(file)
    assert float(second["map_loss"]) < float(first["map_loss"])
    total = float(first["logit_loss"]) + float(first["map_loss"])
    assert float(first["loss"]) == pytest.approx(total, rel=1e-4)
    _check_loss_of_validation(run_folders.load(run), [first, second])
    _check_resumed(config, tmp_path / "resumed", flags, run, monkeypatch)
    # What was learned with a map is a start without one, and the other way round.
    from_it = {"init": str(run), "drawn_map": 0.0, "epochs": 1}
    onward = trained(config, tmp_path / "onward", **{**flags, **from_it})
    model = run_folders.load(onward).model(with_map=True)
    assert model.output.shape == (None, 1)
    assert export.load(onward).map_shape is None
    back = {"init": str(onward), "epochs": 1}
    again = trained(config, tmp_path / "back", **{**flags, **back})
    assert export.load(again).map_shape == MAP_SHAPE
    # A map goes on from the one before.
    still = {"init": str(run), "epochs": 1, "learning_rate": 1e-12}
    maps = [
        run_folders.load(one).model(with_map=True).get_layer("map").get_weights()
        for one in (run, trained(config, tmp_path / "still", **{**flags, **still}))
    ]
    for before, after in zip(*maps):
        np.testing.assert_allclose(after, before, atol=1e-6)


def _check_resumed(config, out, flags, whole, monkeypatch):
    """A run that ended after its first epoch goes on to what an undisturbed one is."""

    def die(self, epoch, logs=None):
        if epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(monitor.Monitor, "on_epoch_begin", die)
        trained(config, out, **flags)
    loop.train(config.changed(out=str(out), **flags), resume=True)
    one, other = (
        run_folders.load(run).model(with_map=True).get_weights() for run in (whole, out)
    )
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    name = neighbours.NEIGHBOURS
    assert (whole / name).read_bytes() == (out / name).read_bytes()


def _check_loss_of_validation(run, rows):
    """It is the logit's own loss, of the model that was kept."""
    best = files.read_json(run.folder / run_folders.METRICS)["epochs"]["best"]
    kept = next(row for row in rows if int(row["epoch"]) == best)
    loss = losses.named(
        run.config.loss.loss, alpha=run.config.loss.alpha, gamma=run.config.loss.gamma
    )
    raw = run_folders.logits_of(run.model(), run.dataset, "validation")
    labels = run.predictions("validation").label.astype("float32")
    assert float(kept["val_loss"]) == pytest.approx(float(loss(labels, raw)), rel=1e-3)


def _check_map_is_kept(run):
    """The map of model.keras is that of both signatures, beside the same score."""
    model, served = run.model(with_map=True), export.load(run.folder)
    assert run.model().output.shape == (None, 1)
    shown = pictures.Pictures(run.image_size, run.channels, cache="none")
    batches = batching.evaluation(run.dataset, "test", shown, batch_size=64)
    (images,) = batching.images(batches)
    found = model(images)
    assert found["map"].shape == (len(images), *MAP_SHAPE)
    assert served.map_shape == MAP_SHAPE
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    for signature, given in (
        ("image_pixels", {"image_pixels": images}),
        ("serving_default", {"image_bytes": tf.constant(encoded)}),
    ):
        answer = served.signature(signature)(**given)
        assert set(answer) == {"score", "label", "map"}
        places = answer["map"].numpy()
        assert places.dtype == np.float32 and 0 <= places.min() < places.max() <= 1
        np.testing.assert_allclose(places, tf.sigmoid(found["map"]), atol=1e-5)
        scores = run.calibration.scores(found["logit"][:, 0])
        np.testing.assert_allclose(answer["score"], scores, atol=1e-5)
    raw = run_folders.logits_of(run.model(), run.dataset, "test")
    np.testing.assert_allclose(raw, found["logit"][:, 0], atol=1e-5)


@pytest.fixture(scope="module")
def rare(tmp_path_factory, config):
    """600 devices, one in twenty a defect that is a little brighter."""
    raw = tmp_path_factory.mktemp("rare") / "raw"
    noise = np.random.default_rng(1)
    for name, low, count in (("good", 0, 570), ("defect", 20, 30)):
        (raw / name).mkdir(parents=True)
        for i in range(count):
            low_here = low + int(noise.integers(0, 20))
            pixels = noise.integers(low_here, 190 + low_here, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(raw / name / f"{i}.png")
    return config.changed(
        data=str(raw), data_dir=str(raw.parent / "data"), learning_rate=1e-2
    )


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["loss", "sampling"])
def test_scores_of_balanced_training_are_probabilities_all_the_same(
    rare, balance, tmp_path
):
    run = run_folders.load(
        trained(rare, tmp_path / "run", balance=balance, epochs=10, learning_rate=2e-3)
    )
    table = run.predictions("test")
    raw = run_folders.logits_of(run.model(), run.dataset, "test")
    assert metrics.auc(table.label, raw) > 0.8  # learned, as half of all were defects
    uncalibrated = metrics.log_loss(table.label, run_folders.probability(raw))
    prevalence = table.label.mean()
    assert metrics.log_loss(table.label, table.score) < 0.6 * uncalibrated
    assert run_folders.probability(raw).mean() > 3 * prevalence
    assert table.score.mean() == pytest.approx(prevalence, abs=0.03)
    assert export.load(run.folder).calibration == run.calibration


@pytest.mark.parametrize(
    ("balance", "prior"), [("none", 0.05), ("loss", 0.5), ("sampling", 0.5)]
)
def test_balanced_training_starts_at_even_odds(rare, balance, prior, monkeypatch):
    asked = {}

    class EnoughSeen(Exception):
        pass

    def build(*_, **knobs):
        asked.update(knobs)
        raise EnoughSeen

    monkeypatch.setattr(loop.model_setup, "build", build)
    with pytest.raises(EnoughSeen):
        trained(rare, "never", balance=balance)
    assert asked["prior"] == pytest.approx(prior, abs=0.01)


@pytest.fixture(scope="module")
def grown(config, tmp_path_factory):
    """A run, and one that starts from it after its pictures were dealt anew."""
    place = tmp_path_factory.mktemp("grown")
    raw = place / "raw"
    shutil.copytree(config.data.data, raw)
    config = config.changed(data=str(raw), data_dir=str(place / "data"), epochs=1)
    trained(config, place / "base")
    noise = np.random.default_rng(1)
    for name, low in (("good", 0), ("defect", 60)):
        for i in range(8):
            pixels = noise.integers(low, 196 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(raw / name / f"new{i}.png")
    init = {"init": str(place / "base")}
    trained(config, place / "anew", keep_splits="none", **init)
    return place, config.changed(**init)


@pytest.mark.slow
def test_test_pictures_that_an_earlier_run_was_trained_on_are_told(grown, capsys):
    place, _ = grown
    known = files.read_json(place / "anew" / run_folders.METRICS)["test"]["trained_on"]
    before = manifest.read(place / "base" / run_folders.PICTURES)
    was = {row.pixel_sha256 for row in before if row.split == "train"}
    now = manifest.read(place / "anew" / run_folders.PICTURES)
    count = sum(row.split == "test" and row.pixel_sha256 in was for row in now)
    assert known["pictures"] == count > 0 and known["by"] == ["base"]
    finish.print_summary(place / "anew")
    assert f"{count} of {known['of']} test pictures were trained on by base" in (
        capsys.readouterr().out
    )


def test_they_are_refused_by_a_flag_before_anything_is_written(grown):
    place, config = grown
    with pytest.raises(errors.BadInput, match="pictures were trained on by base"):
        trained(config, place / "no", keep_splits="none", refuse_seen=True)
    assert not (place / "no").exists()


def test_evaluation_says_or_refuses_it_when_run_and_records_before_are_gone(
    grown, run_command, tmp_path, capsys
):
    place, _ = grown
    shutil.move(place / "base", tmp_path / "elsewhere")
    run = place / "anew"
    out = tmp_path / "report"
    assert run_command("evaluate", run, "--out", out, "--no-heatmaps") == 0
    found = files.read_json(out / "report.json")["trained_on"]
    said = f"of {found['of']} test pictures were trained on by base"
    assert said in capsys.readouterr().out
    assert said in (out / "report.html").read_text("utf-8")
    table = run / "predictions" / "test.csv"
    options = ("--refuse-seen", "--out", tmp_path / "no")
    for path in (run, table):
        assert run_command("evaluate", path, *options) == 2
        assert "trained on by base" in capsys.readouterr().err
    exported = training_pictures.read(export.find(run) / training_pictures.EXPORTED)
    assert (
        exported.by_content().keys()
        == training_pictures.of_run(run).by_content().keys()
    )
    assert {line.run for line in exported.lines} == {"anew", "base"}
    files.verify_manifest(run)
    shutil.move(tmp_path / "elsewhere", place / "base")


@pytest.mark.slow
def test_kept_splits_show_no_run_its_test_pictures(grown):
    place, config = grown
    trained(config, place / "kept", keep_splits=str(place / "base"), refuse_seen=True)
    reached = files.read_json(place / "kept" / run_folders.METRICS)
    assert reached["test"]["trained_on"]["pictures"] == 0
