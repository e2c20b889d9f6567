import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def printed():
    """What the short form of the benchmark says."""
    # In a process of its own, because it forks.
    command = [sys.executable, "benchmarks/kills.py", "--kills", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_config_json_repeats_its_run_to_the_bit(printed):
    assert "its config.json repeats it to the bit" in printed


def test_a_run_that_is_killed_and_resumed_ends_as_it_would_have(printed):
    assert "3 kills" in printed and "all as undisturbed" in printed
