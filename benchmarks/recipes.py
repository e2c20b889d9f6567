"""Claim: the default recipe is a good one on products that it was not made for.

Cross-validates recipes over the groups of train and validation: each part in turn is
left out, `nexperia train` learns from the others, and the scores of all parts together
are judged beside the baseline's. A line is written for each training, so that the
script goes on where it was stopped; the test split is never looked at.

    nexperia prepare RAW --out prepared
    python benchmarks/recipes.py prepared --place tried \\
        --recipe standard= --recipe plain="--recipe plain --backbone resnext26_32x4d"
"""

import argparse
import csv
import json
import pathlib
import resource
import shlex
import shutil
import subprocess
import sys
import time

import numpy as np
from sklearn import metrics, model_selection

from nexperia_tf import files, predictions
from nexperia_tf.data import manifest

LEFT_OUT = "validation"  # as the part that is judged is called; nothing is chosen by it
FEWEST = 10  # pictures of a group whose own AUC counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", type=pathlib.Path)
    parser.add_argument("--place", type=pathlib.Path, required=True)
    parser.add_argument("--recipe", action="append", required=True, help="NAME=FLAGS")
    parser.add_argument("--parts", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="these parts, from 0")
    parser.add_argument("--subset", type=int, default=0, help="pictures; 0 is all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args()
    asked.place.mkdir(parents=True, exist_ok=True)
    rows = manifest.read(asked.prepared / "manifest.csv")
    parts = split(rows, asked.parts, asked.subset)
    for recipe in asked.recipe:
        name, _, flags = recipe.partition("=")
        for seed in asked.seeds:
            for part in asked.only or range(asked.parts):
                run(asked, name, flags, seed, part, parts[part])
    show(asked.place / "tried.jsonl")


def split(
    rows: list[manifest.Row], count: int, subset: int
) -> list[tuple[set[str], set[str]]]:
    """Ids to learn from and to judge by, of each part; groups stay whole."""
    used = [row for row in rows if row.split in ("train", "validation")]
    groups = np.array([row.group for row in used])
    if subset:
        kept, shuffled = 0, np.random.default_rng(subset).permutation(np.unique(groups))
        sizes = {name: int((groups == name).sum()) for name in shuffled}
        total = np.cumsum([sizes[name] for name in shuffled])
        kept = int(np.searchsorted(total, subset)) + 1
        used = [row for row in used if row.group in set(shuffled[:kept])]
        groups = np.array([row.group for row in used])
    label = [row.label for row in used]
    ids = np.array([row.image_id for row in used])
    folds = model_selection.StratifiedGroupKFold(count, shuffle=True, random_state=0)
    return [
        (set(ids[learn]), set(ids[judge]))
        for learn, judge in folds.split(ids, label, groups)
    ]


def run(asked, name: str, flags: str, seed: int, part: int, ids: tuple) -> None:
    """Trains without one part, judges it and notes what came out; once."""
    key = {
        "data": asked.prepared.name,
        "subset": asked.subset,
        "recipe": name,
        "flags": flags,
        "part": part,
        "of": asked.parts,
        "seed": seed,
    }
    notes = asked.place / "tried.jsonl"
    if any(key.items() <= row.items() for row in read(notes)):
        return
    data = asked.place / f"{asked.prepared.name}-{asked.subset}-{asked.parts}-{part}"
    if not data.exists():
        deal(asked.prepared, data, *ids)
    out = asked.place / "run"
    shutil.rmtree(out, ignore_errors=True)
    words = ["train", "--data", data, "--data-dir", asked.place / "data", "--out", out]
    words += ["--seed", seed, *shlex.split(flags)]
    before, start = children(), time.monotonic()
    command = [sys.executable, "-m", "nexperia_tf", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    figures = {"minutes": round((time.monotonic() - start) / 60, 1)}
    figures["cpu_minutes"] = round((children() - before) / 60, 1)
    for what, place in (("network", out), ("baseline", out / "baseline")):
        table = predictions.read(place / "predictions" / f"{LEFT_OUT}.csv")
        figures[what] = {"auc": auc(table.label, table.score), "within": within(table)}
        figures[what]["scores"] = [round(float(s), 5) for s in table.score]
    figures["labels"] = [int(each) for each in table.label]
    with open(notes, "a", encoding="utf-8") as file:
        file.write(json.dumps(key | figures) + "\n")


def deal(prepared: pathlib.Path, data: pathlib.Path, learn: set, judge: set) -> None:
    """A prepared folder whose train and validation are these pictures."""
    with files.new_folder(data) as partial:
        shutil.copytree(prepared, partial, dirs_exist_ok=True)
        path = partial / "manifest.csv"
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            name = row["image_id"]
            part = "train" if name in learn else LEFT_OUT if name in judge else ""
            row["split"] = part
            if not part and not row["dropped_because"]:
                row["dropped_because"] = "decision"
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def children() -> float:
    """Seconds of CPU of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Rounded area under the curve."""
    return round(float(metrics.roc_auc_score(label, score)), 4)


def within(table: predictions.Predictions) -> float | None:
    """Mean of the AUCs within groups that hold both classes."""
    group = np.asarray(table.columns["group"])
    found = [
        auc(table.label[group == name], table.score[group == name])
        for name in np.unique(group)
        if (group == name).sum() >= FEWEST and 0 < table.label[group == name].mean() < 1
    ]
    return round(float(np.mean(found)), 4) if found else None


def read(notes: pathlib.Path) -> list[dict]:
    """What has been tried."""
    if not notes.is_file():
        return []
    return [json.loads(line) for line in notes.read_text("utf-8").splitlines()]


def show(notes: pathlib.Path) -> None:
    """Prints a line for each recipe on each set: means over parts and seeds."""
    print("data, subset, recipe: trainings, AUC, within groups, baseline, CPU minutes")
    rows = read(notes)
    for key in sorted({(r["data"], r["subset"], r["recipe"]) for r in rows}):
        own = [r for r in rows if (r["data"], r["subset"], r["recipe"]) == key]
        inner = [r["network"]["within"] for r in own if r["network"]["within"]]
        print(
            *key,
            len(own),
            f"{np.mean([r['network']['auc'] for r in own]):.3f}",
            f"{np.mean(inner):.3f}" if inner else "-",
            f"{np.mean([r['baseline']['auc'] for r in own]):.3f}",
            f"{np.mean([r['cpu_minutes'] for r in own]):.1f}",
        )


if __name__ == "__main__":
    main()
