"""What a run was made with: enough to make it again elsewhere."""

import dataclasses
import datetime
import importlib.metadata
import pathlib
import platform
import subprocess
import sys

import tensorflow as tf

from nexperia_tf import predictions
from nexperia_tf.runs import precision as precisions
from nexperia_tf.runs import training_pictures

SCHEMA = 1  # of environment.json


def described(*, seed: int, deterministic: bool, precision: str) -> dict:
    """What environment.json holds: versions, device, commit and command of a run.

    Args:
        seed: of the run.
        deterministic: whether it can be repeated to the bit.
        precision: the number format it computes in, one of `precision.NAMES`.
    """
    packages = ("nexperia_tf", "tensorflow", "keras", "tensorflow-datasets", "numpy")
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(g)["device_name"] for g in gpus]
    return {
        "schema": SCHEMA,
        "predictions_schema": predictions.SCHEMA,
        "trained_on_schema": training_pictures.SCHEMA,
        "versions": {name: _version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": names or [platform.processor() or platform.machine()],
        "git_commit": _git_commit(),
        "precision": dataclasses.asdict(precisions.decided(precision)),
        "seed": seed,
        "deterministic": deterministic,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of this code, when it runs from a checkout."""
    try:
        root = pathlib.Path(__file__).parents[2]
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        quiet = subprocess.DEVNULL
        return subprocess.check_output(command, text=True, stderr=quiet).strip()
    except (OSError, subprocess.CalledProcessError):
        return None
