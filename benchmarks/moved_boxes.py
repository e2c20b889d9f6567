"""Claim: boxes that lie elsewhere than their defect are listed by a network's map.

Gives each boxed defect of a run the boxes of another one, drawn at random, and counts
how many of these `nexperia audit RUN` lists, and how many of the boxes as given. Where
the other boxes touch the own ones, the defect may well lie in them: such pairs are
counted apart. Half a minute on two cores:

    python benchmarks/moved_boxes.py RUN
"""

import dataclasses
import sys

import numpy as np

from nexperia_tf import command
from nexperia_tf.audit import boxes, held_out, photographs
from nexperia_tf.evaluation import heatmaps
from nexperia_tf.evaluation.report import pictures
from nexperia_tf.runs import run_folders


def main(folder: str) -> None:
    command.import_tensorflow()
    run = run_folders.load(folder)
    rows = boxes.boxed(held_out.labelled(run.dataset))
    shown = photographs.of_records(run.dataset, rows)
    examples = [shown[row.image_id] for row in rows]
    explained = pictures.ExplainedModel(run, heatmaps.MAP)
    chances = heatmaps.learned(explained.model, explained.canvases(examples))
    own = [explained.boxes(example) for example in examples]
    drawn = np.random.default_rng(0).permutation(len(rows))
    moved = [
        explained.boxes(dataclasses.replace(example, boxes=examples[other].boxes))
        for example, other in zip(examples, drawn)
    ]
    apart = np.array([not _touch(a, b) for a, b in zip(own, moved)])
    as_given = _listed(run, chances, own)
    elsewhere = _listed(run, chances, moved)
    for name, these in (("training", True), ("held-out", False)):
        of_kind = np.array([(row.split == "train") == these for row in rows])
        _print(name, as_given, elsewhere, apart, of_kind)


def _touch(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether any box of one overlaps any of the other."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return bool((low < high).all(axis=-1).any())


def _listed(run: run_folders.Run, chances: np.ndarray, own: list) -> np.ndarray:
    inside = [boxes.peaks(c, b, run.image_size)[0] for c, b in zip(chances, own)]
    return np.array(inside) < boxes.SEEN


def _print(
    name: str,
    as_given: np.ndarray,
    elsewhere: np.ndarray,
    apart: np.ndarray,
    these: np.ndarray,
) -> None:
    found = elsewhere & apart & these
    print(
        f"{name}: {these.sum()} boxed defects, {(as_given & these).sum()} listed as "
        f"given; of {(apart & these).sum()} boxes moved off theirs {found.sum()} listed"
    )


if __name__ == "__main__":
    main(sys.argv[1])
