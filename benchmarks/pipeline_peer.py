"""The peer of pipeline.py: a PyTorch DataLoader with Pillow, 2 workers.

Needs torch, Pillow and numpy only; pipeline.py calls it with the Python that has them:

    python benchmarks/pipeline_peer.py FOLDER SIZE BATCH SECONDS [--memory]

Prints images per second, and per second of CPU time. With --memory the pictures are
decoded and letterboxed beforehand, and only augmentation and batching are left to the
workers.
"""

import math
import multiprocessing
import os
import pathlib
import random
import sys
import time

import numpy as np
import torch
from PIL import Image


class Pictures(torch.utils.data.Dataset):
    """Letterboxed, turned, shifted, mirrored, brightened: as the pipeline does it."""

    def __init__(self, folder: str, size: int, memory: bool):
        self.paths = sorted(
            p for p in pathlib.Path(folder).iterdir() if p.stem.isdigit()
        )
        self.size = size
        self.kept = [self.letterboxed(path) for path in self.paths] if memory else None

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        picture = self.kept[index] if self.kept else self.letterboxed(path)
        return torch.from_numpy(np.asarray(self.changed(picture)).copy())[None]

    def letterboxed(self, path):
        picture = Image.open(path).convert("L")
        scale = self.size / max(picture.size)
        sides = tuple(round(side * scale) for side in picture.size)
        picture = picture.resize(sides, Image.Resampling.BILINEAR)
        canvas = Image.new("L", (self.size, self.size))
        canvas.paste(picture, tuple((self.size - side) // 2 for side in sides))
        return canvas

    def changed(self, picture):
        angle = math.radians(random.uniform(-10, 10))
        reach = abs(math.cos(angle)) + abs(math.sin(angle))
        slack = random.uniform(0, 0.1)
        grow = reach / (1 - slack)  # from new to old pixels
        mirror = random.choice((-1, 1))
        a, b = grow * math.cos(angle) * mirror, grow * math.sin(angle) * mirror
        d, e = -grow * math.sin(angle), grow * math.cos(angle)
        middle = self.size / 2
        x, y = (middle * (1 + slack * random.uniform(-1, 1)) for _ in range(2))
        matrix = (a, b, middle - a * x - b * y, d, e, middle - d * x - e * y)
        picture = picture.transform(
            picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        gain, offset = random.uniform(0.8, 1.2), 255 * random.uniform(-0.06, 0.06)
        return picture.point([round(gain * level + offset) for level in range(256)])


def cpu_seconds() -> float:
    """CPU time of this process and its workers so far."""
    ticks = 0
    for worker in multiprocessing.active_children():
        fields = pathlib.Path(f"/proc/{worker.pid}/stat").read_text().split()
        ticks += int(fields[13]) + int(fields[14])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def rates(folder: str, size: int, batch: int, seconds: float, memory: bool) -> tuple:
    """Images per second of time and of CPU time, after a first epoch to warm up."""
    loader = torch.utils.data.DataLoader(
        Pictures(folder, size, memory),
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=True,
    )
    for _ in loader:
        pass
    count, start, cpu = 0, time.perf_counter(), cpu_seconds()
    while time.perf_counter() - start < seconds:
        count += sum(len(images) for images in loader)
    return count / (time.perf_counter() - start), count / (cpu_seconds() - cpu)


if __name__ == "__main__":
    folder, size, batch, seconds = sys.argv[1:5]
    print(*rates(folder, int(size), int(batch), float(seconds), "--memory" in sys.argv))
