import json
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.training import devices

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]


def test_two_workers_learn_what_one_learns_and_survive_a_death(tmp_path):
    # The short form of the benchmark, which also fails on the day when Keras #20585 is
    # solved; in a process of its own, because it forks.
    file = tmp_path / "found.json"
    command = [sys.executable, "benchmarks/workers.py", "--victims", "0"]
    command += ["--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert 0 not in found["keras_alone"]
    resumed = found["victims"]["0"]
    assert resumed["survivor"] == 2  # bad input, in one line
    assert resumed["loss"] < 1e-5 and resumed["score"] < 1e-4


def test_a_worker_is_lost_only_before_all_is_done():
    workers = devices.Workers(tf.distribute.get_strategy(), rank=0, count=2)

    def lose_another(done: bool) -> None:
        with workers.losses_reported(), workers.last_barrier(lambda: done):
            raise tf.errors.UnavailableError(None, None, "Socket closed")

    lose_another(done=True)
    with pytest.raises(errors.BadInput, match="worker 0 of 2 has lost another"):
        lose_another(done=False)


@pytest.mark.parametrize(
    ("cluster", "task", "place"),
    [
        ({"worker": ["a:1", "b:1"]}, {"type": "worker", "index": 1}, (1, 2)),
        ({"chief": ["c:1"], "worker": ["a:1"]}, {"type": "chief", "index": 0}, (0, 2)),
        ({"chief": ["c:1"], "worker": ["a:1"]}, {"type": "worker", "index": 0}, (1, 2)),
    ],
)
def test_a_worker_finds_its_place(cluster, task, place):
    assert devices.place(json.dumps({"cluster": cluster, "task": task})) == place


@pytest.mark.parametrize(
    "told",
    [
        "",
        "{}",
        "[1]",
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_without_its_place_a_worker_is_refused(told):
    with pytest.raises(errors.BadInput, match="TF_CONFIG is .*; every worker needs"):
        devices.place(told)
