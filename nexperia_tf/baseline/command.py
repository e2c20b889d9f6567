"""`nexperia baseline`: what simple numbers reach without any network."""

import dataclasses
import pathlib
import typing
from typing import Annotated, Literal

import rich
import rich.box
import rich.table
import tyro

from nexperia_tf import bounds, command, errors, files, predictions
from nexperia_tf.data.source import DataSource
from nexperia_tf.statistics import clustered, metrics

if typing.TYPE_CHECKING:
    from nexperia_tf.baseline import scoring

CATCH_RATE = 0.991  # as at the end of a training
JUDGED = ("validation", "calibration", "test")


@dataclasses.dataclass(frozen=True)
class Arguments(DataSource, command.Options):
    """What simple numbers of each picture reach alone, with trees, in seconds."""

    data: tyro.conf.Positional[str] = "sample"
    """sample, a raw folder, LAYOUT:FOLDER, or a folder that nexperia prepare wrote."""

    out: str = ""
    """Table of scores to write, for nexperia evaluate to compare with; an earlier one
    is replaced."""

    split: Literal["", "validation", "calibration", "test", "unlabelled"] = ""
    """Split that --out holds; test when not given, validation where there is none."""

    seed: Annotated[int, *bounds.SEED] = 0
    """Of folds and trees."""


def main(arguments: Arguments) -> None:
    """Fits on the training split, prints a table, writes the scores."""
    if not arguments.out:
        bounds.check_unused(arguments, ["split"], "without --out")
    else:
        _check_out(arguments.out)
    command.import_tensorflow()
    from nexperia_tf.baseline import scoring
    from nexperia_tf.data.records import reading, store

    dataset = store.build(arguments)
    sizes = reading.split_sizes(dataset)
    split = arguments.split or ("test" if "test" in sizes else "validation")
    if arguments.out and split not in sizes:
        raise errors.BadInput(
            f"{arguments.data}: no images in split {split!r}; there are "
            f"{', '.join(sizes)}."
        )
    asked = dict.fromkeys((*JUDGED, *([split] if arguments.out else [])))
    scored = scoring.score(dataset, list(asked), seed=arguments.seed)
    rich.print(_table(scored))
    print(_fitted(scored))
    if arguments.out:
        predictions.write(arguments.out, scored.tables[split])
        print(f"Scores: {arguments.out} ({split}, {len(scored.tables[split])} devices)")


def _check_out(out: str) -> None:
    path = pathlib.Path(out)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise errors.BadInput(
            f"--out {out}: name a table, such as scores.csv, in a folder that is there."
        )
    files.check_writable(path)


def _table(scored: "scoring.Scored") -> rich.table.Table:
    """What each score reaches on each split that has both classes."""
    shown = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False)
    for title in ("split", "score", "AUC", "95 % interval"):
        side = "left" if title in ("split", "score") else "right"
        shown.add_column(title, justify=side, no_wrap=title != "score")
    shown.add_column(f"overkill\nat {CATCH_RATE:.1%}", justify="right", min_width=8)
    for split, table in scored.tables.items():
        if set(table.label) == {0, 1}:
            ranked = {**scored.beside[split], scored.floor.model: table.score}
            for number, (name, scores) in enumerate(ranked.items()):
                shown.add_row("" if number else split, name, *_figures(table, scores))
    return shown


def _fitted(scored: "scoring.Scored") -> str:
    """What was fitted on what, in one line."""
    train, tried = scored.floor.train, scored.floor.tried
    said = [f"{len(train.names)} numbers of {len(train):,} training pictures"]
    if tried:
        by_folds = ", ".join(f"{name} {auc:.3f}" for name, auc in tried.items())
        said.append(f"AUC by cross-validation: {by_folds}")
    return "; ".join([*said, f"{scored.seconds:.1f} s"])


def _figures(table: predictions.Predictions, scores) -> list[str]:
    auc = clustered.headline(
        table.label, scores, clustered.groups_of(table), word=clustered.word_of(table)
    )
    limits = "none" if auc.low is None else f"{auc.low:.3f} to {auc.high:.3f}"
    (point,) = metrics.fpr_at_tpr(table.label, scores, (CATCH_RATE,))
    return [f"{auc.value:.4f}", limits, f"{point.fpr:.1%}"]
