"""A search by the command: what it tries and takes, and that it goes on."""

import csv
import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import configs, errors, files, predictions
from nexperia_tf.data.input import batching
from nexperia_tf.data.input import order as ordering
from nexperia_tf.data.records import reading
from nexperia_tf.evaluation import recipes_tried
from nexperia_tf.runs import run_folders
from nexperia_tf.training import devices, finish, fitting, monitor
from nexperia_tf.training.search import deciding, plan, trial

pytestmark = pytest.mark.usefixtures("two_stage_backbone")


@pytest.fixture(scope="module")
def raw(tmp_path_factory, noisy_picture):
    """Noise with a bright spot on defects, in lots of five."""
    folder = tmp_path_factory.mktemp("search") / "raw"
    folder.mkdir()
    noise = np.random.default_rng(0)
    lines = [["path", "label", "lot", "split"]]
    for i in range(120):
        pixels, _ = noisy_picture(noise, spot=i % 4 == 0)
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
        split = "train" if i < 80 else "validation" if i < 100 else "test"
        label = "good" if i % 4 else "defect"
        lines.append([f"{i:03}.png", label, f"lot{i // 5}", split])
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


@pytest.fixture(scope="module")
def train(raw, few_look_alikes, run_command):
    """`train(out, *words)` searches; gives the exit code."""
    data = raw.parent / "data"

    def run(out, *words) -> int:
        argv = ["--data", raw, "--data-dir", data, "--unboxed", "keep", "--out", out]
        argv += ["--backbone", "tiny", "--image-size", 32, "--batch-size", 8]
        argv += ["--freeze", "stem", "--epoch-steps", 0, "--first-epochs", 0]
        argv += ["--epochs", 4, "--recipe", "search", "--deterministic"]
        return run_command("train", *argv, *words)

    return run


def fake(patch, *, gains=None, stop=None):
    """Trials that take no time: defects of some recipes score higher.

    Args:
        patch: what undoes it.
        gains: by which, by recipe; 0 where it is not named.
        stop: number of the trial that is struck, from 0.

    Returns:
        the trials, as they are run.
    """
    ran = []

    def run(setup, config, planned, folder):
        if len(ran) == stop:
            folder.mkdir()  # as a trial that is cut leaves it
            raise errors.BadInput("struck")
        ran.append(planned)
        _, data = setup.data(config, planned.part)
        columns = reading.metadata(data.dataset, "train", ("image_id", "label", "lot"))
        out = np.array([n in data.order.left_out for n in columns["image_id"]])
        random = np.random.default_rng([planned.part, len(planned.recipe)])
        scores = random.normal(size=out.sum())
        scores += (gains or {}).get(planned.recipe, 0) * columns["label"][out]
        table = predictions.Predictions(
            columns["image_id"][out],
            columns["label"][out],
            run_folders.probability(scores),
            {"group": columns["lot"][out]},
        )
        return table, 1.0

    patch.setattr(trial, "run", run)
    cost = plan.Cost(setup=1.0, step=0.01, batch=8)
    patch.setattr(trial, "measured", lambda *_: cost)
    # What follows the search is not looked at here.
    patch.setattr(fitting, "stages", lambda *_, begin, **__: begin() or {})
    patch.setattr(finish, "finish", lambda *_, **__: None)
    patch.setattr(finish, "print_summary", lambda *_: None)
    return ran


@pytest.fixture
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def table(run) -> list[recipes_tried.Trial]:
    """What was tried, but for the time it took."""
    lines = recipes_tried.read_trials(run / recipes_tried.FOLDER)
    return [dataclasses.replace(line, seconds=0.0) for line in lines]


def config_of(run) -> configs.Config:
    payload = files.read_json(run / run_folders.CONFIG)
    return configs.from_json(payload, where=str(run))


BRIGHT = {"brightness": 3.0}


def test_what_is_best_on_parts_of_the_training_split_is_taken(
    train, patch, tmp_path, capsys
):
    ran, run = fake(patch, gains=BRIGHT), tmp_path / "run"
    assert train(run, "--time-budget", 2) == 0
    out = capsys.readouterr().out
    assert "recipe search: took brightness (--standardise imagenet; better" in out
    config = config_of(run)
    assert config.pictures.standardise == "imagenet"
    assert config.recipe.recipe == "search" and config.run.time_budget == 2
    payload = files.read_json(run / run_folders.CONFIG)
    plan_file = run / recipes_tried.FOLDER / recipes_tried.PLAN
    found = {"took": "brightness", "plan_sha256": files.sha256(plan_file)}
    assert payload["run"]["search"] == found
    made = plan.read(plan_file)
    first, last = made.rungs[0], made.rungs[-1]
    names = {each.name for each in made.recipes}
    assert names == {"standard", "given", "cracks", "as they lie", "brightness"}
    assert {each.recipe for each in ran if each in first.trials} == names
    assert {each.recipe for each in ran[-4:]} == {"standard", "brightness"}
    assert all(each in last.trials for each in ran[-4:])
    search = recipes_tried.of_run(run)
    assert search.took == "brightness" and search.corrected.low > 0.8
    assert len(table(run)) == len(ran) == sum(row.parts for row in search.rows)
    assert not list((run / recipes_tried.FOLDER).glob("trial-*"))


def test_what_is_judged_is_training_devices_that_were_not_learned_from(
    train, patch, tmp_path
):
    seen = []
    fake(patch)
    ran = trial.run

    def run(setup, config, planned, folder):
        _, data = setup.data(config, planned.part)
        names = reading.metadata(data.dataset, "train", ("image_id",))["image_id"]
        dealt = batching.dealt_labels(data.dataset, data.order)
        shown = names[data.order.epoch(dealt, 0).indices.ravel()]
        scored, seconds = ran(setup, config, planned, folder)
        assert set(scored.image_id) == set(names[dealt == ordering.LEFT_OUT])
        assert not set(scored.image_id) & set(shown)
        lots = reading.metadata(data.dataset, "train", ("lot",))["lot"]
        lot_of = dict(zip(names, lots))
        assert not {lot_of[n] for n in scored.image_id} & {lot_of[n] for n in shown}
        seen.append(frozenset(scored.image_id))
        return scored, seconds

    patch.setattr(trial, "run", run)
    assert train(tmp_path / "run", "--time-budget", 2) == 0
    parts = set(seen)
    assert len(parts) == 3 and sum(map(len, parts)) == 80
    assert len(frozenset.union(*parts)) == 80


@pytest.mark.parametrize("stop", [0, 3, 6])
def test_a_search_that_is_stopped_goes_on_where_it_was(
    stop, train, run_command, tmp_path
):
    whole, run = tmp_path / "whole", tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        ran = fake(patch, gains=BRIGHT)
        assert train(whole, "--time-budget", 2) == 0
        count = len(ran)
    with pytest.MonkeyPatch.context() as patch:
        fake(patch, gains=BRIGHT, stop=stop)
        assert train(run, "--time-budget", 2) == 2
    assert config_of(run).recipe.recipe == "search"
    with pytest.MonkeyPatch.context() as patch:
        ran = fake(patch, gains=BRIGHT)
        patch.setattr(trial, "measured", None)  # the plan stands
        assert run_command("train", "--resume", "--out", run) == 0
    assert len(ran) == count - stop
    assert table(run) == table(whole)
    assert config_of(run) == config_of(whole)
    assert not list((run / recipes_tried.FOLDER).glob("trial-*"))


def test_a_plan_is_replayed_without_a_clock(train, tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    plan_file = first / recipes_tried.FOLDER / recipes_tried.PLAN
    with pytest.MonkeyPatch.context() as patch:
        fake(patch, gains=BRIGHT)
        assert train(first, "--time-budget", 2) == 0
        patch.setattr(trial, "measured", None)
        assert train(again, "--search-plan", plan_file) == 0
    assert table(again) == table(first)
    assert config_of(again) == config_of(first)
    replayed = again / recipes_tried.FOLDER / recipes_tried.PLAN
    assert replayed.read_bytes() == plan_file.read_bytes()


def test_a_config_json_trains_what_was_taken_and_searches_no_more(
    train, patch, run_command, tmp_path
):
    ran, run, again = fake(patch, gains=BRIGHT), tmp_path / "run", tmp_path / "again"
    assert train(run, "--time-budget", 2) == 0
    tried = len(ran)
    told = "--config", run / run_folders.CONFIG
    assert run_command("train", *told, "--out", again) == 0
    assert len(ran) == tried and not (again / recipes_tried.FOLDER).exists()
    assert config_of(again) == config_of(run)


def test_too_few_minutes_are_refused_with_as_many_as_do(train, patch, tmp_path, capsys):
    fake(patch)
    assert train(tmp_path / "run", "--time-budget", 0.5) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "--time-budget 0.5: the shortest search and the training after it" in line
    assert not (tmp_path / "run").exists()
    needed = line.partition("pass --time-budget ")[2].split()[0]
    assert train(tmp_path / "run", "--time-budget", needed) == 0


def test_a_plan_of_other_pictures_or_another_seed_is_refused(
    train, patch, tmp_path, capsys
):
    fake(patch)
    run = tmp_path / "run"
    assert train(run, "--time-budget", 2) == 0
    made = plan.read(run / recipes_tried.FOLDER / recipes_tried.PLAN)
    other = dataclasses.replace(made, parts=(plan.Part(9, 5), *made.parts[1:]))
    plan.write(tmp_path / "plan.json", other)
    capsys.readouterr()
    for words, said in (
        (["--search-plan", tmp_path / "plan.json"], "parts of 9, "),
        (["--search-plan", run / "search" / "plan.json", "--seed", 1], "--seed 0"),
        (
            ["--search-plan", run / "search" / "plan.json", "--flip", "both"],
            "--flip both: recipe as they lie is tried with --flip none",
        ),
    ):
        assert train(tmp_path / "other", *words) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line
        assert not (tmp_path / "other").exists()


def test_where_flags_leave_one_recipe_it_is_taken(train, patch, tmp_path, capsys):
    ran = fake(patch)
    words = ["--drawn", 0.3, "--drawn-look", "any", "--flip", "both"]
    words += ["--standardise", "picture"]
    assert train(tmp_path / "run", "--time-budget", 2, *words) == 0
    assert not ran and "leave the standard recipe alone" in capsys.readouterr().out
    assert not (tmp_path / "run" / recipes_tried.FOLDER).exists()


def test_where_no_part_can_be_left_out_the_standard_recipe_is_taken(
    train, patch, tmp_path, capsys
):
    ran = fake(patch)
    patch.setattr(deciding.parting, "FEWEST_DEVICES", 50)
    assert train(tmp_path / "run", "--time-budget", 2) == 0
    assert not ran
    assert "warning: recipe search: groups or defects" in capsys.readouterr().out
    assert config_of(tmp_path / "run").pictures.standardise == "picture"


def test_a_recipe_that_diverges_is_no_better_than_a_coin(
    train, patch, tmp_path, capsys
):
    run_one = trial.run
    ran = fake(patch, gains={"standard": 2.0})
    faked = trial.run

    def stages(*_, begin, **__):
        begin()
        raise monitor.Diverged("the training diverged")

    def run(setup, config, planned, folder):
        if planned.recipe == "standard":
            return faked(setup, config, planned, folder)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(trial.fitting, "stages", stages)
            return run_one(setup, config, planned, folder)

    patch.setattr(trial, "run", run)
    assert train(tmp_path / "run", "--time-budget", 2) == 0
    others = [line for line in table(tmp_path / "run") if line.recipe != "standard"]
    assert others and {line.auc for line in others} == {0.5}
    assert ran and "took standard (no other was better)" in capsys.readouterr().out


def test_what_was_seen_before_is_refused_before_the_first_trial(
    train, patch, tmp_path, capsys
):
    ran = fake(patch)

    def seen(*_, **__):
        raise errors.BadInput("--refuse-seen: 3 of 20 test pictures")

    patch.setattr(deciding.run_data, "check_seen", seen)
    assert train(tmp_path / "run", "--time-budget", 2, "--refuse-seen") == 2
    assert not ran and not (tmp_path / "run").exists()
    assert "--refuse-seen: 3 of 20" in capsys.readouterr().err


def test_several_machines_search_nothing():
    asked = configs.Config().changed(recipe="search", time_budget=30.0)
    workers = devices.Workers(None, rank=0, count=2)
    with pytest.raises(errors.BadInput, match="--recipe search: one process searches"):
        deciding.decided(asked, None, pathlib.Path("nowhere"), workers)


@pytest.fixture(scope="module")
def small_plan(train, tmp_path_factory):
    """Two recipes of two epochs, on two parts."""
    folder = tmp_path_factory.mktemp("plan")
    with pytest.MonkeyPatch.context() as patch:
        fake(patch)
        assert train(folder / "run", "--time-budget", 2) == 0
    made = plan.read(folder / "run" / recipes_tried.FOLDER / recipes_tried.PLAN)
    names = ("standard", "as they lie")
    planned = [
        dataclasses.replace(each, epochs=2, steps=each.steps // each.epochs * 2)
        for each in made.rungs[0].trials
        if each.recipe in names
    ]
    both = [dataclasses.replace(p, part=part) for p in planned for part in (0, 1)]
    rung = plan.Rung(0.5, (0, 1), 2, 1, tuple(both))
    tried = tuple(each for each in made.recipes if each.name in names)
    path = folder / "plan.json"
    plan.write(path, dataclasses.replace(made, recipes=tried, rungs=(rung,)))
    return path


def weights(run) -> list[np.ndarray]:
    return run_folders.load_model(run / run_folders.MODEL).get_weights()


def strike_at(patch, name: str, epoch: int, step: int) -> list[tuple[str, int]]:
    """Ends a training there; gives folder and epoch of each step that was taken."""
    taken, own = [], monitor.Monitor.on_train_batch_end

    def struck(self, batch, logs=None):
        own(self, batch, logs)
        taken.append((self._folder.name, self.epoch))
        if (self._folder.name, self.epoch, self.step) == (name, epoch, step):
            raise errors.BadInput("struck")

    patch.setattr(monitor.Monitor, "on_train_batch_end", struck)
    return taken


@pytest.mark.slow
def test_a_search_that_is_cut_anywhere_ends_as_it_would_have(
    train, small_plan, run_command, tmp_path, capsys
):
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert train(whole, "--search-plan", small_plan) == 0
    assert "recipe search: took" in capsys.readouterr().out
    cuts = (("trial-1-standard-2", 1, 2), ("run", 2, 1))
    for number, cut in enumerate(cuts):
        with pytest.MonkeyPatch.context() as patch:
            strike_at(patch, *cut)
            words = "--resume", "--out", run
            if number:
                assert run_command("train", *words) == 2
            else:
                assert train(run, "--search-plan", small_plan) == 2
    with pytest.MonkeyPatch.context() as patch:
        taken = strike_at(patch, "", 0, 0)
        assert run_command("train", "--resume", "--out", run) == 0
    assert {name for name, _ in taken} == {"run"}  # no trial again
    assert min(epoch for _, epoch in taken) == 2
    assert table(run) == table(whole)
    for one, other in zip(weights(run), weights(whole), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("predictions/test.csv", "search/scores/1-as-they-lie-2.csv"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    files.verify_manifest(run)
    assert "  search/tried.csv" in (run / files.MANIFEST).read_text()
    report = tmp_path / "report"
    assert run_command("evaluate", run, "--out", report, "--no-heatmaps") == 0
    page = (report / "report.html").read_text()
    assert "Recipes tried" in page and "--flip none --rotation 0 --zoom 0" in page
    assert files.read_json(report / "report.json")["search"]["took"]
