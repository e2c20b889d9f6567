import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]


def test_a_run_that_is_killed_and_resumed_ends_as_it_would_have():
    # The short form of the benchmark; in a process of its own, because it forks.
    command = [sys.executable, "benchmarks/kills.py", "--kills", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills" in done.stdout and "all as undisturbed" in done.stdout
