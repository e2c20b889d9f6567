"""Claim: whatever bytes a file holds, every command says the same of it.

Draws pictures in every format that is read, damages each copy in a
way of its own (the seed is the file's number, so each can be drawn again) and asks

    python benchmarks/inputs.py --mutants 10000

- `nexperia prepare` and `nexperia predict` for all of them: a file without a row is a
  silent loss; one that is accepted by one command and not by the other is a difference;
- TensorFlow's decoder and the one of training for the bytes that records would hold of
  each accepted file: other pixels, or an error, are a difference.

Anything but the end of a command with exit code 0 is a crash. Memory is the peak of the
largest process.
"""

import argparse
import collections
import csv
import io
import pathlib
import resource
import sys
import tempfile

import cv2
import many_files
import numpy as np
from PIL import Image

from nexperia_tf.data import images

FORMATS = ("BMP", "PNG", "JPEG", "progressive", "TIFF", "WEBP", "GIF", "RGBA", "deep")
SOUND = 40  # whole pictures of each class, without which nothing can be prepared
LARGEST = 256  # pixels a side
EACH = 3  # the first of so many refused or differing files are named


def mutant(seed: int) -> bytes:
    """One picture of the format that the seed names, with one to three damages."""
    random = np.random.default_rng(seed)
    content = bytearray(_encoded(_pixels(random), FORMATS[seed % len(FORMATS)]))
    for _ in range(random.integers(1, 4)):
        _damage(content, random)
    return bytes(content)


def _damage(content: bytearray, random: np.random.Generator) -> None:
    # Headers decide most, so every other damage hits one.
    reach = min(len(content), 64) if random.random() < 0.5 else len(content)
    place = int(random.integers(0, max(reach, 1)))
    match random.integers(0, 7):
        case 0 | 1:
            content[place : place + 1] = random.bytes(1)
        case 2 if place < len(content):
            content[place] ^= 1 << place % 8
        case 3:
            content += random.bytes(random.integers(1, 400))
        case 4:
            del content[place : place + int(random.integers(1, 5))]
        case 5:
            content[place:place] = random.bytes(random.integers(1, 5))
        case 6:
            big = random.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
            content[place : place + 4] = big


def _pixels(random: np.random.Generator) -> np.ndarray:
    height, width = random.integers(4, 60, 2)
    shape = (height, width, 3) if random.random() < 0.5 else (height, width)
    smooth = np.cumsum(random.normal(0, 9, shape), axis=0) + 128
    return np.clip(smooth, 0, 255).astype(np.uint8)


def _encoded(pixels: np.ndarray, format: str) -> bytes:
    if format == "deep":
        return cv2.imencode(".png", pixels.astype(np.uint16) * 257)[1].tobytes()
    picture, file = Image.fromarray(pixels), io.BytesIO()
    if format == "RGBA":
        picture.convert("RGBA").save(file, "PNG")
    elif format == "progressive":
        picture.save(file, "JPEG", progressive=True)
    else:
        picture.save(file, format)
    return file.getvalue()


def draw(raw: pathlib.Path, mutants: int) -> None:
    """Class folders of sound pictures and mutants, numbered by their seeds."""
    random = np.random.default_rng(0)
    for number in range(SOUND * 2):
        folder = raw / ("good", "defect")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        shape = (48, 48, 3)
        pixels = random.integers(0, 256, shape).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"sound{number}.png")
    for seed in range(mutants):
        folder = raw / ("good" if seed % 4 else "defect")
        (folder / f"{seed}.bin").write_bytes(mutant(seed))


def differing(mutants: int) -> tuple[collections.Counter, list[str]]:
    """How many are accepted as what, and which read otherwise from the records."""
    from nexperia_tf import preprocess

    counts, wrong = collections.Counter(), []
    for seed in range(mutants):
        content = mutant(seed)
        try:
            picture = images.load(content)
        except images.UnreadableImage:
            counts["unreadable"] += 1
            continue
        except images.UnsupportedImage:
            counts["unsupported"] += 1
            continue
        held = images.canonical(content, images.own_range(picture.native))
        counts["as it is" if held == content else "rewritten"] += 1
        channels = 1 if picture.mode == "L" else 3
        try:
            decoded = preprocess.decode(held, channels).numpy()
            same = np.array_equal(decoded, np.atleast_3d(picture.pixels))
            # Laid on a square unchanged; of giants only the decoding is compared.
            if (size := max(decoded.shape[:2])) <= LARGEST:
                trained = preprocess.batch([held], size, channels)[0]
                same &= np.array_equal(trained, preprocess.letterbox(decoded, size))
        except Exception as error:  # whatever a decoder raises is what is looked for
            same, seed = False, f"{seed} ({type(error).__name__})"
        if not same:
            wrong.append(str(seed))
    return counts, wrong


def rows(path: pathlib.Path) -> dict[str, dict[str, str]]:
    """The rows of a table by path."""
    with open(path, newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=10_000)
    mutants = parser.parse_args().mutants
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        draw(place / "raw", mutants)
        files = {p.relative_to(place / "raw").as_posix() for p in place.rglob("*.*")}
        nexperia = [sys.executable, "-m", "nexperia_tf"]
        out, scores = place / "prepared", place / "scores.csv"
        publish = [sys.executable, "-c", many_files.PUBLISH, place / "model", 3]
        predict = [
            *nexperia,
            "predict",
            place / "model",
            place / "raw",
            "--out",
            scores,
        ]
        prepare = [*nexperia, "prepare", place / "raw", "--out", out, "--fresh"]
        crashes, peaks = 0, []
        for argv in (publish, prepare, predict):
            try:
                peaks.append(many_files.run(argv)[1].ru_maxrss)
            except SystemExit as stop:
                print(stop)
                crashes += 1
        manifest, scored = rows(out / "manifest.csv"), rows(scores)
        lost = [p for p in files if p.endswith((".bin", ".png")) and p not in manifest]
        lost += [p for p in manifest if p not in scored]
        refused = ("unreadable", "unsupported")
        apart = [
            path
            for path, row in manifest.items()
            if (row["dropped_because"] in refused) != bool(scored[path]["problem"])
            and not is_deep(place / "raw" / path)
        ]
    counts, wrong = differing(mutants)
    peak = max(*peaks, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(f"{mutants} mutants: {', '.join(f'{n} {w}' for w, n in counts.items())}")
    print(f"crashes {crashes}, silent losses {len(lost)} {lost[:EACH]}")
    print(f"prepare and predict differ on {len(apart)} {apart[:EACH]}")
    print(f"pixels differ on {len(wrong)} {wrong[:EACH]}")
    print(f"peak memory of the largest process {peak / 2**20:.2f} GiB")


def is_deep(file: pathlib.Path) -> bool:
    """Whether a file has 16 bits, which a model of 8 bits rightly refuses."""
    try:
        return images.load(file.read_bytes()).native.dtype == np.uint16
    except (images.UnreadableImage, images.UnsupportedImage):
        return False


if __name__ == "__main__":
    main()
