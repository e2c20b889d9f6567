import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]

PROGRAM = """
import dataclasses, json, pathlib, sys
import numpy as np, tensorflow as tf
from nexperia_tf import configs, errors, files
from nexperia_tf.models import backbones
from nexperia_tf.runs import run_folders
from nexperia_tf.training import loop

cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
place = pathlib.Path(sys.argv[1])
backbones.BACKBONES["tiny"] = backbones.Shape(
    (1,), groups=2, width=32, planes=(4,), stem=4
)
config = configs.of(
    backbone="tiny", data=str(place / "raw"), data_dir=str(place / "data"),
    image_size=32, batch_size=8, epochs=2, learning_rate=0.01, ema=0.9,
    sync_batch_norm=True,
)

def trained(strategy, **flags):
    out = place / "-".join(map(str, (strategy, *flags.values())))
    config_ = config.changed(strategy=strategy, out=str(out), **flags)
    return loop.train(config_)

def losses(run):
    lines = (run / run_folders.HISTORY).read_text().splitlines()
    column = lines[0].split(",").index("loss")
    return [float(line.split(",")[column]) for line in lines[1:]]

flags = json.loads(sys.argv[2])
for optimizer, atol in (("sgd", 1e-5), ("adamw", 1e-3)):
    alone = trained("none", optimizer=optimizer, **flags)
    shared = trained("mirrored", optimizer=optimizer, **flags)
    np.testing.assert_allclose(losses(alone), losses(shared), atol=atol)
    models = (run_folders.load(run).model(with_map=True) for run in (alone, shared))
    one, other = (model.get_weights() for model in models)
    for ours, theirs in zip(one, other):
        np.testing.assert_allclose(ours, theirs, atol=10 * atol)
for knob, value in (("batch_size", 7), ("clip_norm", 1.0), ("accumulate", 2)):
    try:
        trained("mirrored", optimizer="momentum", **{knob: value})
    except errors.BadInput as error:
        assert f"--{knob.replace('_', '-')}" in str(error), error
    else:
        raise AssertionError(f"{knob} was taken")
"""


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"drawn": 0.5, "drawn_only": True, "drawn_map": 1.0},
        {"first_epochs": 1, "first_drawn": 0.5, "epochs": 1},
    ],
)
def test_two_devices_that_share_each_batch_learn_what_one_learns(flags, tmp_path):
    noise = np.random.default_rng(0)
    for name, low in (("good", 0), ("defect", 12)):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for i in range(40):
            pixels = noise.integers(low, 196 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "raw" / name / f"{i}.png")
    # A process of its own: logical devices are fixed before TensorFlow's first use, and
    # two models of other sizes would share the names of their sums.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), json.dumps(flags)],
        cwd=ROOT,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
