import datetime
import json
import pathlib
import platform
import subprocess
import sys

import keras
import numpy as np

from nexperia_tf.runs import environment

ROOT = pathlib.Path(__file__).parents[2]


def test_the_environment_is_the_one_that_runs_and_fits_into_json():
    described = environment.described(seed=3, deterministic=True, precision="float32")
    assert json.loads(json.dumps(described)) == described
    assert described["python"] == platform.python_version()
    assert described["versions"]["keras"] == keras.__version__
    assert described["versions"]["numpy"] == np.__version__
    assert (described["seed"], described["deterministic"]) == (3, True)
    assert described["command"] == sys.argv
    started = datetime.datetime.fromisoformat(described["started"])
    age = datetime.datetime.now(datetime.UTC) - started
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=1)


def test_the_commit_is_that_of_the_checkout():
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(head, capture_output=True, text=True)
    expected = done.stdout.strip() if done.returncode == 0 else None
    assert environment._git_commit() == expected


def test_a_package_that_is_not_there_has_no_version():
    assert environment._version("no-such-package-of-ours") is None
