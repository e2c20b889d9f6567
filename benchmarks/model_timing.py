"""What the model benchmarks share: interleaved medians, a peer process, arithmetic."""

import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import keras
import torch_peer


class Peer:
    """timm in an interpreter of its own, asked for one job at a time.

    Args:
        python: an interpreter that has torch and timm.
        knobs: command-line options of torch_peer.py.
    """

    def __init__(self, python: str, **knobs):
        words = [word for name, knob in knobs.items() for word in (f"--{name}", knob)]
        self._process = subprocess.Popen(
            [python, torch_peer.__file__, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        )
        self.versions = self._answer()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the torch interpreter ended; its message is above")
        return json.loads(line)

    def ask(self, job: str) -> dict:
        print(job, file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def timed(function: Callable) -> Callable[[], dict]:
    """The same answer as the peer's, from a function of this process."""

    def run() -> dict:
        before = torch_peer.resident_memory()
        start, start_cpu = time.perf_counter(), time.process_time()
        function()
        return {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - start_cpu,
            "bytes": torch_peer.peak_memory() - before,
        }

    return run


def interleaved(jobs: dict[str, Callable[[], dict]], rounds: int) -> dict[str, dict]:
    """Median times of each job, run in turn, and the memory of its first run.

    Two runs warm each job up. `cpu_seconds` are those of all threads: they tell jobs
    apart even while something else takes turns on the processor. A job that cannot run
    keeps its `problem`.
    """
    results = {name: {"seconds": [], "cpu_seconds": []} for name in jobs}
    for turn in range(rounds + 2):
        for name, job in jobs.items():
            answer = {} if "problem" in results[name] else job()
            if turn == 0:
                results[name]["bytes"] = answer.get("bytes")
            if "problem" in answer:
                results[name]["problem"] = answer["problem"]
            elif turn >= 2 and answer:
                for unit in ("seconds", "cpu_seconds"):
                    results[name][unit].append(answer[unit])
    for result in results.values():
        for unit in ("seconds", "cpu_seconds"):
            result[unit] = statistics.median(result[unit] or [float("nan")])
    return results


def matrix_rate(side: int = 2048, dtype: str = "float32", repeats: int = 5) -> float:
    """Multiply-adds per second of a square matrix product."""
    matrix = keras.random.normal((side, side), dtype=dtype)
    product = keras.ops.matmul(matrix, matrix)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        product = keras.ops.matmul(matrix, matrix)
        float(keras.ops.cast(product[0, 0], "float32"))  # waits for it
        seconds.append(time.perf_counter() - start)
    return side**3 / min(seconds)


def machine() -> str:
    """Processor and versions in one line."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(line.split(":")[1].strip() for line in lines if "name" in line)
    except (OSError, StopIteration):
        pass
    versions = [f"keras {keras.__version__} on {keras.backend.backend()}"]
    for module in ("tensorflow", "jax"):
        if module in sys.modules:
            versions.append(f"{module} {sys.modules[module].__version__}")
    return f"{name}, {os.cpu_count()} cores; {', '.join(versions)}"


def time_by_kernel(step: Callable, folder: pathlib.Path) -> str:
    """Milliseconds by kind of operation of one step, longest first.

    On a GPU by kernel of the card, else by TensorFlow's operations.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    tf.profiler.experimental.start(str(folder))
    step()
    tf.profiler.experimental.stop()
    space = xplane_pb2.XSpace()
    space.ParseFromString(next(folder.rglob("*.xplane.pb")).read_bytes())
    spent = {}
    for kind, milliseconds in _card_events(space) or _host_events(space):
        spent.setdefault(kind, []).append(milliseconds)
    rows = sorted(spent.items(), key=lambda row: -sum(row[1]))[:40]
    return "\n".join(
        f"{sum(times):10.1f} ms {len(times):6d} x  {kind}" for kind, times in rows
    )


def _events(plane) -> list[tuple[str, str, float]]:
    return [
        (line.name, plane.event_metadata[event.metadata_id].name, event.duration_ps)
        for line in plane.lines
        for event in line.events
    ]


def _card_events(space) -> list[tuple[str, float]]:
    """Kernels on the streams of a card."""
    return [
        (name[:100], duration / 1e9)
        for plane in space.planes
        if "GPU" in plane.name
        for line, name, duration in _events(plane)
        if line.startswith("Stream")
    ]


def _host_events(space) -> list[tuple[str, float]]:
    return [
        (kind, duration / 1e9)
        for plane in space.planes
        for _, name, duration in _events(plane)
        for kind in [name.rpartition(":")[2]]
        if ":" in name and kind.isidentifier()
    ]


def write_profile(step, path: pathlib.Path) -> None:
    """Prints the time by kernel of a step and keeps it."""
    with tempfile.TemporaryDirectory() as trace:
        table = time_by_kernel(step, pathlib.Path(trace))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{machine()}\n{table}\n")
    print(table)
