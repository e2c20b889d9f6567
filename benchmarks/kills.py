"""Claim: a run that is killed at any instant and resumed ends to the bit as it would.

Trains a tiny network undisturbed, again from that run's config.json, and once more
while SIGKILL strikes at random instants, within epochs too. After each kill the history
must have no gap or repeat, and the best model may only have been replaced by a better
one; in the end weights, optimizer, averages, history and scores of all must be those of
the undisturbed run. With --stages there are two, and all holds for both.

    python benchmarks/kills.py --kills 50
    python benchmarks/kills.py --kills 50 --stages
"""

import argparse
import csv
import io
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile

import h5py
import numpy as np
import tiny_runs

from nexperia_tf import command, configs

command.import_tensorflow()

import tensorflow as tf  # noqa: E402

from nexperia_tf import files  # noqa: E402
from nexperia_tf.runs import run_folders  # noqa: E402
from nexperia_tf.training import checkpoints, loop, monitor  # noqa: E402

DRAWN = {"drawn": 0.5, "drawn_only": True, "drawn_look": "cracks", "drawn_map": 1.0}

STAGES = {"first_epochs": 2, "first_drawn": 0.5, "epochs": 2, "drawn_map": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--drawn", action="store_true", help="learn drawn defects and their map"
    )
    parser.add_argument("--stages", action="store_true", help="train in two stages")
    parser.add_argument("--json", type=pathlib.Path, help="write what was found here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        config = tiny_runs.config(
            place,
            out=str(place / "whole"),
            checkpoint_steps=2,
            ema=0.9,
            deterministic=True,
            **{"epochs": 3}
            | (DRAWN if arguments.drawn else {})
            | (STAGES if arguments.stages else {}),
        )
        started = time.monotonic()
        finish(start(config, copies=True))  # builds the records, too
        first = time.monotonic() - started
        started = time.monotonic()
        config = configs.load(str(place / "whole" / run_folders.CONFIG))
        finish(start(config.changed(out=str(place / "again"))))
        length = time.monotonic() - started
        print(f"undisturbed: {length:.1f} s, {first:.1f} s with preparation")
        repeated = compare(place / "whole", place / "again")
        print("its config.json repeats it to the bit", flush=True)
        config = config.changed(out=str(place / "killed"))
        resumed = strike(
            config, kills=arguments.kills, length=length, seed=arguments.seed
        )
    if arguments.json:
        found = {"variables_repeated_from_config": repeated, "resumed": resumed}
        files.write_json(arguments.json, found)


def start(config: configs.Config, *, copies: bool = False) -> int:
    """Begins or resumes a run in a process of its own; returns its id."""
    out = pathlib.Path(config.run.out)

    def work() -> None:
        if copies:
            keep_copies(out.with_name("bests"))
        loop.train(config, resume=(out / run_folders.CONFIG).is_file())

    return tiny_runs.fork(out.with_suffix(".log"), work)


def keep_copies(folder: pathlib.Path) -> None:
    """Has every best model of the last stage copied, in order."""
    folder.mkdir()
    publish = monitor.save_model

    def copied(model, path):
        publish(model, path)
        if path.parent.name == run_folders.FIRST:
            return
        shutil.copy(path, folder / f"{len(list(folder.iterdir()))}.keras")

    monitor.save_model = copied


def finish(child: int) -> None:
    if tiny_runs.ended(child):
        sys.exit("an undisturbed run failed")


def strike(config: configs.Config, *, kills: int, length: float, seed: int) -> dict:
    """Kills and resumes a run until it has been struck often enough.

    Returns:
        how many kills, how many runs ended by themselves, and for each of those the
        variables that were those of the undisturbed run.
    """
    place = pathlib.Path(config.run.out).parent
    instants = random.Random(seed)
    bests = sorted((place / "bests").iterdir(), key=lambda path: int(path.stem))
    known = [weights(path) for path in bests]
    struck = ended = 0
    best, equal_variables = -1, []
    while struck < kills or not ended:
        child = start(config)
        delay = instants.uniform(0, 1.1 * length) if struck < kills else 1e9
        if killed(child, delay, place / "killed.log"):
            struck += 1
        else:
            ended += 1
        best = check(place / "killed", known, best)
        if not os.path.lexists(place / "killed" / files.MANIFEST):
            continue
        equal_variables.append(compare(place / "whole", place / "killed"))
        print(f"after {struck} kills: run {ended} as undisturbed", flush=True)
        if struck < kills:  # the next run is struck, too
            shutil.rmtree(place / "killed")
            best = -1
    print(f"{struck} kills, {ended} runs ended by themselves, all as undisturbed")
    return {"kills": struck, "ended": ended, "equal_variables": equal_variables}


def killed(child: int, delay: float, log: pathlib.Path) -> bool:
    """Whether a process lived for `delay` seconds and was killed then."""
    until = time.monotonic() + delay
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status):
                sys.exit(f"a resumed run failed:\n{log.read_text()}")
            return False
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def check(run: pathlib.Path, known: list[list[np.ndarray]], best: int) -> int:
    """Checks what a kill has left; returns which of the `known` best models it is."""
    for stage in (run / run_folders.FIRST, run):
        if (stage / run_folders.HISTORY).is_file():
            epochs = [row["epoch"] for row in history(stage)]
            expected = [str(epoch + 1) for epoch in range(len(epochs))]
            assert epochs == expected, f"history has epochs {epochs}"
        for path in checkpoints.saved(stage / run_folders.CHECKPOINTS):
            files.verify_manifest(path)
    if not (run / run_folders.MODEL).is_file():
        assert best < 0, "the best model is gone"
        return best
    found = weights(run / run_folders.MODEL)
    (now,) = [i for i, one in enumerate(known) if equal(one, found)]
    assert now >= best, f"best model {best} was replaced by {now}"
    return now


def compare(whole: pathlib.Path, other: pathlib.Path) -> int:
    """Checks that two ended runs are the same to the bit; returns their variables."""
    for name in ("validation", "test"):
        table = pathlib.Path("predictions") / f"{name}.csv"
        assert (whole / table).read_bytes() == (other / table).read_bytes(), table
    leftovers = [path.name for path in other.rglob(".*")]
    assert not leftovers, f"left behind: {leftovers}"
    first = [run / run_folders.FIRST for run in (whole, other)]
    if first[0].is_dir():
        compare_stage(*first)
    return compare_stage(whole, other)


def compare_stage(whole: pathlib.Path, other: pathlib.Path) -> int:
    """Checks that two runs have learned the same in a stage; returns its variables."""
    assert history(whole) == history(other), "histories differ"
    assert equal(
        weights(whole / run_folders.MODEL), weights(other / run_folders.MODEL)
    ), "best model"
    one, two = (newest(run) for run in (whole, other))
    assert one.keys() == two.keys(), "checkpoints hold different variables"
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    return len(one)


def history(run: pathlib.Path) -> list[dict]:
    with open(run / run_folders.HISTORY) as file:
        return [row | {"seconds": ""} for row in csv.DictReader(file)]


def newest(run: pathlib.Path) -> dict[str, np.ndarray]:
    """All variables of the newest checkpoint: weights, optimizer, averages."""
    path = checkpoints.saved(run / run_folders.CHECKPOINTS)[-1] / "weights"
    reader = tf.train.load_checkpoint(str(path))
    names = [n for n in reader.get_variable_to_shape_map() if n[0] != "_"]
    return {name: reader.get_tensor(name) for name in names}


def weights(path: pathlib.Path) -> list[np.ndarray]:
    """All weights in a model.keras, in a fixed order."""
    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    found = []

    def take(_, item):
        if isinstance(item, h5py.Dataset):
            found.append(item[()])

    with h5py.File(content) as file:
        file.visititems(take)
    return found


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


if __name__ == "__main__":
    main()
