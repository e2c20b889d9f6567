"""`nexperia audit`: which labels are probably wrong, for a person to decide.

nexperia audit PATH --out audit
nexperia audit runs/fold-1 runs/fold-2 runs/fold-3 --out audit
nexperia audit --merge first.csv second.csv --out decisions.csv
"""

import dataclasses
import os
import pathlib
import time
import typing
from collections.abc import Iterator
from typing import Annotated

import rich
import rich.box
import rich.table
import tyro

from nexperia_tf import command, errors, files, labels
from nexperia_tf.audit import opening
from nexperia_tf.audit.review import merging
from nexperia_tf.data.source import NOTHING, DataSource

if typing.TYPE_CHECKING:
    from nexperia_tf.audit import auditing

SHOWN = 8  # suspects on the screen


@dataclasses.dataclass(frozen=True)
class Arguments(opening.Options, command.Options):
    """Finds what is labelled wrongly; writes a list and a page to decide on."""

    names: tyro.conf.Positional[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="DATA|RUNS")]
    ] = ()
    """Pictures (sample, a raw folder, LAYOUT:FOLDER, a prepared folder), or run
    folders: one, or several of train --fold."""

    out: str = ""
    """Folder for suspects.csv, audit.json and review.html; with --merge the table. Must
    not exist yet."""

    merge: tuple[str, ...] = ()
    """Instead of an audit: the decisions.csv of two reviewers, to be one. Where they
    disagree is listed and left undecided."""

    source: DataSource = NOTHING
    """How DATA is read; with one RUN other pictures than its own."""


def main(arguments: Arguments) -> None:
    """Audits, or merges what two reviewers decided."""
    if not arguments.out:
        raise errors.BadInput("--out: name what to write.")
    files.refuse_existing(arguments.out)
    files.check_writable(arguments.out)
    if arguments.merge:
        _merge(arguments)
        return
    start = time.perf_counter()
    command.import_tensorflow()
    from nexperia_tf.audit import auditing
    from nexperia_tf.audit.review import publishing

    named = opening.named(arguments.names, arguments.method, arguments.source)
    found = auditing.audit(named, arguments)
    with files.new_folder(arguments.out) as partial:
        publishing.write(partial, found, seconds=time.perf_counter() - start)
    rich.print(_table(found))
    for line in _lines(found, pathlib.Path(arguments.out)):
        print(line)


def _merge(arguments: Arguments) -> None:
    if len(arguments.merge) != 2 or arguments.names:
        raise errors.BadInput(
            "--merge: name the decisions.csv of two reviewers, and nothing to audit. "
            f"Received {' '.join((*arguments.merge, *arguments.names))}."
        )
    if len({os.path.realpath(table) for table in arguments.merge}) == 1:
        raise errors.BadInput(
            f"--merge: {arguments.merge[0]} is named twice; name the tables of two "
            "reviewers."
        )
    merged = merging.merge(*map(merging.read, arguments.merge))
    merging.write(arguments.out, merged)
    agreed = merged.both - len(merged.disagreed)
    kappa = "" if merged.kappa is None else f"; Cohen's kappa {merged.kappa:.2f}"
    print(f"Decided by both: {merged.both}, alike: {agreed}{kappa}")
    for mine, other in merged.disagreed:
        print(f"  {mine.path}: {mine.who} {mine.words}, {other.who} {other.words}")
    print(f"Decisions: {arguments.out} ({len(merged.decided)})")


def _table(found: "auditing.Audit") -> rich.table.Table:
    """What is doubted in each class."""
    shown = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False)
    shown.add_column("labelled")
    for title in ("pictures", "probably\nwrong", "listed\nas suspects"):
        shown.add_column(title, justify="right")
    for label, name in enumerate(labels.NAMES):
        of_class = [item for item in found.suspects if item.row.label == name]
        pictures = int((found.scores.label == label).sum())
        wrong = found.ranking.wrong(label)
        shown.add_row(name, *(f"{n:,}" for n in (pictures, wrong, len(of_class))))
    return shown


def _lines(found: "auditing.Audit", out: pathlib.Path) -> Iterator[str]:
    for item in found.suspects[:SHOWN]:
        yield f"  {item.row.path}: {item.reasons[0]}"
    if len(found.suspects) > SHOWN:
        yield f"  ... and {len(found.suspects) - SHOWN} more"
    for title, count in found.others():
        yield f"{title}: {count}"
    yield f"Held-out AUC by the given labels: {found.scores.auc:.4f}"
    if found.caution:
        yield f"note: {found.caution}"
    yield f"List: {out / 'suspects.csv'}"
    yield f"To decide on, in a browser: {out / 'review.html'}"
