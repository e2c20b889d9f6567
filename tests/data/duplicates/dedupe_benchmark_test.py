import pathlib
import sys
import time
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
    until = time.monotonic() + 30  # a kill is an order: the system obeys in its time
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def alive(process: int) -> bool:
    """Whether it runs; what has ended may wait to be collected."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_peer_gets_no_more_memory_than_allowed(benchmark):
    command = [sys.executable, "-c", "bytearray(2 * 10**9)"]
    memory, seconds = benchmark.run_peer(command, gigabytes=1, seconds=60)
    assert memory < 1000
    assert seconds < 60
