"""timm's side of the model benchmarks, in an interpreter that has torch and timm.

Started by train_step.py, inference.py and gpu.py. Answers each line on its standard
input, the name of a job, with one line of JSON: the seconds it took, or why it cannot.
"""

import argparse
import json
import os
import resource
import sys
import time


def resident_memory() -> int:
    """The resident size of this process in bytes, from which its peak starts anew."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets the peak
        return _status("VmRSS")
    except OSError:  # not Linux: the peak of all that ran so far
        return peak_memory()


def peak_memory() -> int:
    """The largest resident size since `resident_memory`, in bytes."""
    try:
        return _status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if key in line) * 1024


class Peer:
    """One timm model and the jobs that can be asked of it."""

    def __init__(self, arguments):
        import timm
        import torch

        self.torch = torch
        on_gpu = arguments.gpu and torch.cuda.is_available()
        self.device = "cuda" if on_gpu else "cpu"
        self.steps = arguments.steps
        rounded = arguments.precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = rounded
        torch.backends.cudnn.allow_tf32 = rounded
        torch.backends.cudnn.benchmark = True  # shapes stay the same
        self.lower = torch.float32 if rounded else getattr(torch, arguments.precision)
        # Scales where float16 would lose small gradients, else does nothing.
        self.scaler = torch.amp.GradScaler(
            self.device, enabled=self.lower == torch.float16
        )
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        model = timm.create_model(arguments.backbone, num_classes=arguments.classes)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        height, _, width = arguments.size.partition("x")
        shape = (arguments.batch, 3, int(height), int(width or height))
        images = torch.rand(shape, device=self.device)
        self.images = images.to(memory_format=torch.channels_last)
        labels = torch.arange(arguments.batch, device=self.device)
        self.labels = labels % arguments.classes
        self.optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        for weight in model.parameters():  # in place before memory is measured
            self.optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        self.variants = {}

    def versions(self):
        import timm

        device = self.device
        if device == "cuda":
            device = self.torch.cuda.get_device_name()
        versions = {"torch": self.torch.__version__, "timm": timm.__version__}
        return versions | {"device": device}

    def train(self, model=None):
        model = self.model if model is None else model
        model.train()
        for _ in range(self.steps):
            self.optimizer.zero_grad()
            with self.torch.autocast(
                self.device, self.lower, enabled=self.lower != self.torch.float32
            ):
                logits = model(self.images)
            loss = self.torch.nn.functional.cross_entropy(logits.float(), self.labels)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return float(loss.detach())  # waits for the device

    def compiled_train(self):
        return self.train(self._variant("compiled", self._compile))

    def profile(self):
        """Time by kernel of one training step, as text."""
        with self.torch.profiler.profile() as profiler:
            self.train()
        rows = profiler.key_averages()
        return rows.table(sort_by="self_cpu_time_total", row_limit=30)

    def infer(self, model=None, images=None):
        model = self.model.eval() if model is None else model
        with self.torch.inference_mode():
            return float(model(self.images if images is None else images)[0, 0])

    def infer_one(self):
        return self.infer(images=self.images[:1])

    def compiled_infer(self):
        self.model.eval()
        return self.infer(self._variant("compiled", self._compile))

    def compiled_infer_one(self):
        self.model.eval()
        return self.infer(
            self._variant("compiled for one", self._compile), self.images[:1]
        )

    def openvino_infer(self):
        return self._openvino_answer(self.images, "f32")

    def openvino_infer_one(self):
        return self._openvino_answer(self.images[:1], "f32")

    def openvino_own_infer(self):
        return self._openvino_answer(self.images, "")

    def _openvino_answer(self, images, precision):
        images = images.contiguous()
        name = f"OpenVINO {len(images)} {precision}"
        compiled = self._variant(name, lambda: self._openvino(images, precision))
        return float(compiled(images.numpy())[0][0, 0])

    def _variant(self, name, make):
        if name not in self.variants:
            self.variants[name] = make()
        return self.variants[name]

    def _compile(self):
        return self.torch.compile(self.model, dynamic=False)

    def _openvino(self, images, precision):
        import openvino

        converted = openvino.convert_model(self.model.eval(), example_input=images)
        converted.reshape(list(images.shape))
        # Left alone it computes in bfloat16 where the processor can.
        knobs = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
        return openvino.compile_model(converted, "CPU", knobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument(
        "--size", required=True, help="224, or height and width: 320x128"
    )
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--gpu", type=int, default=0, help="1: use one if there is one")
    parser.add_argument("--steps", type=int, default=1, help="of one training job")
    parser.add_argument(
        "--precision",
        choices=("float32", "tf32", "float16", "bfloat16"),
        default="float32",
        help="below tf32 by autocast, float16 with its gradients scaled",
    )
    peer = Peer(parser.parse_args())
    print(json.dumps(peer.versions()), flush=True)
    for line in sys.stdin:
        job = getattr(peer, line.strip())
        before = resident_memory()
        start, start_cpu = time.perf_counter(), time.process_time()
        try:
            result = job()
            answer = {"seconds": time.perf_counter() - start}
            answer["cpu_seconds"] = time.process_time() - start_cpu
            if isinstance(result, str):
                answer["text"] = result
            answer["bytes"] = peak_memory() - before
        except Exception as error:  # reported beside the other figures
            answer = {"problem": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
