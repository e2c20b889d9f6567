import json
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What three kills of the benchmark find."""
    # In a process of its own, because it forks.
    file = tmp_path_factory.mktemp("kills") / "found.json"
    command = [sys.executable, "benchmarks/kills.py", "--kills", "3", "--json", file]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(file.read_text())


def test_a_config_json_repeats_every_variable_of_its_run(found):
    assert found["variables_repeated_from_config"] > 50


def test_a_run_that_is_killed_and_resumed_ends_as_it_would_have(found):
    resumed = found["resumed"]
    assert resumed["kills"] == 3 and resumed["ended"] >= 1
    assert set(resumed["equal_variables"]) == {found["variables_repeated_from_config"]}
