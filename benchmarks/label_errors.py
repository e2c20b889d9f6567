"""Claim: most of the wrong labels planted stand in the first few per cent of the list.

Takes true labels, turns a share of them round, hidden from the method, and counts how
many of these stand in the first so many per cent of `nexperia audit`'s list, with and
without the allowance for lots; cleanlab's ranking of the same scores beside it. Needs
the extra `oracles`. Minutes on two cores:

    python benchmarks/label_errors.py PATH [--truth truth.csv] [--run RUN] [--draws 3]

PATH is a raw or prepared folder; --truth (image_id,label) says what its labels are in
truth; --run takes the features of that run in place of the baseline's numbers.
"""

import argparse
import dataclasses
from collections.abc import Iterator

import numpy as np
from cleanlab import rank as cleanlab_rank

from nexperia_tf import command, labels
from nexperia_tf.audit import held_out, opening, ranking
from nexperia_tf.baseline import floor
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.source import DataSource
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import metrics

PLANTED = (0.01, 0.03)
FIRST = (0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.10)  # shares of the list that are read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--truth")
    parser.add_argument("--run", default="")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--good", default="")
    parser.add_argument("--draws", type=int, default=3)
    asked = parser.parse_args()
    command.import_tensorflow()
    source = DataSource(data="", data_dir=asked.data_dir, good=asked.good)
    named = opening.named([asked.data], opening.AUTO, source)
    rows = held_out.labelled(named.dataset)
    if asked.truth:
        rows = _with_truth(rows, asked.truth)
    if asked.run:
        run = run_folders.load(asked.run).at(
            dataclasses.replace(source, data=asked.data)
        )
        table = held_out.of_features(run, rows)
    else:
        table = held_out.of_baseline(named.dataset, rows)
    table = dataclasses.replace(table, label=held_out.labels_of(rows))
    print(f"{len(rows)} pictures, {int(table.label.sum())} defects")
    for share in PLANTED:
        _print(share, [_found(rows, table, share, seed) for seed in range(asked.draws)])


def _with_truth(rows: list[manifest.Row], path: str) -> list[manifest.Row]:
    _, lines = tables.read(path, ("image_id", "label"))
    truth = {cells["image_id"]: cells["label"] for _, cells in lines}
    known = [row for row in rows if truth.get(row.image_id) in labels.NAMES]
    given = sum(row.label != truth[row.image_id] for row in known)
    print(f"{given} labels were wrong as given; {len(rows) - len(known)} without truth")
    for row in known:
        row.label = truth[row.image_id]
    return known


def _found(
    rows: list[manifest.Row], table: floor.Table, share: float, seed: int
) -> dict[str, np.ndarray]:
    """Shares of the planted errors in the first of each list, by its name."""
    drawn = np.random.default_rng(seed).permutation(len(rows))
    flipped = np.zeros(len(rows), bool)
    flipped[drawn[: round(share * len(rows))]] = True
    label = np.where(flipped, 1 - table.label, table.label)
    given = [
        dataclasses.replace(row, label=labels.NAMES[each])
        for row, each in zip(rows, label)
    ]
    planted = dataclasses.replace(table, label=label)
    folds = held_out.dealt(given, opening.Options().folds, seed=seed)
    scores = held_out.by_numbers(given, planted, folds, method="", seed=seed)
    ends = [round(first * len(rows)) for first in FIRST]
    found = {
        name: np.array([flipped[order[:end]].sum() for end in ends]) / flipped.sum()
        for name, order in _orders(scores)
    }
    auc = metrics.auc(table.label, scores.score)
    return found | {"held-out AUC by the truth": np.array([auc])}


def _orders(scores: held_out.HeldOut) -> Iterator[tuple[str, np.ndarray]]:
    yield "ours", ranking.rank(scores.label, scores.score, scores.groups).order
    yield "ours without lots", ranking.rank(scores.label, scores.score).order
    both = np.stack([1 - scores.score, scores.score], axis=1)
    for method, adjust in (("normalized_margin", True), ("self_confidence", False)):
        quality = cleanlab_rank.get_label_quality_scores(
            scores.label, both, method=method, adjust_pred_probs=adjust
        )
        yield f"cleanlab {method}", np.argsort(quality, kind="stable")


def _print(share: float, found: list[dict[str, np.ndarray]]) -> None:
    print(f"\n{share:.0%} planted, {len(found)} draws: mean (least) found, per cent")
    print(f"{'first':27}" + "".join(f"{first:>11.0%}" for first in FIRST))
    for name in found[0]:
        values = 100 * np.array([each[name] for each in found])
        cells = (
            f"{m:5.1f} ({low:3.0f})" for m, low in zip(values.mean(0), values.min(0))
        )
        print(f"{name:27}" + "".join(f"{cell:>11}" for cell in cells))


if __name__ == "__main__":
    main()
