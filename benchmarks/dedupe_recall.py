"""Precision and recall of the search for copies, by kind of copy.

    python benchmarks/dedupe_recall.py RAW [--copies 3000] [--rims 0] [--defects 1000]
        [--seed 0]

Copies are planted (`planting.py`) beside the images of RAW, `--rims` of them moved by
5 px or turned by 3 degrees so that a rim comes in. A hard negative is the same part
with a new scratch or speck. In the end everything is split as preparation does it, and
copies on another side than their original are counted. Where RAW has a truth.csv, only
images of different devices are taken from it; else all of RAW count as different
photographs.
"""

import argparse
import collections
import csv
import pathlib
import tempfile
import time
import zlib

import numpy as np
import planting

from nexperia_tf import labels
from nexperia_tf.data import images, manifest
from nexperia_tf.data.duplicates import resolve, search
from nexperia_tf.data.measure import scan
from nexperia_tf.data.prepare import splits
from nexperia_tf.data.raw import layouts


def originals(raw: pathlib.Path) -> list[str]:
    """Paths of the images that show different devices."""
    paths = [row.path for row in layouts.scan(raw).rows]
    truth = raw / "truth.csv"
    if truth.exists():
        with truth.open() as file:
            kinds = {row["image_id"]: row["kind"] for row in csv.DictReader(file)}
        paths = [path for path in paths if kinds[path.rsplit(".", 1)[0]] == ""]
    return sorted(paths)


def plant(
    raw, paths, folder, kinds, count, random, *, under="planted"
) -> dict[str, tuple[str, str]]:
    """Writes `count` altered copies; kind and original of each, by path."""
    (folder / under).mkdir(exist_ok=True)
    planted = {}
    sources = random.choice(paths, count, replace=count > len(paths))
    for number, source in enumerate(sources):
        kind = kinds[number % len(kinds)]
        content = (raw / source).read_bytes()
        ending = source.rsplit(".", 1)[1]
        if kind != "byte":
            ending, content = planting.file(kind, images.load(content).pixels, random)
        name = f"{under}/{kind}_{number:05}.{ending}"
        (folder / name).write_bytes(content)
        planted[name] = kind, str(source)
    return planted


def found_in(folder: pathlib.Path, paths: list[str]) -> search.Findings:
    """What preparation finds in a folder."""
    measures = scan.measure(folder, paths)
    pictures = [search.Measured.of(path, found) for path, found in measures.items()]
    return search.find(
        pictures,
        load=lambda path: images.load((folder / path).read_bytes()).pixels,
        workers=2,
    )


def across(found: search.Findings, photograph: dict[str, str]) -> list[str]:
    """Those that a split of the rest puts on the other side than their original.

    Args:
        found: copies and twins.
        photograph: the original of each path.
    """
    rows = [manifest.Row(path, path) for path in sorted(photograph)]
    for row in rows:  # every fifth photograph shows a defect
        row.group = row.image_id
        number = zlib.crc32(photograph[row.path].encode())
        row.label = labels.GOOD if number % 5 else labels.DEFECT
    resolve.name_groups(rows, found)
    resolve.drop_duplicates(rows, found)
    splits.assign(rows, seed=0)
    split_of = {row.path: row.split for row in rows if row.used}
    sides = {p: (split_of.get(p), split_of.get(of)) for p, of in photograph.items()}
    return [p for p, (one, other) in sides.items() if one and other and one != other]


def main(raw: pathlib.Path, planted: int, rims: int, defects: int, seed: int) -> None:
    """Plants, searches, and prints a table."""
    random = np.random.default_rng(seed)
    paths = originals(raw)
    kinds = ["byte", *planting.SAME_PHOTOGRAPH, *planting.MOVED]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to((raw / path).resolve())
        truth = plant(raw, paths, folder, kinds, planted, random)
        drawn = list(planting.DEFECTS), defects, random
        altered = plant(raw, paths, folder, *drawn, under="altered")
        drawn = list(planting.RIMS), rims, random
        truth |= plant(raw, paths, folder, *drawn, under="rims")
        start = time.perf_counter()
        found = found_in(folder, [*paths, *truth, *altered])
        seconds = time.perf_counter() - start
    photograph = {path: path for path in [*paths, *altered]}
    photograph |= {path: source for path, (_, source) in truth.items()}
    part = photograph | {path: source for path, (_, source) in altered.items()}
    report(found, photograph, part, truth, altered)
    apart = {*across(found, part)}
    print(
        f"on another side of a split than their part: {len(apart & {*truth})} copies, "
        f"{len(apart & {*altered})} altered parts"
    )
    print(f"{len(photograph)} images in {seconds:.0f} s; {found.settings}")


def report(found, photograph, part, truth, altered) -> None:
    """Prints recall by kind, and what was dropped or tied wrongly."""
    cluster_of = {p: k for k, group in enumerate(found.clusters) for p in group}
    twins_of = {p: k for k, group in enumerate(found.twin_groups) for p in group}
    score = collections.defaultdict(list)
    for path, (kind, source) in truth.items():
        same = path in cluster_of and cluster_of[path] == cluster_of.get(source)
        tied = path in twins_of and twins_of[path] == twins_of.get(source)
        score[kind].append((same, same or tied))
    print("kind          n  same photograph  same or twin")
    for kind, hits in list(score.items()):
        same, tied = 100 * np.mean(hits, axis=0)
        print(f"{kind:10} {len(hits):4} {same:15.2f}% {tied:12.2f}%")
    drops = [(group[0], path) for group in found.clusters for path in group[1:]]
    wrong = [(a, b) for a, b in drops if photograph[a] != photograph[b]]
    photometric = [h for k in ("byte", *planting.SAME_PHOTOGRAPH) for h in score[k]]
    moved = [hit for kind in planting.MOVED for hit in score[kind]]
    print(
        f"same photograph, pooled: recall {100 * np.mean(photometric, axis=0)[0]:.2f}%"
    )
    print(f"moved, same or twin: recall {100 * np.mean(moved, axis=0)[1]:.2f}%")
    rims = [hit for kind in planting.RIMS for hit in score[kind]]
    if rims:
        tied = 100 * np.mean(rims, axis=0)[1]
        print(f"moved with a rim, same or twin: recall {tied:.2f}%")
    print(f"dropped {len(drops)}, of another photograph {len(wrong)}: {wrong[:5]}")
    lost = [pair for pair in wrong if {*pair} & set(altered)]
    kept = sum(
        p in twins_of and twins_of[p] == twins_of.get(source)
        for p, (_, source) in altered.items()
    )
    print(f"altered parts dropped {len(lost)} of {len(altered)}, tied as twins {kept}")
    others = [
        pair
        for pair in found.pairs
        if pair.kind == search.TWIN and part[pair.path_a] != part[pair.path_b]
    ]
    print(f"twin pairs of different parts: {len(others)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=pathlib.Path)
    parser.add_argument("--copies", type=int, default=3000)
    parser.add_argument("--rims", type=int, default=0)
    parser.add_argument("--defects", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    main(options.raw, options.copies, options.rims, options.defects, options.seed)
