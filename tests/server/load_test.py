"""A small version of benchmarks/serving_load.py: nothing wrong, lost or doubled."""

import pathlib
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "serving_load.py"


def run(*words) -> str:
    """What the script prints; it ends with 1 where it counts anything wrong."""
    argv = [sys.executable, str(SCRIPT), *map(str, words)]
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_corrupt_pictures_cost_no_other_its_verdict():
    said = run("load", "--requests", 500, "--corrupt", 0.05)
    assert "0 failed or wrong" in said
    assert int(re.search(r"(\d+) of them corrupt", said)[1]) > 20


def test_new_versions_cost_no_request_its_verdict():
    said = run("swaps", "--swaps", 4, "--clients", 4)
    assert "0 failed or wrong" in said
    assert int(re.search(r"at most (\d+) processes", said)[1]) <= 3


def test_a_killed_server_neither_loses_nor_doubles_a_verdict():
    said = run("kills", "--kills", 3)
    assert ": 0 lost, 0 other than stored" in said and "0 doubled" in said
