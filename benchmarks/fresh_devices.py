"""Claim: the drawn sample is about as hard as the published task.

Draws devices that no run has seen (another seed), scores them with `nexperia predict`,
judges the scores by what was drawn, and says for each kind and level of defect how many
good devices would have to be rejected to catch it. A device counts once: copies,
broken files and frames without a device are left out.

    python benchmarks/fresh_devices.py RUN [--devices 4000] [--seed 77] [--look hard]

`--out DIR` keeps the drawn folder and `predictions.csv`; `nexperia evaluate
DIR/predictions.csv` then gives intervals by lots. 4,000 devices take 15 s of one core
to draw, and a minute or more to be scored at 224 pixels.
"""

import collections
import csv
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
from typing import Literal

import numpy as np
import tyro

from nexperia_tf import command, predictions
from nexperia_tf.sample import command as sample
from nexperia_tf.statistics import metrics

TPR = (0.99, 0.991, 0.993, 0.995, 0.997)
ONE_EACH = ("", "escapee", "unboxed", "zero_box")  # kinds of files that show a device


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Judges a run on freshly drawn devices."""

    run: tyro.conf.Positional[pathlib.Path] = dataclasses.field(kw_only=True)
    """Run folder, or a SavedModel's."""
    devices: int = 4000
    """How many to draw."""
    seed: int = 77
    """Another one than that of the training pictures."""
    look: Literal["standard", "hard"] = "standard"
    """Of the sample."""
    out: pathlib.Path | None = None
    """Folder that keeps pictures and scores; pictures that lie there are taken."""


def main(arguments: Arguments) -> None:
    """Draws, scores, judges and prints."""
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.out or pathlib.Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        raw, scores = folder / "raw", folder / "scores.csv"
        if not raw.exists():
            how = {"seed": arguments.seed, "look": arguments.look}
            sample.draw(raw, devices=arguments.devices, **how)
        predict = [sys.executable, "-m", "nexperia_tf", "predict"]
        scores.unlink(missing_ok=True)
        subprocess.run([*predict, arguments.run, raw, "--out", scores], check=True)
        judged = join(raw, scores)
        predictions.write(folder / "predictions.csv", judged)
    show(judged)


def join(raw: pathlib.Path, scores: pathlib.Path) -> predictions.Predictions:
    """The devices' scores with their true labels, and kind and level of each defect."""
    truth = {row["image_id"]: row for row in _rows(raw / sample.TRUTH)}
    name = lambda row: str(pathlib.PurePosixPath(row["path"]).with_suffix(""))  # noqa: E731
    found = {name(row): row["score"] for row in _rows(scores)}
    shown = [i for i, row in truth.items() if row["kind"] in ONE_EACH]
    kinds = [f"{truth[i]['defect_type']} {truth[i]['visibility']}" for i in shown]
    lots = [truth[i]["lot"] for i in shown]
    return predictions.Predictions(
        image_id=shown,
        label=[truth[i]["label"] == "defect" for i in shown],
        score=[float(found[i]) for i in shown],
        columns={
            "group": lots,
            "lot": lots,
            "defect_type": [kind.strip() for kind in kinds],
        },
    )


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def show(judged: predictions.Predictions) -> None:
    """Prints AUC, overkill at catch rates, and overkill that each kind costs."""
    label, score = judged.label, judged.score
    print(
        f"{len(judged)} devices, {int(label.sum())} defects: "
        f"AUC {metrics.auc(label, score):.4f}"
    )
    for point in metrics.fpr_at_tpr(label, score, TPR):
        print(f"TPR {point.tpr:.1%}: {point.misses} escape, overkill {point.fpr:.2%}")
    good = np.sort(score[label == 0])
    costs = collections.defaultdict(list)
    for kind, value in zip(judged.columns["defect_type"], score):
        if kind:
            above = len(good) - np.searchsorted(good, value)
            costs[kind].append(above / len(good))
    print(f"\n{'overkill at which it is caught':32}{'n':>5}{'mean':>9}{'worst':>9}")
    for kind, cost in sorted(costs.items()):
        print(f"{kind:32}{len(cost):5}{np.mean(cost):9.2%}{max(cost):9.2%}")


if __name__ == "__main__":
    command.run(main, Arguments)
