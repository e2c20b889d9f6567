import pathlib
import sys
import types

import psutil
import pytest

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def benchmark(script) -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield script("benchmarks/dedupe")


def test_a_peer_whose_time_is_up_ends_with_its_children(benchmark, tmp_path):
    written = tmp_path / "pid"
    program = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '99'])\n"
        f"pathlib.Path({str(written)!r}).write_text(str(child.pid))\n"
        "time.sleep(99)"
    )
    command = [sys.executable, "-c", program]
    _, seconds = benchmark.run_peer(command, gigabytes=1, seconds=3)
    assert 3 <= seconds < 30
    child = int(written.read_text())
    assert not psutil.pid_exists(child) or (
        psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    )


def test_a_peer_gets_no_more_memory_than_allowed(benchmark):
    command = [sys.executable, "-c", "bytearray(2 * 10**9)"]
    memory, seconds = benchmark.run_peer(command, gigabytes=1, seconds=60)
    assert memory < 1000
    assert seconds < 60
