"""Claim: pictures of 20 megapixels go through prepare under 2 GB, copies among them.

Draws ten pictures: six parts, and of four of them a JPEG, a shifted copy, a copy tilted
by 1.2 degrees and another photograph. Prints what became of each, with seconds of CPU
and the peak of the largest process.

    python benchmarks/large_pictures.py --megapixels 20
    python benchmarks/large_pictures.py --megapixels 20 --colour
"""

import argparse
import pathlib
import sys
import tempfile

import cv2
import numpy as np
from many_files import run

from nexperia_tf.data import manifest

NOISE = 2.5  # levels, of a photograph


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=20)
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        raw, out = pathlib.Path(place) / "raw", pathlib.Path(place) / "out"
        draw(raw, arguments.megapixels, colour=arguments.colour)
        words = ("prepare", raw, "--out", out, "--workers", arguments.workers)
        seconds, usage, _ = run(
            [sys.executable, "-m", "nexperia_tf", *words, "--fresh"]
        )
        for row in manifest.read(out / "manifest.csv"):
            fate = f"copy of {row.duplicate_of}" if row.duplicate_of else "used"
            print(f"{row.path}: {row.width} x {row.height}, {fate} {row.twin_group}")
        print(
            f"{seconds:.0f} s, {usage.ru_utime + usage.ru_stime:.0f} s of CPU, peak "
            f"{usage.ru_maxrss / 1024:.0f} MiB"
        )


def draw(raw: pathlib.Path, megapixels: float, *, colour: bool) -> None:
    """The ten pictures, below `good` and `defect`."""
    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    width = round(1.5 * height)
    middle = (width / 2, height / 2)

    def save(name: str, pixels: np.ndarray, *options: int) -> None:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(raw / name), pixels, options)

    for seed in range(6):
        scene = part(height, width, seed)
        taken = photograph(scene, 100 + seed, colour=colour)
        save(f"{'good' if seed < 4 else 'defect'}/{seed}.png", taken)
        if seed == 0:
            save("good/saved.jpg", taken, cv2.IMWRITE_JPEG_QUALITY, 92)
        if seed == 1:
            save("good/shifted.png", np.roll(taken, (7, -11), (0, 1)))
        if seed == 2:
            save("good/retaken.png", photograph(scene, 999, colour=colour))
        if seed == 3:
            tilt = cv2.getRotationMatrix2D(middle, 1.2, 1)
            options = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
            tilted = cv2.warpAffine(taken, tilt, (width, height), **options)
            save("good/tilted.png", tilted)


def part(height: int, width: int, seed: int) -> np.ndarray:
    """Levels of a part: shading, and a fine texture."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(50, 170, (height // 150, width // 150)).astype(np.float32)
    levels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    fine = random.normal(0, 60, (height, width)).astype(np.float32)
    return levels + cv2.GaussianBlur(fine, (0, 0), 1.5)


def photograph(levels: np.ndarray, seed: int, *, colour: bool) -> np.ndarray:
    """What a camera makes of levels."""
    noise = np.random.default_rng(seed).normal(0, NOISE, levels.shape)
    grey = np.clip(levels + noise.astype(np.float32), 0, 255).astype(np.uint8)
    return np.dstack([grey, grey // 2 + 30, grey // 3 + 40]) if colour else grey


if __name__ == "__main__":
    main()
