"""Two photographs of one part, at another time: no copies, however alike they are.

    python benchmarks/retakes.py [--parts 300] [--seed 0]

Draws parts of several textures, grain as fine as noise among them, and photographs each
twice: the same object, fresh noise, often another exposure and a small shift, saved
without loss, as JPEG of quality 75 to 95, or as JPEG and then as PNG. Nothing may be
dropped; what is tied as twins is printed by texture and kind of file.
"""

import argparse
import collections
import pathlib
import tempfile

import cv2
import dedupe_recall
import numpy as np

SIDE = 256  # pixels of a picture
_RIM = 8  # more of the part is drawn than a picture shows
SAVED = ("lossless", "jpeg", "one_jpeg", "jpeg_in_png", "one_jpeg_in_png")


def _white(rng: np.random.Generator, side: int) -> np.ndarray:
    return rng.normal(0, 1, (side, side)).astype(np.float32)


def _unit(levels: np.ndarray) -> np.ndarray:
    return (levels - levels.mean()) / levels.std()


def grain(rng: np.random.Generator, side: int) -> np.ndarray:
    """White from pixel to pixel: no optics are so sharp."""
    return rng.uniform(2, 15) * _white(rng, side)


def fine(rng: np.random.Generator, side: int) -> np.ndarray:
    """Grain as a sharp lens shows it."""
    blurred = cv2.GaussianBlur(_white(rng, side), (0, 0), rng.uniform(0.4, 1))
    return rng.uniform(3, 15) * _unit(blurred)


def brushed(rng: np.random.Generator, side: int) -> np.ndarray:
    """Ground metal: lines along one direction, finer across it."""
    along = cv2.GaussianBlur(_white(rng, side), (0, 0), sigmaX=0.4, sigmaY=12)
    light = cv2.GaussianBlur(_white(rng, side), (0, 0), 30)
    return rng.uniform(3, 12) * _unit(along) + 15 * _unit(light)


def crystals(rng: np.random.Generator, side: int) -> np.ndarray:
    """Patches of like brightness with sharp borders."""
    seeds = rng.uniform(0, side, (90, 2)).astype(np.float32)
    y, x = np.mgrid[:side, :side]
    near = (
        (y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2
    ).argmin(-1)
    return rng.normal(0, 20, 90)[near].astype(np.float32) + _white(rng, side)


def plain(rng: np.random.Generator, side: int) -> np.ndarray:
    """Hardly any texture, and a few marks."""
    marks = np.zeros((side, side), np.float32)
    for x, y in rng.integers(20, side - 20, (12, 2)):
        cv2.circle(marks, (int(x), int(y)), int(rng.integers(2, 9)), 30, -1)
    return cv2.GaussianBlur(marks, (0, 0), 1) + _white(rng, side) * 0.3


TEXTURES = {f.__name__: f for f in (grain, fine, brushed, crystals, plain)}


def part(texture: str, rng: np.random.Generator) -> np.ndarray:
    """Levels of a part before any camera, float32 `(side, side)`, and its rim."""
    side = SIDE + 2 * _RIM
    return (rng.uniform(60, 150) + TEXTURES[texture](rng, side)).astype(np.float32)


def photographs(
    levels: np.ndarray, saved: str, rng: np.random.Generator
) -> list[tuple[str, bytes]]:
    """Two photographs of a part: ending and content of each file.

    Both have noise of .5 to 3 levels, that grows with the root of the light. A third
    of the pairs was taken without any shift or change of exposure, as a burst is.
    """
    noise = rng.uniform(0.5, 3)
    still = rng.random() < 1 / 3
    files = []
    for number in range(2):
        moved, gain = np.zeros(2), 1.0
        if number and not still:
            moved = rng.uniform(-4, 4, 2)
            moved = np.rint(moved) if rng.random() < 0.5 else moved
            gain = rng.uniform(0.6, 1.5)
        motion = np.column_stack([np.eye(2), moved + _RIM])
        seen = cv2.warpAffine(
            levels, motion, (SIDE, SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
        light = np.clip(gain * seen, 0, None)
        spread = noise * np.sqrt(light / 100 + 0.05)
        taken = light + spread * rng.normal(0, 1, light.shape)
        pixels = np.clip(np.rint(taken), 0, 255).astype(np.uint8)
        files.append(_file(pixels, saved, number, rng))
    return files


def _file(pixels, saved, number, rng) -> tuple[str, bytes]:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 96))]
    if saved == "lossless" or (saved.startswith("one") and number):
        return "png", cv2.imencode(".png", pixels)[1].tobytes()
    content = cv2.imencode(".jpg", pixels, quality)[1]
    if saved.endswith("in_png"):
        decoded = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
        return "png", cv2.imencode(".png", decoded)[1].tobytes()
    return "jpg", content.tobytes()


def write(folder: pathlib.Path, parts: int, rng: np.random.Generator) -> dict:
    """Writes two photographs of each part; texture and kind of file by both paths."""
    truth = {}
    for number in range(parts):
        texture = list(TEXTURES)[number % len(TEXTURES)]
        saved = SAVED[number // len(TEXTURES) % len(SAVED)]
        paths = []
        for name, (ending, content) in zip(
            "ab", photographs(part(texture, rng), saved, rng)
        ):
            paths.append(f"{number:05}{name}.{ending}")
            (folder / paths[-1]).write_bytes(content)
        truth[tuple(paths)] = texture, saved
    return truth


def main(parts: int, seed: int) -> None:
    """Draws, searches, and prints a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        truth = write(folder, parts, np.random.default_rng(seed))
        found = dedupe_recall.found_in(
            folder, [path for pair in truth for path in pair]
        )
    cluster_of = {p: k for k, group in enumerate(found.clusters) for p in group}
    twins_of = {p: k for k, group in enumerate(found.twin_groups) for p in group}
    counts = collections.defaultdict(lambda: np.zeros(3, int))
    for (a, b), kind in truth.items():
        dropped = a in cluster_of and cluster_of[a] == cluster_of.get(b)
        tied = a in twins_of and twins_of[a] == twins_of.get(b)
        for key in kind:
            counts[key] += (1, dropped, tied)
    print("texture or file  pairs  dropped  twins")
    for kind in (*TEXTURES, *SAVED):
        print(f"{kind:15} {counts[kind][0]:6} {counts[kind][1]:8} {counts[kind][2]:6}")
    dropped = sum(len(group) - 1 for group in found.clusters)
    print(f"dropped in all: {dropped} of {len(truth)} re-takes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    main(options.parts, options.seed)
