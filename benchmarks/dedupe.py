"""The search for copies beside imagededup's PHash at its defaults, on one folder.

    python benchmarks/dedupe.py RAW --peer-python VENV/bin/python [--sizes 5000 40000]
        [--peer-gigabytes 16] [--peer-seconds 600]

For each size a folder of images of different devices (`dedupe_recall.originals`) and
planted copies of them; ours and imagededup search it one after the other, each in a
process of its own. Seconds hold reading and search; memory is the summed PSS of the
process and its children. A planted copy is found when it and its original are a pair.

A peer that has not answered in its time, or died, is ended with its children. What that
says of the ratio is printed, from the whole time of both processes, imports included.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import pathlib
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence

import dedupe_recall
import numpy as np
import planting
import psutil

from nexperia_tf.data import images
from nexperia_tf.data.duplicates import search
from nexperia_tf.data.measure import scan

COPIES = 0.08  # of the images of a folder


def ours(folder: pathlib.Path, answer: pathlib.Path) -> None:
    """Does what dedupe_peer.py does."""
    now = time.perf_counter
    start = now()
    paths = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*"))
    measures = scan.measure(folder, paths)
    pictures = [search.Measured.of(path, found) for path, found in measures.items()]
    seconds = {"read": now() - start}
    step, began = "prepare", now()

    def on_progress(name: str, done: int, total: int) -> None:
        nonlocal step, began
        if name != step:
            seconds[step], step, began = now() - began, name, now()

    found = search.find(
        pictures,
        load=lambda path: images.load((folder / path).read_bytes()).pixels,
        workers=2,
        on_progress=on_progress,
    )
    seconds[step] = now() - began
    pairs = [
        sorted((path, other))
        for cluster in found.clusters
        for k, path in enumerate(cluster)
        for other in cluster[k + 1 :]
    ]
    answer.write_text(json.dumps({"seconds": seconds, "pairs": pairs}))


def measured(process, wait) -> tuple[float, float]:
    """Waits for a process; MB that it and its children took at most, and seconds."""
    start, ended, peaks = time.perf_counter(), threading.Event(), [0]

    def watch():
        while not ended.wait(0.5):
            peaks.append(0)
            with contextlib.suppress(psutil.Error):  # one has just ended
                for one in [process, *process.children(recursive=True)]:
                    peaks[-1] += one.memory_full_info().pss

    watcher = threading.Thread(target=watch)
    watcher.start()
    wait()
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    return max(peaks) / 1e6, seconds


def run_ours(folder: pathlib.Path, answer: pathlib.Path) -> tuple[float, float]:
    """Runs `ours` in a fresh process; peak MB and seconds."""
    child = multiprocessing.get_context("spawn").Process(
        target=ours, args=(folder, answer)
    )
    child.start()
    return measured(psutil.Process(child.pid), child.join)


def run_peer(
    command: Sequence, *, gigabytes: float, seconds: float
) -> tuple[float, float]:
    """The same of a command, which is ended with its children when its time is up.

    Args:
        command: with its arguments.
        gigabytes: of address space that each of its processes may ask for.
        seconds: that it may take.
    """
    most = int(gigabytes * 1e9)
    child = subprocess.Popen(
        command,
        start_new_session=True,  # its children can be told from ours
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
    )

    def wait():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
        with contextlib.suppress(ProcessLookupError):  # none is left
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    return measured(psutil.Process(child.pid), wait)


def report(name: str, answer: pathlib.Path, memory: float, truth, count: int) -> float:
    """Prints a line of the table; images per second."""
    found = json.loads(answer.read_text())
    photograph = {path: source for path, (_, source) in truth.items()}
    pairs = {tuple(pair) for pair in found["pairs"]}
    right = sum(photograph.get(a, a) == photograph.get(b, b) for a, b in pairs)
    hit = np.mean(
        [tuple(sorted(pair)) in pairs for pair in photograph.items()], dtype=float
    )
    rate = count / sum(found["seconds"].values())
    steps = ", ".join(f"{step} {value:.0f}" for step, value in found["seconds"].items())
    print(
        f"{name:10} {count:6} images {rate:6.0f} images/s ({steps} s) {memory:5.0f} MB "
        f"pairs {len(pairs)} precision {right / max(1, len(pairs)):.2%} "
        f"recall {hit:.2%}",
        flush=True,
    )
    return rate


def main(
    raw: pathlib.Path,
    peer: str | None,
    sizes: list[int],
    gigabytes: float,
    seconds: float,
) -> None:
    """Prints a table, two lines a size."""
    originals = dedupe_recall.originals(raw)
    kinds = ["byte", *planting.SAME_PHOTOGRAPH, *planting.MOVED]
    script = pathlib.Path(__file__).with_name("dedupe_peer.py")
    for size in sizes:
        random = np.random.default_rng(0)
        copies = round(COPIES * size)
        if size - copies > len(originals):
            raise SystemExit(f"{raw}: {len(originals)} images are too few for {size}.")
        paths = originals[: size - copies]
        with tempfile.TemporaryDirectory() as name:
            folder, answer = pathlib.Path(name, "images"), pathlib.Path(name, "answer")
            (folder / "planted").mkdir(parents=True)
            for path in paths:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).symlink_to((raw / path).resolve())
            truth = dedupe_recall.plant(raw, paths, folder, kinds, copies, random)
            memory, took = run_ours(folder, answer)
            rate = report("ours", answer, memory, truth, size)
            answer.unlink()
            if not peer:
                continue
            memory, waited = run_peer(
                [peer, script, folder, answer], gigabytes=gigabytes, seconds=seconds
            )
            if answer.exists():
                peer = report("imagededup", answer, memory, truth, size)
                print(f"ours / imagededup: {rate / peer:.2f}", flush=True)
            else:
                print(
                    f"imagededup {size:6} images: no answer after {waited:.0f} s, "
                    f"{memory:.0f} MB at most, {gigabytes:g} GB allowed a process; "
                    f"ours had answered after {took:.0f} s\n"
                    f"ours / imagededup: at least {waited / took:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", type=pathlib.Path)
    parser.add_argument("--peer-python", help="interpreter with imagededup")
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000])
    parser.add_argument("--peer-gigabytes", type=float, default=16, help="a process")
    parser.add_argument("--peer-seconds", type=float, default=600)
    options = parser.parse_args()
    main(
        options.raw,
        options.peer_python,
        options.sizes,
        options.peer_gigabytes,
        options.peer_seconds,
    )
