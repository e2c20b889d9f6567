"""Claim: a flipped bit is refused, and a full disk costs nothing that was there.

Trains a tiny network, then (1) flips single bits at random in its checkpoints, its
model.keras and its SavedModel, each of which must be refused in one line that names the
place, and (2) as root, on a tmpfs, has the disk run full at ever later writes of a run:
the run must end with one line and a code above 0, an older run beside it and what it
has published itself must be whole, and resumed on a larger disk it must end as
undisturbed.

    python benchmarks/damage.py --flips 300 --sizes 24

About ten seconds a disk: `--first 15` leaves out those before the fifteenth, and
`--sizes 240 --first 172` comes in small steps to the very last writes.
"""

import argparse
import collections
import contextlib
import itertools
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile

import tiny_runs

from nexperia_tf import command, configs

command.import_tensorflow()

from nexperia_tf import errors, files  # noqa: E402
from nexperia_tf.runs import run_folders  # noqa: E402
from nexperia_tf.serving import export  # noqa: E402
from nexperia_tf.training import checkpoints, loop  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--sizes", type=int, default=24, help="steps to a large disk")
    parser.add_argument("--first", type=int, default=0, help="disk to begin with")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        config = tiny_runs.config(
            place,
            out=str(place / "run"),
            checkpoint_steps=3,
            keep_checkpoints=3,
            deterministic=True,
        )
        code, said = forked(config, place / "log")
        if code:
            sys.exit(said)
        if arguments.sizes:
            fill(config, place, arguments.sizes, arguments.first)
        if arguments.flips:
            flip(place / "run", arguments.flips, arguments.seed)


def forked(config: configs.Config, log: pathlib.Path, *, resume=False) -> tuple:
    """A run in a process of its own: its exit code and the last line it said."""
    child = tiny_runs.fork(log, lambda: loop.train(config, resume=resume))
    code = tiny_runs.ended(child)
    lines = log.read_text().splitlines()
    return code, lines[-1] if lines else ""


def flip(run: pathlib.Path, flips: int, seed: int) -> None:
    """Every loader must refuse every flipped bit."""
    dice = random.Random(seed)
    refused = collections.Counter()
    names = ("checkpoint", run_folders.MODEL, run_folders.SAVED_MODEL)
    for i in range(flips):
        name = names[i % len(names)]
        place = run / name
        if name == "checkpoint":
            place = dice.choice(checkpoints.saved(run / run_folders.CHECKPOINTS))
        with flipped(place, dice) as path, alone(place):
            try:
                load(run, name)
            except errors.BadInput as error:
                line = str(error)
                assert "\n" not in line, line
                assert str(place) in line or place.name in line, line
                refused[name] += 1
            else:
                print(f"LOADED with a flipped bit in {path}")
    counts = ", ".join(f"{count} of {name}" for name, count in refused.items())
    print(f"{flips} flipped bits, {sum(refused.values())} refused: {counts}")


def load(run: pathlib.Path, name: str) -> None:
    if name == run_folders.MODEL:
        run_folders.load(run).model()
    elif name == run_folders.SAVED_MODEL:
        export.load(run)
    else:
        checkpoints.restore(run / run_folders.CHECKPOINTS, model=None, optimizer=None)


@contextlib.contextmanager
def flipped(place: pathlib.Path, dice: random.Random):
    """One bit of one of the files at a place is wrong for a while."""
    parts = [place] if place.is_file() else sorted(place.rglob("*"))
    path = dice.choice([p for p in parts if p.is_file() and p.stat().st_size])
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(damaged)
    yield path
    path.write_bytes(content)


@contextlib.contextmanager
def alone(checkpoint: pathlib.Path):
    """Other checkpoints are out of sight, or resume would take one of them."""
    others = []
    if checkpoint.parent.name == run_folders.CHECKPOINTS:
        others = [p for p in checkpoints.saved(checkpoint.parent) if p != checkpoint]
    for other in others:
        other.rename(other.with_name(f"aside {other.name}"))
    yield
    for other in others:
        other.with_name(f"aside {other.name}").rename(other)


def fill(config: configs.Config, place: pathlib.Path, sizes: int, first: int) -> None:
    """Runs on ever larger disks, until one is large enough."""
    whole = place / "run"
    disk = place / "disk"
    disk.mkdir()
    needed = size(whole)  # at its end; what is written beside comes on top
    lines = collections.Counter()
    for k in itertools.count(first):
        with mounted(disk, size(whole) + needed * k // sizes):
            shutil.copytree(whole, disk / "older")
            out = config.changed(out=str(disk / "new"))
            code, line = forked(out, place / "log")
            if not code:
                break  # it fits
            one_line = line.startswith("error: ")
            assert one_line, f"code {code} on disk {k}: {line}"
            lines[line.split(":")[-1].strip()] += 1
            print(f"disk {k}: code {code}, {line[:150]}", flush=True)
            files.verify_manifest(disk / "older")
            assert not (disk / "new" / files.MANIFEST).exists()
            for saved in checkpoints.saved(disk / "new" / run_folders.CHECKPOINTS):
                files.verify_manifest(saved)
            if (disk / "new" / run_folders.MODEL).exists():
                # By its checksums: TensorFlow, once used, does not survive a fork.
                assert not zipfile.ZipFile(disk / "new" / run_folders.MODEL).testzip()
            subprocess.run(["mount", "-o", "remount,size=1g", disk], check=True)
            begun = (disk / "new" / run_folders.CONFIG).exists()
            code, line = forked(out, place / "log", resume=begun)
            assert not code, line
            for split in ("validation", "test"):
                table = pathlib.Path("predictions") / f"{split}.csv"
                same = (whole / table).read_bytes() == (
                    disk / "new" / table
                ).read_bytes()
                assert same, f"{table} after disk {k}"
    said = ", ".join(f"{count} x {line}" for line, count in lines.items())
    print(f"disk {k} is large enough")
    print(f"{sum(lines.values())} full disks, all resumed as undisturbed; {said}")


def size(folder: pathlib.Path) -> int:
    """Bytes on a disk of pages."""
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file()]
    return sum(-(-size // 4096) * 4096 for size in sizes) + (64 << 10)


@contextlib.contextmanager
def mounted(disk: pathlib.Path, size: int):
    size = max(size, 4096)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
    subprocess.run(command, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", disk], check=True)


if __name__ == "__main__":
    main()
