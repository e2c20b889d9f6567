"""The models on JAX, in a process of its own: a backend is chosen once."""

import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
GPU_BENCHMARK = [
    str(ROOT / "benchmarks" / "gpu.py"),
    *("--backbone", "resnext26_32x4d", "--size", "32", "--batches", "2"),
    *("--steps", "1", "--policies", "float32", "mixed_float16"),
]

PARITY = """
import sys, keras, numpy as np
from nexperia_tf.models import backbones, classifier, pretrained
from nexperia_tf.training import losses, optimizers
assert keras.backend.backend() == "jax" and "tensorflow" not in sys.modules
shape = backbones.Shape((1, 2, 1, 1), planes=(8, 8, 16, 16), groups=8, width=32)
model = classifier.build(shape, image_size=None, channels=3, classes=10)
pretrained.load(model, "tests/models/goldens/grouped.safetensors")
golden = np.load("tests/models/goldens/grouped.npz")
logits = np.asarray(model(golden["pixels"], training=False))
error = np.abs(logits - golden["logits"]).max() / np.abs(golden["logits"]).max()
assert error < 1e-4, error
"""


def run(*words: str, backend: str) -> str:
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None,
    reason="jax is no dependency; `pip install jax` to run this",
)


@needs_jax
def test_outputs_are_timms_on_jax():
    run("-c", PARITY, backend="jax")


@pytest.mark.slow
def test_gpu_benchmark_runs_its_small_case_on_a_cpu():
    backend = "jax" if importlib.util.find_spec("jax") else "tensorflow"
    printed = run(*GPU_BENCHMARK, backend=backend)
    for policy in ("float32", "mixed_float16"):
        assert re.search(rf"ours, {policy}, batch 2: \d+ images/s", printed), printed
        assert f"{policy} at best: ours" in printed
