"""Claim: heat maps lie on the defect, and a model of random weights has none.

Plays the pointing game on the boxed defects of a run's dataset, held-out splits first
and training devices behind them, for each stage. A minute or two on two cores:

    python benchmarks/pointing_game.py RUN [DEVICES]
"""

import sys

from nexperia_tf import command
from nexperia_tf.data.records import reading, store
from nexperia_tf.evaluation import heatmaps
from nexperia_tf.evaluation.report import pictures
from nexperia_tf.models import classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import intervals

SPLITS = ("test", "validation", "train")


def boxed(dataset: store.Dataset, devices: int) -> list[reading.Example]:
    """Boxed defects, those the model was not trained on first."""
    found: list[reading.Example] = []
    for split in SPLITS:
        if split in reading.split_sizes(dataset) and len(found) < devices:
            missing = devices - len(found)
            found += pictures.boxed_defects(dataset, split, devices=missing)
    return found


def line(name: str, rate: intervals.Interval) -> str:
    """A rate with its limits, in per cent."""
    if rate.low is None:
        return f"{name} {100 * rate.value:5.1f} % (no limits)"
    value, low, high = (100 * share for share in (rate.value, rate.low, rate.high))
    return f"{name} {value:5.1f} % ({low:.1f} to {high:.1f})"


def main(folder: str, devices: int) -> None:
    command.import_tensorflow()
    run = run_folders.load(folder)
    examples = boxed(run.dataset, devices)
    has_map = classifier.has_map(run.model(with_map=True))
    for stage in heatmaps.LOOKS[1 if has_map else 3 :]:
        played = pictures.ExplainedModel(run, stage).localisation(examples)
        model, random = played.model, played.random
        print(f"{stage}, {model.n} boxed defects of {run.dataset.name}")
        if model.groups is not None:
            print(f"  limits by {model.groups} groups {model.reason}")
        print("  " + line("model            ", model.pointing))
        print("  " + line("centre prior     ", model.centre))
        print("  " + line("model - centre   ", model.gain))
        print("  " + line("random weights   ", random.pointing))
        print("  " + line("random - centre  ", random.gain))
        print(
            f"  energy in boxes   {100 * model.energy:5.1f} %, random weights "
            f"{100 * random.energy:.1f} %, area of the boxes "
            f"{100 * model.area:.1f} %"
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 500)
