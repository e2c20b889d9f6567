"""Two stages in one run, by the command: what each learns, and where it goes on."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import configs, errors, files
from nexperia_tf.configs import recipes
from nexperia_tf.runs import run_folders
from nexperia_tf.training import monitor

pytestmark = pytest.mark.usefixtures("two_stage_backbone")
FIRST, SECOND = 2, 2  # epochs


@pytest.fixture(scope="module")
def raw(tmp_path_factory, noisy_picture):
    """Noise with a bright spot on defects, of which every other has a box."""
    folder = tmp_path_factory.mktemp("stages") / "raw"
    folder.mkdir()
    noise = np.random.default_rng(0)
    lines = [["path", "label", "x1", "y1", "x2", "y2"]]
    for i in range(80):
        pixels, box = noisy_picture(noise, spot=i % 4 == 0)
        box = box if box and i % 8 else [""] * 4
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
        lines.append([f"{i:02}.png", "good" if i % 4 else "defect", *box])
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


@pytest.fixture(scope="module")
def train(raw, few_look_alikes, run_command):
    """`train(out, *words)` trains with the standard recipe; gives the exit code."""
    data = raw.parent / "data"

    def run(out, *words) -> int:
        argv = ["--data", raw, "--data-dir", data, "--unboxed", "keep", "--out", out]
        argv += ["--backbone", "tiny"]
        argv += ["--image-size", 32, "--batch-size", 8]
        argv += ["--freeze", "stem", "--freeze-batch-norm"]
        argv += ["--epoch-steps", 0, "--first-epochs", FIRST, "--epochs", SECOND]
        return run_command("train", *argv, *words)

    return run


REPEATABLE = ("--deterministic", "--checkpoint-steps", 3)


@pytest.fixture(scope="module")
def undisturbed(train, tmp_path_factory):
    """An undisturbed run, and the steps of an epoch by stage."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        taken = strike_at(patch)
        assert train(out, *REPEATABLE) == 0
    per_epoch = {
        "first": taken.count("first") // FIRST,
        "run": taken.count("run") // SECOND,
    }
    return out, per_epoch


@pytest.fixture(scope="module")
def whole(undisturbed):
    return undisturbed[0]


def history(run) -> list[dict[str, str]]:
    with open(run / run_folders.HISTORY, newline="") as file:
        return list(csv.DictReader(file))


def untimed(run) -> list[dict[str, str]]:
    return [row | {"seconds": ""} for row in history(run)]


def weights(run) -> list[np.ndarray]:
    return run_folders.load_model(run / run_folders.MODEL).get_weights()


def test_one_run_folder_holds_both_stages(whole):
    first = whole / run_folders.FIRST
    for stage, epochs in ((first, FIRST), (whole, SECOND)):
        rows = history(stage)
        assert [row["epoch"] for row in rows] == [str(n + 1) for n in range(epochs)]
        assert all(float(row["map_loss"]) > 0 for row in rows)
        assert list((stage / run_folders.CHECKPOINTS).iterdir())
        assert (stage / run_folders.MODEL).is_file()
    config = files.read_json(whole / run_folders.CONFIG)
    assert config["recipe"]["recipe"] == "standard"
    assert config["first"]["first_epochs"] == FIRST
    listed = (whole / files.MANIFEST).read_text()
    assert "  first/history.csv" in listed and "  first/model.keras" in listed
    files.verify_manifest(whole)
    epochs = files.read_json(whole / run_folders.METRICS)["epochs"]
    assert (epochs["planned"], epochs["best"]) == (SECOND, SECOND)  # the last is kept


def test_the_second_stage_starts_from_the_first_and_learns_gently(whole):
    first = run_folders.load_model(whole / run_folders.FIRST / run_folders.MODEL)
    second = run_folders.load_model(whole / run_folders.MODEL)
    pairs = list(zip(first.weights, second.weights))
    moved = {one.path for one, other in pairs if not np.array_equal(one, other)}
    assert moved  # it has learned
    still = {one.path for one, _ in pairs} - moved
    assert any("stem" in path for path in still)  # --freeze stem
    assert all("stem" not in path for path in moved)
    assert all("moving" not in path for path in moved)
    rates = [float(history(s)[0]["learning_rate"]) for s in (whole / "first", whole)]
    assert rates[0] > rates[1]


def test_its_config_json_tells_the_very_same_run(whole):
    config = configs.load(str(whole / run_folders.CONFIG))
    assert config == run_folders.load(whole).config.changed(out="")
    values = config.flat()
    assert not [name for name in recipes.VALUES["standard"] if values[name] is None]


def strike_at(patch, *where) -> list[str]:
    """Ends a training there; gives the folder's name for each step that was taken.

    Args:
        where: name of the folder, epoch counted from 0, steps of it; nowhere if none.
    """
    taken = []
    own = monitor.Monitor.on_train_batch_end

    def struck(self, batch, logs=None):
        own(self, batch, logs)
        taken.append(self._folder.name)
        if (self._folder.name, self.epoch, self.step) == where:
            raise errors.BadInput("struck")

    patch.setattr(monitor.Monitor, "on_train_batch_end", struck)
    return taken


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "epoch", "step", "left"),
    [
        # Epochs that are left, and steps of them that a checkpoint has behind it.
        ("first", 1, 5, {"first": (1, 3), "run": (SECOND, 0)}),
        ("run", 0, 1, {"run": (SECOND, 0)}),
        ("run", 1, 4, {"run": (1, 3)}),
    ],
)
def test_a_run_that_is_stopped_within_a_stage_ends_as_it_would_have(
    stage, epoch, step, left, undisturbed, train, run_command, tmp_path
):
    whole, per_epoch = undisturbed
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        strike_at(patch, stage, epoch, step)
        assert train(out, *REPEATABLE) == 2
    assert not (out / files.MANIFEST).exists()
    with pytest.MonkeyPatch.context() as patch:
        taken = strike_at(patch)
        assert run_command("train", "--resume", "--out", out) == 0
    assert {name: taken.count(name) for name in set(taken)} == {
        name: epochs * per_epoch[name] - behind
        for name, (epochs, behind) in left.items()
    }
    for folder in ("", run_folders.FIRST):
        assert untimed(out / folder) == untimed(whole / folder)
        for one, other in zip(weights(out / folder), weights(whole / folder)):
            np.testing.assert_array_equal(one, other)
    table = "predictions/test.csv"
    assert (out / table).read_bytes() == (whole / table).read_bytes()


@pytest.mark.slow
def test_the_minutes_are_those_of_both_stages(train, tmp_path, capsys):
    # Far less than an epoch takes: each stage has the one that it cannot do without.
    out = tmp_path / "run"
    assert train(out, "--time-budget", 1e-6) == 0
    assert (len(history(out / run_folders.FIRST)), len(history(out))) == (1, 1)
    assert "one more would not fit (--time-budget 1e-06)" in capsys.readouterr().out


def test_a_run_that_goes_on_from_another_has_one_stage(
    whole, raw, run_command, tmp_path
):
    out = tmp_path / "run"
    argv = ["--data", raw, "--data-dir", raw.parent / "data", "--out", out]
    argv += [
        "--unboxed",
        "keep",
        "--init",
        whole,
        "--image-size",
        32,
        "--batch-size",
        8,
        "--epochs",
        1,
    ]
    assert run_command("train", *argv, "--epoch-steps", 0, "--freeze", "stem") == 0
    assert not (out / run_folders.FIRST).exists()
    config = run_folders.load(out).config.flat()
    assert config["backbone"] == "tiny" and config["first_epochs"] == 0


def test_a_damaged_first_stage_is_said_in_a_line(whole, run_command, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / files.MANIFEST).unlink()  # as before the last epoch ended
    shutil.rmtree(run / run_folders.CHECKPOINTS)
    (run / run_folders.FIRST / run_folders.MODEL).unlink()
    assert run_command("train", "--resume", "--out", run) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and "first" in line
