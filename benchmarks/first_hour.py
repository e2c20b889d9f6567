"""Claim: who has a folder of pictures comes to a judged model by README alone.

Plays the first hour of somebody with 300 colour pictures in OK/ and NG/: the commands
of README's page for inspectors, as printed there, on drawn parts; or on the pictures of
a labels.csv, sorted by kind as a person would sort them. Pictures that no command has
seen are predicted. Prints minutes, AUC, what simple numbers reach, what is missed, and
all that had to be typed.

    python benchmarks/first_hour.py --place hour
    python benchmarks/first_hour.py --place hour-tiles --labels TILES/labels.csv
"""

import argparse
import collections
import csv
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
from PIL import Image

from nexperia_tf import files
from nexperia_tf.statistics import clustered

README = pathlib.Path(__file__).parents[1] / "README.md"
COMMAND = re.compile(r"^ {4}nexperia (.+)$", re.MULTILINE)
SEEN, NEW = {"OK": 240, "NG": 60}, {"OK": 160, "NG": 40}  # drawn parts
NEW_SHARE = 5  # of a labels.csv every fifth group is kept for predict
HEIGHT, WIDTH = 240, 320  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--place", type=pathlib.Path, required=True)
    parser.add_argument("--labels", type=pathlib.Path)
    parser.add_argument("--more", default="", help="further flags of train")
    arguments = parser.parse_args()
    place = arguments.place
    files.refuse_existing(place)
    truth = sort(arguments.labels, place) if arguments.labels else draw(place)
    minutes = {}
    for line in commands():
        words = shlex.split(line, comments=True)
        if words[0] == "train":
            words += shlex.split(arguments.more)
        minutes[" ".join(words)] = run(words, place)
    tell(place, truth, minutes)


def commands() -> list[str]:
    """The commands of README's page for who has a folder of pictures."""
    (section,) = (
        part
        for part in README.read_text("utf-8").split("\n## ")
        if part.startswith("You inspect devices")
    )
    return COMMAND.findall(section)


def draw(place: pathlib.Path, *, seed: int = 0) -> dict[str, bool]:
    """Draws PATH/OK, PATH/NG and FOLDER; which files of FOLDER are defects."""
    random, truth = np.random.default_rng(seed), {}
    for where, counts in (("PATH", SEEN), ("FOLDER", NEW)):
        for kind, count in counts.items():
            for number in range(count):
                name = f"{kind}/{number:03}.jpg"
                if where == "FOLDER":
                    name = f"{random.integers(1 << 40):010x}.jpg"
                    truth[name] = kind == "NG"
                path = place / where / name
                path.parent.mkdir(parents=True, exist_ok=True)
                picture = Image.fromarray(part(random, defect=kind == "NG"))
                picture.save(path, quality=92)
    return truth


def part(random: np.random.Generator, *, defect: bool) -> np.ndarray:
    """A turned brass part on a table, uint8 of shape `(HEIGHT, WIDTH, 3)`."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    centre = np.array([WIDTH, HEIGHT]) / 2 + random.uniform(-8, 8, 2)
    radius = np.hypot(x - centre[0], y - centre[1])
    turned = 6 * np.sin(radius * random.uniform(1.1, 1.3) + random.uniform(0, 6))
    disc = np.clip(95 - radius, 0, 1) * np.clip(radius - 30, 0, 1)
    brass = np.array([196, 160, 92]) * random.uniform(0.9, 1.1)
    table = np.array([120, 126, 130]) * random.uniform(0.9, 1.1)
    picture = table + disc[..., None] * (brass - table + turned[..., None])
    if defect:
        picture *= 1 - marred(random, centre)[..., None]
    shade = 1 + 0.15 * (x - WIDTH / 2) / WIDTH * random.uniform(-1, 1)
    picture = picture * shade[..., None] + random.normal(0, 5, picture.shape)
    return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)


def marred(random: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """How much darker a scratch, a pit or a stain on the part makes each place."""
    mark = np.zeros((HEIGHT, WIDTH), np.float32)
    angle, out = random.uniform(0, 2 * np.pi), random.uniform(42, 82)
    at = centre + out * np.array([np.cos(angle), np.sin(angle)])
    kind = random.choice(["scratch", "pit", "stain"])
    if kind == "scratch":
        along = random.uniform(0, np.pi)
        half = random.uniform(6, 16) * np.array([np.cos(along), np.sin(along)])
        ends = [
            tuple(np.rint(at + side * half).astype(int).tolist()) for side in (-1, 1)
        ]
        cv2.line(mark, *ends, random.uniform(0.3, 0.6), int(random.integers(1, 3)))
    else:
        size = random.uniform(2, 5) if kind == "pit" else random.uniform(8, 14)
        depth = (
            random.uniform(0.35, 0.7) if kind == "pit" else random.uniform(0.1, 0.25)
        )
        cv2.circle(mark, np.rint(at).astype(int).tolist(), round(size), depth, -1)
    return cv2.GaussianBlur(mark, (3, 3), 0.8)


def sort(labels: pathlib.Path, place: pathlib.Path) -> dict[str, bool]:
    """Copies pictures of a labels.csv into a folder for each kind, some as new ones."""
    with open(labels, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups = {row.get("group") or row["path"]: 0 for row in rows}
    groups = {name: number for number, name in enumerate(groups)}
    truth = {}
    for number, row in enumerate(rows):
        source = labels.parent / row["path"]
        kind = row.get("defect_type") or row["label"]
        target = place / "PATH" / kind / f"{number:05}{source.suffix}"
        if groups[row.get("group") or row["path"]] % NEW_SHARE == 0:
            target = place / "FOLDER" / f"{number:05}{source.suffix}"
            truth[target.name] = row["label"] == "defect"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return truth


def run(words: list[str], place: pathlib.Path) -> float:
    """Runs a command in `place` and shows what it says; the minutes it took."""
    print(f"\n$ nexperia {' '.join(words)}", flush=True)
    start = time.perf_counter()
    code = subprocess.run([sys.executable, "-m", "nexperia_tf", *words], cwd=place)
    refused = 2 if "--max-escape" in words else 0  # too few defects to promise that
    if code.returncode not in (0, refused):
        sys.exit(f"nexperia {words[0]} ended with {code.returncode}")
    return (time.perf_counter() - start) / 60


def tell(place: pathlib.Path, truth: dict[str, bool], minutes: dict[str, float]):
    """Prints what came of it, and lays the missed defects into a folder."""
    report = files.read_json(next(place.glob("runs/*-report/report.json")))
    with open(place / "scores.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["problem"]]
    label = np.array([truth[row["path"]] for row in rows])
    auc = clustered.headline(label, np.array([float(row["score"]) for row in rows]))
    decided = collections.Counter((truth[r["path"]], r["label"]) for r in rows)
    missed = [row for row in rows if truth[row["path"]] and row["label"] == "good"]
    (place / "missed").mkdir()
    for row in missed:
        name = f"{float(row['score']):.3f}-{row['path']}"
        shutil.copyfile(place / "FOLDER" / row["path"], place / "missed" / name)
    print("\ntyped, once the pictures were sorted:")
    for line, took in minutes.items():
        print(f"  nexperia {line}  ({took:.1f} min)")
    print(f"minutes: {sum(minutes.values()):.1f}")
    print(
        f"test: AUC {report['auc']['value']:.3f}, {report['n_defect']} defects of "
        f"{report['n']}; simple numbers {report['baseline']['auc']['value']:.3f}"
    )
    print(report["baseline"]["said"])
    print(
        f"new: AUC {auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f}); "
        f"{len(missed)} of {label.sum()} defects are missed, "
        f"{decided[False, 'defect']} of {(~label).sum()} good ones rejected"
    )
    print(f"missed defects as pictures: {place / 'missed'}")


if __name__ == "__main__":
    main()
