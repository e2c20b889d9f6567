"""Claim: beside `import tensorflow` a command is at its first step in a few seconds.

Times `nexperia train` up to its first training step and `nexperia predict` up to its
first scores, each in a fresh process and by part, in seconds of the clock and of
processor time; the least of some rounds. What `import tensorflow` takes in a process
that does nothing else is timed beside them; the rest is the command's own. With
--before the package of another checkout is timed in turn, on the same records and with
the same model.

    python benchmarks/first_step.py
    python benchmarks/first_step.py --before ../older-checkout --rounds 5
"""

import argparse
import collections
import functools
import importlib.machinery
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

HERE = pathlib.Path(__file__).parents[1]
STARTED = "FIRST_STEP_STARTED"  # environment variable: when the process was started
ANSWER = "first step: "  # before the parts, as JSON
TENSORFLOW = "import tensorflow"
# At which call, or return from one, which part has ended; the last ends the process.
FIRST_STEP, FIRST_SCORES = "first step", "first scores"
_BATCH_END = "Monitor.on_train_batch_end"
PARTS = (
    ("nexperia_tf.command", "import_tensorflow", "call", "Python and command line"),
    ("nexperia_tf.command", "import_tensorflow", "return", TENSORFLOW),
    ("nexperia_tf.training.loop", "train", "call", "other imports"),
    ("nexperia_tf.training.fitting", "stages", "call", "records and recipe"),
    ("nexperia_tf.training.fitting", "built", "return", "network"),
    ("nexperia_tf.training.fitting", "batches_of", "call", "run folder"),
    ("nexperia_tf.training.monitor", "Monitor.on_epoch_begin", "call", "input"),
    ("nexperia_tf.training.monitor", _BATCH_END, "call", FIRST_STEP),
    ("nexperia_tf.serving.export", "load", "call", "other imports"),
    ("nexperia_tf.serving.export", "load", "return", "network"),
    ("nexperia_tf.serving.scoring", "_rows", "call", "input"),
    ("nexperia_tf.serving.scoring", "_rows", "return", FIRST_SCORES),
)
LAST = (FIRST_STEP, FIRST_SCORES)
BACKBONE, SIZE = "resnext26_32x4d", 64
TRAIN = ("--backbone", BACKBONE, "--image-size", str(SIZE), "--batch-size", "16")
PUBLISH = f"""
import pathlib, sys
from nexperia_tf import command
command.import_tensorflow()
from nexperia_tf.models import classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export
export.publish(
    classifier.build({BACKBONE!r}, image_size={SIZE}, channels=1),
    pathlib.Path(sys.argv[1]),
    backbone={BACKBONE!r},
    calibration=run_folders.Calibration(),
)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=pathlib.Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--devices", type=int, default=150)
    arguments = parser.parse_args()
    packages = {"now": HERE}
    if arguments.before:
        packages = {"before": arguments.before.resolve(), **packages}
    with tempfile.TemporaryDirectory() as place:
        commands = prepared(pathlib.Path(place), arguments.devices)
        for title, words in commands.items():
            print(f"{title}\n{compared(words, packages, arguments.rounds)}\n")


def prepared(place: pathlib.Path, devices: int) -> dict[str, list[str]]:
    """The commands that are timed; makes the records and the model that they use."""
    raw, data, model = (str(place / name) for name in ("raw", "data", "model"))
    asked = ["-m", "nexperia_tf", "sample", raw, "--devices", str(devices)]
    for words in (asked, ["-c", PUBLISH, model]):
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
    learn = ["train", "--data", raw, "--data-dir", data, *TRAIN, "--epochs", "1"]
    timed([*learn, "--out", f"{place}/first"], HERE)  # makes the records
    train = [*learn, "--out", f"{place}/new-{{}}"]
    predict = ["predict", model, raw, "--out", f"{place}/scores-{{}}.csv"]
    return {
        "nexperia train, to the first training step": train,
        "nexperia predict, to the first scores": predict,
    }


def compared(words: list[str], packages: dict[str, pathlib.Path], rounds: int) -> str:
    """A table: a line for each part, seconds and seconds of CPU for each package."""
    found, alone = collections.defaultdict(list), []
    for number in range(rounds):
        alone.append(_tensorflow_alone())
        for name, root in packages.items():  # in turn, as other work comes and goes
            outs = [word.format(f"{name}-{number}") for word in words]
            found[name].append(timed(outs, root))
    heads = "".join(f"{name + ', s':>12}{'CPU s':>8}" for name in packages)
    lines = [f"{'':<26}{heads}"]
    for part in found[next(iter(packages))][0]:
        lines.append(_line(part, [[r[part] for r in found[name]] for name in packages]))
    wholes = [[_sum(*parts.values()) for parts in found[name]] for name in packages]
    import_ = _least(alone)
    own = [_minus(_least(whole), import_) for whole in wholes]
    lines += [
        _line("together", wholes),
        _line("its own", [[times] for times in own]),
        f"{TENSORFLOW} alone: {import_[0]:.2f} s, {import_[1]:.2f} s of CPU",
    ]
    if len(packages) == 2:
        share = own[1][1] / own[0][1]
        lines.append(f"CPU time of its own, now / before: {share:.2f}")
    return "\n".join(lines)


def _tensorflow_alone() -> tuple[float, float]:
    code = "import time, tensorflow; print(time.process_time())"
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    return time.time() - started, float(done.stdout)


def timed(words: list[str], root: pathlib.Path) -> dict[str, tuple[float, float]]:
    """Part -> seconds and seconds of CPU, of one command in a process of its own."""
    here = str(pathlib.Path(__file__).parent)
    paths = os.pathsep.join([str(root), here])
    environment = os.environ | {"PYTHONPATH": paths, STARTED: repr(time.time())}
    done = subprocess.run(
        [sys.executable, "-c", "import first_step; first_step.inside()", *words],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
    )
    for line in done.stdout.splitlines():
        if line.startswith(ANSWER):
            return json.loads(line.removeprefix(ANSWER))
    raise SystemExit(f"nexperia {' '.join(words)} failed:\n{done.stdout}{done.stderr}")


def inside() -> None:
    """Runs the command of this process, and ends it where its last part ends."""
    found: dict[str, tuple[float, float]] = {}
    last = [float(os.environ[STARTED]), 0.0]

    def ends(part: str) -> None:
        if part not in found:
            now = [time.time(), time.process_time()]
            found[part] = (now[0] - last[0], now[1] - last[1])
            last[:] = now
        if part in LAST:
            print(f"\n{ANSWER}{json.dumps(found)}", flush=True)
            os._exit(0)

    sys.meta_path.insert(0, _Watching(ends))
    from nexperia_tf import cli

    sys.argv[0] = "nexperia"
    cli.main()


class _Watching:
    """Finds the modules of `PARTS` as Python does, and watches their functions."""

    def __init__(self, ends: Callable[[str], None]):
        self._ends = ends

    def find_spec(self, name, path=None, target=None):
        watched = [row[1:] for row in PARTS if row[0] == name]
        spec = watched and importlib.machinery.PathFinder.find_spec(name, path, target)
        if not spec:
            return None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            for function, when, part in watched:
                _watch(module, function, when, functools.partial(self._ends, part))

        spec.loader.exec_module = exec_module
        return spec


def _watch(module, function: str, when: str, ends: Callable[[], None]) -> None:
    *owner, name = function.split(".")
    owner = getattr(module, owner[0]) if owner else module
    original = getattr(owner, name)

    @functools.wraps(original)
    def watched(*args, **kwargs):
        if when == "call":
            ends()
        result = original(*args, **kwargs)
        if when == "return":
            ends()
        return result

    setattr(owner, name, watched)


def _line(part: str, sides: list[list[tuple[float, float]]]) -> str:
    cells = "".join("{:>12.2f}{:>8.2f}".format(*_least(side)) for side in sides)
    return f"{part:<26}{cells}"


def _least(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return tuple(map(min, zip(*times)))


def _sum(*times: tuple[float, float]) -> tuple[float, float]:
    return tuple(map(sum, zip(*times)))


def _minus(one: tuple[float, float], other: tuple[float, float]):
    return one[0] - other[0], one[1] - other[1]


if __name__ == "__main__":
    main()
