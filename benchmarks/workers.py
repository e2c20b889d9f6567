"""Claim: two workers learn what one learns, whichever of them is killed on the way.

A tiny network is trained by one process, then by two that find each other on loopback
through TF_CONFIG, as two machines would. One of them is killed within the second epoch:
the other must stop with one clear line. Resumed, both must end with the single
process's losses and scores, and only the chief may have written.

    python benchmarks/workers.py --victims 0 1
    python benchmarks/workers.py --victims 0 1 --stages
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import sys
import tempfile
import time

import numpy as np
import tiny_runs
from tiny_runs import ended, fork

from nexperia_tf import command, configs

command.import_tensorflow()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from nexperia_tf import files  # noqa: E402
from nexperia_tf import predictions as tables  # noqa: E402
from nexperia_tf.runs import run_folders  # noqa: E402
from nexperia_tf.training import checkpoints, loop, monitor  # noqa: E402

KILLED = (1, 4)  # epoch and step of the first stage there is, counted from 0
STAGES = {"first_epochs": 2, "first_drawn": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--victims", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--stages", action="store_true", help="train in two stages")
    parser.add_argument("--json", type=pathlib.Path, help="write what was found here")
    arguments = parser.parse_args()
    found: dict = {"victims": {}}
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        config = tiny_runs.config(
            place,
            learning_rate=0.01,
            optimizer="sgd",
            ema=0.9,
            sync_batch_norm=True,
            checkpoint_steps=3,
            **(STAGES if arguments.stages else {}),
        )
        found["keras_alone"] = [ended(child) for child in pair(place, plain_keras)]
        if 0 in found["keras_alone"]:
            sys.exit("Keras #20585 is solved: remove keras_internals.multiworker_fit")
        print("Keras alone does not train two workers", flush=True)
        alone = config.changed(out=str(place / "alone"))
        assert ended(fork(place / "alone.log", lambda: loop.train(alone))) == 0
        for victim in arguments.victims:
            out = place / f"victim{victim}"
            code = strike(config.changed(out=str(out)), place, victim)
            differences = compare(place / "alone", out)
            found["victims"][victim] = {"survivor": code, **differences}
    if arguments.json:
        files.write_json(arguments.json, found)


def plain_keras(rank: int) -> None:
    """Fits as Keras comes."""
    shared = tf.distribute.MultiWorkerMirroredStrategy()
    with shared.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False)
    data = tf.data.Dataset.from_tensors((np.ones((4, 4)), np.ones(4))).repeat()
    batches = shared.distribute_datasets_from_function(lambda context: data)
    model.fit(batches, steps_per_epoch=1, verbose=0)


def strike(config: configs.Config, place: pathlib.Path, victim: int) -> int:
    """Two workers train, one is killed, the other must stop; both are resumed.

    Returns:
        the exit code of the other one.
    """

    def work(rank: int, *, resume: bool = False) -> None:
        if rank:
            forbid_writing()
        if rank == victim and not resume:
            die_within()
        loop.train(config.changed(strategy="multiworker"), resume=resume)

    children = pair(place, work)
    assert ended(children[victim]) == -signal.SIGKILL
    started = time.monotonic()
    code = ended(children[1 - victim])
    line = (place / f"{1 - victim}.log").read_text().splitlines()[-1]
    assert code == command.BAD_INPUT and "has lost another" in line, line
    waited = time.monotonic() - started
    print(f"worker {victim} killed; {waited:.0f} s later: {line}", flush=True)
    for child in pair(place, lambda rank: work(rank, resume=True)):
        assert ended(child) == 0, (place / "0.log").read_text()
    return code


def pair(place: pathlib.Path, work) -> list[int]:
    """Two processes that run `work(rank)`, each with its TF_CONFIG."""
    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    workers = [f"127.0.0.1:{taken.getsockname()[1]}" for taken in free]
    for taken in free:
        taken.close()
    children = []
    for rank in range(2):
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": workers}, "task": task}
        )
        children.append(fork(place / f"{rank}.log", lambda rank=rank: work(rank)))
    return children


def die_within() -> None:
    """Has this process killed within an epoch."""
    step = monitor.Monitor.on_train_batch_end

    def killed(self, batch, logs=None):
        step(self, batch, logs)
        if (self.epoch, batch) == KILLED:
            os.kill(os.getpid(), signal.SIGKILL)

    monitor.Monitor.on_train_batch_end = killed


def forbid_writing() -> None:
    """Has this process fail when it writes anything of the run."""

    def refuse(*_, **__):
        raise AssertionError("a worker that is not the chief writes")

    files.write_bytes = checkpoints.save = monitor.save_model = refuse
    tf.summary.create_file_writer = refuse


def compare(one: pathlib.Path, other: pathlib.Path) -> dict[str, float]:
    """Checks that both runs have the same losses and scores; how far they are off."""
    found = [history(run) for run in (one, other)]
    for name in ("epoch", "loss", "val_auc", "val_log_loss"):
        np.testing.assert_allclose(*(rows[name] for rows in found), atol=1e-5)
    loss = np.abs(np.subtract(*(rows["loss"] for rows in found))).max()
    scores = [
        tables.read(run / "predictions" / "test.csv").score for run in (one, other)
    ]
    np.testing.assert_allclose(*scores, atol=1e-4)
    score = np.abs(np.subtract(*scores)).max()
    print(f"resumed as if alone: losses within {loss:.1e}, scores within {score:.1e}")
    return {"loss": float(loss), "score": float(score)}


def history(run: pathlib.Path) -> np.ndarray:
    return np.genfromtxt(run / run_folders.HISTORY, delimiter=",", names=True)


if __name__ == "__main__":
    main()
