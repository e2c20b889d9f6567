"""Inference on a CPU: our exported SavedModel beside timm on PyTorch.

    python benchmarks/inference.py --torch-python VENV/bin/python

The SavedModel is what `nexperia export` publishes, asked by its signature of
uint8 pixels: scaling, score and label are inside. timm gets standardised float32 images
and runs eagerly, under torch.compile and, where it is installed, through OpenVINO. Run
in turn; medians. Latency of a single picture is shown beside.
"""

import argparse
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from model_timing import (
    Peer,
    interleaved,
    machine,
    matrix_rate,
    timed,
)

from nexperia_tf import sizes
from nexperia_tf.models import classifier, costs
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnext50_32x4d")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=sizes.Size.of, default="224")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch-python", help="interpreter with torch and timm")
    arguments = parser.parse_args()
    batch, size = arguments.batch, arguments.size

    model = classifier.build(arguments.backbone, image_size=size, channels=3)
    shape = (batch, *size, 3)
    pixels = tf.cast(tf.random.uniform(shape, 0, 256, tf.int32), tf.uint8)
    with tempfile.TemporaryDirectory() as folder:
        jobs = {}
        for number_type in (export.FLOAT32, export.BFLOAT16):
            published = export.publish(
                model,
                pathlib.Path(folder),
                backbone=model.name,
                calibration=run_folders.Calibration(),
                number_type=number_type,
            )
            answer = export.load(published).signature(export.PIXELS)

            def score(count: int, answer=answer):
                return timed(
                    lambda: answer(image_pixels=pixels[:count])["score"].numpy()
                )

            name = "ours" if number_type == export.FLOAT32 else "ours in bfloat16"
            jobs |= {name: score(batch), f"{name}, one picture": score(1)}
        peer = None
        if arguments.torch_python:
            peer = Peer(
                arguments.torch_python,
                backbone=model.name,
                batch=batch,
                size=size,
                classes=1,
            )
            for name, job in {
                "timm": "infer",
                "timm, one picture": "infer_one",
                "timm, torch.compile": "compiled_infer",
                "timm, torch.compile, one picture": "compiled_infer_one",
                "timm, OpenVINO": "openvino_infer",
                "timm, OpenVINO, one picture": "openvino_infer_one",
                "timm, OpenVINO in bfloat16 where it can": "openvino_own_infer",
            }.items():
                jobs[name] = lambda job=job: peer.ask(job)
        print(machine(), peer.versions if peer else "")
        results = interleaved(jobs, arguments.rounds)
    gemm, work = matrix_rate(), costs.multiplications(model)
    for name, result in results.items():
        if "problem" in result:
            print(f"{name}: not measured ({result['problem']})")
            continue
        count = 1 if name.endswith("one picture") else batch
        rate = count / result["seconds"]
        print(
            f"{name}: {rate:.1f} images/s, {1000 * result['seconds']:.0f} ms, "
            f"{1000 * result['cpu_seconds']:.0f} ms of CPU time, "
            f"{rate * work / gemm:.0%} of the matrix rate"
        )
    for ours in ("ours", "ours in bfloat16"):
        for name, result in results.items():
            if name.partition(",")[0] in (ours, "ours in bfloat16"):
                continue
            mine = results[ours + ", one picture" * name.endswith("one picture")]
            ratio, by_cpu = (
                result.get(unit, float("nan")) / mine[unit]
                for unit in ("seconds", "cpu_seconds")
            )
            print(f"{ours} / {name}: {ratio:.2f}, by CPU time {by_cpu:.2f}")
    if peer:
        peer.close()


if __name__ == "__main__":
    main()
