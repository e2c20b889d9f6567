"""The study as a whole, on networks and a folder that cost seconds."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import configs, files
from nexperia_tf.configs import checks
from nexperia_tf.data import manifest
from nexperia_tf.data.records import reading, store
from nexperia_tf.data.source import DataSource
from nexperia_tf.models import backbones
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import metrics
from nexperia_tf.study import folds, forest, page, plan, trees
from nexperia_tf.study.command import COSTS
from nexperia_tf.training import loop, model_setup, monitor

pytestmark = pytest.mark.slow

COMMAND = "study"
LOTS = {"train": 6, "validation": 3, "test": 3}
TIMES = {"ms", "seconds", "time"}


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def small(patch):
    """Two narrow networks, one setting of cross-entropy and two of focal loss."""
    shape = backbones.Shape((1,), planes=(4,), stem=4)
    patch.setitem(backbones.BACKBONES, "tiny", shape)
    patch.setitem(
        backbones.BACKBONES, "tiny_wide", backbones.Shape((1,), 1, 128, (4,), 4)
    )
    patch.setitem(plan.PARTNERS, "tiny", "tiny_wide")
    settings = {plan.BCE: ((0.0, None),), plan.FOCAL: ((2.0, None), (2.0, 0.25))}
    patch.setattr(plan, "SHORT", settings)
    patch.setitem(trees.STAGES, "stage3", "stage1")  # there is but one stage
    patch.setattr(trees, "SMALL_GRID", [{"n_estimators": 10, "min_samples_leaf": 3}])


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Noise in colour by lot and split, of which the defective third is brighter."""
    folder = tmp_path_factory.mktemp("study") / "raw"
    folder.mkdir()
    noise = np.random.default_rng(0)
    lines = []
    for split, lots in LOTS.items():
        for lot in range(lots):
            for number in range(9):
                label, low = (("good", 0), ("good", 0), ("defect", 40))[number % 3]
                pixels = noise.integers(low, 196 + low, (24, 24, 3)).astype(np.uint8)
                name = f"{split}{lot}-{number}.png"
                Image.fromarray(pixels).save(folder / name)
                lines.append((name, label, f"{split}{lot}", split))
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "group", "split"), *lines])
    return folder


@pytest.fixture(scope="module")
def words(raw):
    config = raw.parent / "tiny.json"
    kept = {"backbone": "tiny", "image_size": 32, "epochs": 2, "batch_size": 9}
    config.write_text(json.dumps(kept | {"deterministic": True}))
    return ["--data", raw, "--data-dir", raw.parent / "data", "--config", config]


@pytest.fixture(scope="module")
def whole(small, words, run_command, tmp_path_factory):
    out = tmp_path_factory.mktemp("studies") / "whole"
    assert run_command(COMMAND, *words, "--out", out) == 0
    return out


def _found(out, name=page.JSON):
    """study.json without what a clock has said."""

    def timeless(value):
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k not in TIMES}
        return [timeless(v) for v in value] if isinstance(value, list) else value

    return timeless(json.loads((out / name).read_text()))


class Struck(BaseException):
    """Ends a study as a kill would: nobody catches it."""


def test_a_study_that_is_struck_and_repeated_ends_as_it_would_have(
    whole, words, run_command, monkeypatch, tmp_path
):
    out = tmp_path / "struck"
    shutil.copytree(whole, out)
    for name in ("runs/resnext-focal", "runs/wide-focal", "forests/bce-*", COSTS):
        for path in out.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (out / page.JSON).unlink()
    for place, name, calls in [
        (monitor.Monitor, "on_epoch_end", 1),  # amid the first run
        (files, "write_manifest", 5),  # amid one of the last steps of the second
        (forest, "publish", 1),
        (page, "write", 0),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(place, name, _striking(getattr(place, name), calls))
            with pytest.raises(Struck):
                run_command(COMMAND, *words, "--out", out)
    trained = []
    monkeypatch.setattr(loop, "train", lambda *a, **k: trained.append(a))
    assert run_command(COMMAND, *words, "--out", out) == 0
    assert not trained  # all runs had ended
    assert _found(out) == _found(whole)


def _striking(function, calls):
    left = [calls]

    def struck(*arguments, **keywords):
        if not left[0]:
            raise Struck
        left[0] -= 1
        return function(*arguments, **keywords)

    return struck


def test_the_tables_hold_what_the_issue_asks_for(whole):
    found = _found(whole)
    titles = [table["title"].partition(".")[0] for table in found["tables"]]
    assert titles == ["Table 1", "Table 2", "Table 3", "Table 4"]
    rows = [len(table["rows"]) for table in found["tables"]]
    assert rows == [9, 5, 1 + 3 * 3, 2 + 3]
    pairs = {
        frozenset((pair["first"], pair["second"]))
        for table in found["tables"]
        for pair in table["differences"]
    }
    family = len(pairs)
    for table in found["tables"]:
        for row in table["rows"]:
            auc = row["auc"]
            assert auc["groups"] == LOTS["test"]
            assert (
                (auc["low"] is None) == (auc["method"] == "none") == bool(auc["reason"])
            )
            if auc["low"] is not None:
                assert auc["low"] <= auc["value"] <= auc["high"]
            assert row["fpr_at_tpr"][0]["high"] is None  # nine defects
            assert len(row["fpr_at_tpr"]) == 5
            assert row["parameters"] and row["gmac"] > 0
        for pair in table["differences"]:
            assert pair["said"].endswith(".") and re.search("p [=<] ", pair["because"])
            assert pair["family"] == family
            undecided = pair["verdict"] == "too few lots for a verdict"
            assert undecided or pair["p_adjusted"] == 1  # three lots never tell
    published = [r["published"] for r in found["tables"][1]["rows"]]
    assert [p["value"] for p in published] == [
        *(0.95327, 0.99612, 0.99585, 0.99616, 0.99831)
    ]
    assert (found["n"], found["n_defect"]) == (27, 9)
    assert "random weights" in found["tables"][0]["rows"][0]["features"]


def test_differences_are_first_minus_second(whole):
    for table in _found(whole)["tables"]:
        value = {row["name"]: row["auc"]["value"] for row in table["rows"]}
        for pair in table["differences"]:
            difference = pair["difference"]
            expected = value[pair["first"]] - value[pair["second"]]
            assert difference["value"] == pytest.approx(expected, abs=1e-12)
            assert difference["low"] <= difference["value"] <= difference["high"]


def test_validation_chooses_the_loss_and_the_wide_network_takes_it(whole):
    found = {run["name"]: run for run in _found(whole)["runs"]}
    tried = [found["resnext-focal"], found["resnext-focal-alpha25"]]
    best = max(tried, key=lambda run: run["validation_auc"])
    assert "ResNeXt + focal" in best["taken_for"]
    config = run_folders.load(whole / "runs" / "wide-focal").config
    assert (config.loss.alpha, config.loss.gamma) == (best["alpha"], best["gamma"])
    assert config.network.backbone == "tiny_wide"


def test_the_ensemble_command_takes_the_weights(whole, run_command, tmp_path):
    file = whole / "ensembles" / "stacking.json"
    chosen = list(json.loads(file.read_text())["weights"])
    if len(chosen) < 2:  # one network does without the others
        pytest.skip("stacking chose a single network")
    folders = [whole / "runs" / name for name in chosen]
    argv = [*folders, "--method", "weights", file, "--out", tmp_path / "served"]
    assert run_command("ensemble", *argv) == 0


def test_page_and_markdown_say_the_same_figures(whole):
    found = _found(whole)
    texts = [(whole / name).read_text() for name in (page.HTML, page.MARKDOWN)]
    for table in found["tables"]:
        for row in table["rows"]:
            assert all(row["name"] in text for text in texts)
            assert all(f"{row['auc']['value']:.4f}" in text for text in texts)
    assert "<svg" in texts[0] and "http" not in texts[0].replace("www.w3.org", "")[:500]


def test_other_labels_judge_the_test_devices(whole, words, run_command, tmp_path):
    out = tmp_path / "judged"
    shutil.copytree(whole, out)
    scored = run_folders.load(whole / "runs" / "resnext-bce").predictions("test")
    turned = set(scored.image_id[:3])
    with open(tmp_path / "looked_at.csv", "w", newline="") as file:
        rows = zip(scored.image_id, scored.label)
        verdicts = [(n, ("good", "defect")[int(d) ^ (n in turned)]) for n, d in rows]
        csv.writer(file).writerows([("image_id", "label"), *verdicts])
    labels = tmp_path / "looked_at.csv"
    assert run_command(COMMAND, *words, "--out", out, "--labels", labels) == 0
    found = _found(out)
    assert found["labels"] == str(labels)
    now = [label == "defect" for _, label in verdicts]
    assert found["n_defect"] == sum(now) != _found(whole)["n_defect"]
    shown = next(run for run in found["runs"] if run["name"] == "resnext-bce")
    assert shown["test_auc"] == pytest.approx(metrics.auc(np.array(now), scored.score))


def test_a_study_goes_on_with_the_same_words_only(
    whole, words, run_command, tmp_path, capsys
):
    assert run_command(COMMAND, *words[2:], "--out", whole) == 2
    error = capsys.readouterr().err.strip()
    assert "begun with data" in error and "\n" not in error
    (tmp_path / "other").mkdir()
    assert run_command(COMMAND, *words, "--out", tmp_path / "other") == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        ([], "--out: name the folder"),
        (["--seeds", "-1", "--plan"], "--seeds -1"),
        (["--scale", "huge"], "huge"),
        (["--config", "none", "--plan"], "unknown; choose one of demo"),
        (["--config", "elpv_drawn", "--plan"], "compares a ResNeXt"),
    ],
)
def test_bad_words_are_one_line(argv, shown, run_command, capsys):
    assert run_command(COMMAND, *argv) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error
    assert shown in error


def test_the_paper_plan_is_the_original_and_ours(run_command, capsys):
    planned = plan.make(scale="paper", shared={"data": "second_stage:RAW"})
    known = {}
    for step in planned.steps:
        known[step.name] = config = step.resolved(known, step.like and step.like[-1])
        checks.check(config)
        assert backbones.full_name(config.network.backbone) in backbones.BACKBONES
        assert config.data.data == "second_stage:RAW"
    original = known["original-resnext-focal"]
    steps = original.optimisation
    assert (original.loss.alpha, original.loss.gamma) == (0.25, 2)
    assert (original.pictures.augment, original.run.monitor) == ("crop", "accuracy")
    assert (steps.schedule, steps.epochs, steps.batch_size) == ("step", 90, 256)
    ours = known["resnext-focal"]
    assert (ours.pictures.augment, ours.run.monitor) == ("default", "partial_auc")
    tried = planned.families[-1].tried
    assert len(tried["resnext-bce"]) == len(tried["resnext-focal"]) == 6
    assert run_command(COMMAND, "--plan", "--scale", "paper") == 0
    assert "original-wide-focal" in capsys.readouterr().out


def test_the_originals_momentum_is_plain(small):
    config = configs.load("study_original")
    for name, nesterov in (("momentum", False), ("sgd", True)):
        tiny = {"backbone": "tiny", "weights": "none", "image_size": 32}
        changed = config.changed(**tiny, optimizer=name)
        model = model_setup.build(changed, channels=1, prior=0.2, steps=2)
        assert (model.optimizer.nesterov, model.optimizer.momentum) == (nesterov, 0.9)
    assert config.optimisation.optimizer == "momentum"


def test_seeds_and_folds_repeat_every_member():
    planned = plan.make(seeds=2, extended=True)
    family = planned.families[-1]
    assert all(len(names) == 1 for names in family.seeds.values())
    assert all(len(names) == plan.FOLDS for names in family.folds.values())
    assert len(family.bags) == plan.BAGS
    names = [step.name for step in planned.steps]
    assert len(set(names)) == len(names)
    assert planned.step("wide-focal-seed1").config.run.seed == planned.base.run.seed + 1


def test_folds_part_the_training_lots_and_bags_draw_them(raw, whole, tmp_path):
    dataset = store.build(DataSource(raw, raw.parent / "data"))
    given = {r.image_id: r for r in manifest.read(dataset.prepared / "manifest.csv")}
    held_out = []
    for part in (plan.Part("fold", 1), plan.Part("fold", 2), plan.Part("bag", 1)):
        folds.make(dataset, tmp_path, part, count=2)
        with open(tmp_path / part.name / folds.TABLE) as file:
            rows = list(csv.DictReader(file))
        split_of = {row["path"].removesuffix(".png"): row["split"] for row in rows}
        train = {given[n].group for n, split in split_of.items() if split == "train"}
        assert {given[n].split for n in split_of if split_of[n] == "train"} == {"train"}
        for image_id, split in split_of.items():
            if split != "train":
                assert given[image_id].group not in train
        if part.kind == plan.FOLD:
            held_out += [n for n, split in split_of.items() if split == "test"]
        else:
            assert 1 < len(train) < LOTS["train"]  # about 63 % of them
    assert len(set(held_out)) == len(held_out) == 9 * LOTS["train"]
    again = store.build(DataSource(tmp_path / "fold1", tmp_path / "data"))
    tables = [reading.metadata(one, "validation") for one in (dataset, again)]
    assert set(tables[0]["image_id"]) == set(tables[1]["image_id"])


def test_all_runs_of_a_study_have_the_canvas_of_its_pictures():
    strips = {"backbone_data": "hand_over:DRAWN", "image_size": "128x352"}
    planned = plan.make(scale="paper", extended=True, **strips)
    assert {s.config.pictures.image_size for s in planned.steps} == {"128x352"}
    # What a recipe names stays.
    assert {s.config.pictures.image_size for s in plan.make(**strips).steps} == {96}


def test_each_small_run_sees_as_many_pictures():
    few = plan.make(train_devices=1000).base.optimisation.epochs
    many = plan.make(train_devices=2000).base.optimisation.epochs
    assert few * 1000 == many * 2000 == plan.SMALL_PASSES
    assert plan.make(train_devices=100_000).base.optimisation.epochs == 3
