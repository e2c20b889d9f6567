"""One audit: scores, ranks, lists, and the three files that tell of them."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from nexperia_tf.audit import (
    boxes,
    held_out,
    items,
    look_alikes,
    opening,
    pairs,
    ranking,
)
from nexperia_tf.audit.opening import Options
from nexperia_tf.data import manifest
from nexperia_tf.models import classifier
from nexperia_tf.runs import run_folders

FITTED = (
    "The network has learned the labels in doubt of its own training pictures, so "
    "wrong ones among these look right to it; runs of train --fold have not."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """What an audit found.

    Attributes:
        named: what was audited.
        options: how.
        scores: held-out ones.
        ranking: of the labels in doubt.
        items: what a person is to look at.
        rows: of the manifest, dropped ones among them.
    """

    named: opening.Named
    options: Options
    scores: held_out.HeldOut
    ranking: ranking.Ranking
    items: Sequence[items.Item]
    rows: Sequence[manifest.Row]

    @property
    def caution(self) -> str:
        """What weakens the audit; "" where nothing does."""
        if self.scores.method == opening.FEATURES:
            return FITTED
        if left_out := self.scores.facts.get("not_held_out"):
            return (
                f"{left_out:,} of {left_out + len(self.scores.rows):,} labelled "
                "pictures were held out by none of the runs and are not audited; name "
                "the runs of all folds."
            )
        return ""

    @property
    def suspects(self) -> list[items.Item]:
        """Labels in doubt, the most doubtful first."""
        return [item for item in self.items if item.kind == items.SUSPECT]

    def others(self) -> Iterator[tuple[str, int]]:
        """What else is listed, by its title, where there is any."""
        for kind, title in items.TITLES.items():
            if kind != items.SUSPECT and self.count(kind):
                yield title, self.count(kind)

    def count(self, kind: str) -> int:
        """Items of one kind."""
        return sum(item.kind == kind for item in self.items)


def audit(named: opening.Named, options: Options) -> Audit:
    """Scores, ranks and lists.

    Raises:
        errors.BadInput: one class, too few groups, or runs that do not fit together.
    """
    rows = held_out.labelled(named.dataset)
    scores = _scores(named, rows, options)
    ranked = ranking.rank(
        scores.label, scores.score, scores.groups if options.lots else None
    )
    everything = manifest.read(named.dataset.prepared / "manifest.csv")
    alike = pairs.read(named.dataset.prepared / "duplicates.csv", everything)
    lists = items.Lists(
        suspects=ranked.order[: options.suspects_of(len(scores.rows))],
        alike=[*pairs.conflicts(alike), *pairs.doubtful(alike, options.copies)],
        missed=_missed_boxes(named),
        unlike=_unlike(scores, options.unlike),
    )
    found = items.with_copies(items.of(scores, ranked, lists), everything)
    return Audit(named, options, scores, ranked, found, everything)


def _scores(
    named: opening.Named, rows: Sequence[manifest.Row], options: Options
) -> held_out.HeldOut:
    if named.method == opening.RUNS:
        looks = held_out.of_features(named.runs[0], rows).values
        tables = [run.predictions("test") for run in named.runs]
        names = [run.name for run in named.runs]
        return held_out.by_runs(rows, tables, looks, names=names)
    folds = held_out.dealt(rows, options.folds, seed=options.seed)
    if named.method == opening.FEATURES:
        table = held_out.of_features(named.runs[0], rows)
    else:
        table = held_out.of_baseline(named.dataset, rows)
    return held_out.by_numbers(
        rows, table, folds, method=named.method, seed=options.seed
    )


def _unlike(scores: held_out.HeldOut, most: int) -> list[tuple[int, float]]:
    """Places of the loneliest pictures, with how many times as lonely as usual."""
    times = look_alikes.Space.of(scores.looks, scores.label).loneliness()
    return [(int(i), float(times[i])) for i in np.argsort(-times, kind="stable")[:most]]


def judges(named: opening.Named) -> list[tuple[run_folders.Run, list[manifest.Row]]]:
    """Runs with a map, each with the pictures that it judges: of several, held out."""
    found = []
    for run in named.runs:
        if classifier.has_map(run.model(with_map=True)):
            rows = held_out.labelled(run.dataset)
            if len(named.runs) > 1:
                rows = [row for row in rows if row.split == "test"]
            found.append((run, rows))
    return found


def _missed_boxes(named: opening.Named) -> list[boxes.Miss]:
    """Those of all runs, by the rows of the first, as each fold has its own splits."""
    known = {row.path: row for row in held_out.labelled(named.dataset)}
    missed = [
        dataclasses.replace(miss, row=known[miss.row.path])
        for run, rows in judges(named)
        for miss in boxes.misses(run, rows)
    ]
    return sorted(missed, key=lambda miss: miss.inside - miss.outside)
