"""Inference on a CPU: our exported SavedModel beside timm on PyTorch.

    python benchmarks/inference.py --torch-python VENV/bin/python

The SavedModel holds the folded network behind a signature of uint8 pixels; timm runs
eagerly, under torch.compile and, where it is installed, through OpenVINO. Run in turn;
medians. Latency of a single picture is shown beside.
"""

import argparse
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
from model_timing import (
    Peer,
    interleaved,
    machine,
    matrix_rate,
    multiplications,
    timed,
)

from nexperia_tf.models import classifier, folding


def exported(model: keras.Model, folder: str):
    """The signature `image_pixels` of the folded network, saved and loaded."""
    folded = folding.fold_batch_norm(model)
    height, width, channels = model.input.shape[1:]

    @tf.function(
        input_signature=[tf.TensorSpec((None, height, width, channels), tf.uint8)]
    )
    def image_pixels(pixels):
        return {"logit": folded(pixels, training=False)}

    module = tf.Module()
    module.model = folded
    tf.saved_model.save(module, folder, signatures={"image_pixels": image_pixels})
    return tf.saved_model.load(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnext50_32x4d")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch-python", help="interpreter with torch and timm")
    arguments = parser.parse_args()
    batch, size = arguments.batch, arguments.size

    model = classifier.build(
        arguments.backbone, image_size=size, channels=3, classes=1000
    )
    shape = (batch, size, size, 3)
    pixels = tf.cast(tf.random.uniform(shape, 0, 256, tf.int32), tf.uint8)
    with tempfile.TemporaryDirectory() as folder:
        loaded = exported(model, folder)
        answer = loaded.signatures["image_pixels"]
        jobs = {
            "ours": timed(lambda: answer(pixels=pixels)["logit"].numpy()),
            "ours, one picture": timed(
                lambda: answer(pixels=pixels[:1])["logit"].numpy()
            ),
        }
        peer = None
        if arguments.torch_python:
            peer = Peer(
                arguments.torch_python, backbone=model.name, batch=batch, size=size
            )
            for name, job in {
                "timm": "infer",
                "timm, one picture": "infer_one",
                "timm, torch.compile": "compiled_infer",
                "timm, OpenVINO": "openvino_infer",
            }.items():
                jobs[name] = lambda job=job: peer.ask(job)
        print(machine(), peer.versions if peer else "")
        results = interleaved(jobs, arguments.rounds)
    gemm, work = matrix_rate(), multiplications(model)
    for name, result in results.items():
        if "problem" in result:
            print(f"{name}: not measured ({result['problem']})")
            continue
        count = 1 if name.endswith("one picture") else batch
        rate = count / result["seconds"]
        print(
            f"{name}: {rate:.1f} images/s, {1000 * result['seconds']:.0f} ms, "
            f"{rate * work / gemm:.0%} of the matrix rate"
        )
    if peer:
        ratio = results["timm"]["seconds"] / results["ours"]["seconds"]
        print(f"ours / timm: {ratio:.2f}")
        peer.close()


if __name__ == "__main__":
    main()
