"""What benchmarks of whole runs share: a tiny network, noise to learn, runs apart."""

import os
import pathlib
import sys

import numpy as np
from PIL import Image

from nexperia_tf import command, configs


def config(place: pathlib.Path, **knobs) -> configs.Config:
    """Two epochs of the tiny network on noise drawn at `place`; measures stay there."""
    from nexperia_tf.models import backbones  # TensorFlow: whoever runs this has it

    shape = backbones.Shape((1,), groups=2, width=32, planes=(4,), stem=4)
    backbones.BACKBONES["tiny"] = shape
    os.environ["XDG_CACHE_HOME"] = str(place / "cache")
    draw(place / "raw")
    settings = {
        "backbone": "tiny",
        "data": str(place / "raw"),
        "data_dir": str(place / "data"),
        "image_size": 32,
        "batch_size": 8,
        "epochs": 2,
    }
    return configs.of(**settings | knobs)


def draw(folder: pathlib.Path) -> None:
    """Forty pictures of each class; defects are a little brighter."""
    noise = np.random.default_rng(0)
    for name, low in (("good", 0), ("defect", 12)):
        (folder / name).mkdir(parents=True)
        for i in range(40):
            pixels = noise.integers(low, 196 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def fork(log: pathlib.Path, work) -> int:
    """Does `work()` as a command would, in a process of its own; returns its id.

    Forked, because importing TensorFlow takes longer than the training. The last line
    of the log is the error, if there was one.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        command.run(lambda _: work() and None, command.Options, argv=["--debug"])
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """The exit code of a process, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
