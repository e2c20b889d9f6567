"""Claim: 100,000 pictures go through prepare and predict, predict in flat memory.

Draws tiny grey pictures into a temporary folder that grows, and runs the public
commands on it at each size: seconds, seconds of CPU and the peak of the largest
process. What prepare measured of a picture is not kept from one size to the next.

    python benchmarks/many_files.py --sizes 25000 50000 100000
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from PIL import Image

SIDE = 24  # pixels
COARSE = 6  # patches a side, of which a picture is blown up
DEFECTS = 10  # every how many pictures there is one

PUBLISH = """
import pathlib, sys
from nexperia_tf import command
command.import_tensorflow()
from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export
shape = backbones.Shape((1, 1, 1, 1), planes=(8, 8, 8, 8), stem=8)
model = classifier.build(shape, image_size=32, channels=int(sys.argv[2]))
export.publish(
    model,
    pathlib.Path(sys.argv[1]),
    backbone="tiny",
    calibration=run_folders.Calibration(),
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = (25_000, 50_000, 100_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes)
    parser.add_argument("--only", choices=("prepare", "predict"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        run([sys.executable, "-c", PUBLISH, place / "model", 1])
        drawn = 0
        for files in sorted(arguments.sizes):
            draw(place / "raw", drawn, files)
            drawn = files
            for name, argv in commands(place, files).items():
                if arguments.only in (None, name):
                    seconds, usage, said = run(argv)
                    busy = usage.ru_utime + usage.ru_stime
                    print(
                        f"{name} {files:,} files: {seconds:.1f} s, {busy:.1f} s of "
                        f"CPU, {files / busy:.0f} pictures a second of CPU, peak "
                        f"{usage.ru_maxrss / 1024:.0f} MiB"
                    )
                    print("".join(f"  | {line}\n" for line in said), end="", flush=True)


def commands(place: pathlib.Path, files: int) -> dict[str, list]:
    """The command lines by name."""
    nexperia = [sys.executable, "-m", "nexperia_tf"]
    # Apart, or the larger one would keep the splits of the smaller one.
    prepared, table = place / str(files) / "prepared", place / f"scores_{files}.csv"
    return {
        "prepare": [*nexperia, "prepare", place / "raw", "--out", prepared, "--fresh"],
        "predict": [
            *nexperia,
            "predict",
            place / "model",
            place / "raw",
            "--out",
            table,
        ],
    }


def draw(raw: pathlib.Path, first: int, last: int) -> None:
    """Pictures `first` to `last` of a random series, no two of them alike."""
    for name in ("good", "defect"):
        (raw / name).mkdir(parents=True, exist_ok=True)
    scale = SIDE // COARSE
    for i in range(first, last):
        noise = np.random.default_rng(i)
        patches = noise.integers(40, 216, (COARSE, COARSE)).repeat(scale, 0)
        pixels = patches.repeat(scale, 1) + noise.integers(-20, 21, (SIDE, SIDE))
        name = "good" if i % DEFECTS else "defect"
        Image.fromarray(pixels.astype(np.uint8)).save(raw / name / f"{i:06}.png")


def run(argv: list) -> tuple[float, resource.struct_rusage, list[str]]:
    """Seconds, use of resources and last lines of a command."""
    start = time.perf_counter()
    # A child's peak is never below what this process holds, which is little.
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(list(map(str, argv)), stdout=said, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().splitlines()
    if child.returncode:
        raise SystemExit("\n".join([f"{argv} ends with {child.returncode}", *lines]))
    return time.perf_counter() - start, usage, lines[-12:]


if __name__ == "__main__":
    main()
