"""One of K folds of a prepared folder: held out as its test split, the rest to learn.

All labelled pictures are dealt, whatever split they had, in whole groups; copies and
twins stay together. K runs so hold out every picture once.
"""

import dataclasses
import pathlib
import shutil

from nexperia_tf import files
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import splits, summary

PLACE = "folds"  # below --data-dir, so that no preparation keeps the splits of a fold
MANIFEST, PAIRS = "manifest.csv", "duplicates.csv"
VALIDATION = 0.15  # of the pictures that are not held out


@dataclasses.dataclass(frozen=True)
class Fold:
    """One of some folds.

    >>> Fold.of("2/5").name
    'fold-2-of-5'
    """

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> "Fold":
        """From its words on the command line, such as 2/5."""
        return cls(*map(int, text.split("/")))

    @property
    def name(self) -> str:
        return f"fold-{self.number}-of-{self.count}"


def prepared(
    whole: pathlib.Path, fold: Fold, place: pathlib.Path, *, seed: int = 0
) -> pathlib.Path:
    """A prepared folder whose test split is the fold, made unless it is there.

    Args:
        whole: the prepared folder of all pictures, inside their data folder.
        fold: which.
        place: where folds are kept.
        seed: of folds and of the validation split, the same for all folds.

    Raises:
        errors.BadInput: fewer groups than folds.
    """
    folder = place / f"{whole.parent.name}-{fold.name}"
    if folder.exists():
        return folder
    rows = manifest.read(whole / MANIFEST)
    deal(rows, fold, seed=seed)
    facts = files.read_json(whole / prepare.SUMMARY)
    facts |= {"splits": summary.counts_by_split(rows), "fold": fold.name}
    place.mkdir(parents=True, exist_ok=True)
    with files.new_folder(folder) as partial:
        manifest.write(partial / MANIFEST, rows)
        shutil.copyfile(whole / PAIRS, partial / PAIRS)
        files.write_json(partial / prepare.SUMMARY, facts)
    return folder


def deal(rows: list[manifest.Row], fold: Fold, *, seed: int = 0) -> None:
    """Sets the splits: test for the fold, train and validation for the others.

    Raises:
        errors.BadInput: fewer groups than folds.
    """
    names = splits.folds(rows, fold.count, seed=seed)
    held_out = [name == str(fold.number) for name in names]
    rest = [row for row, held in zip(rows, held_out) if not held]
    splits.assign(rest, fractions=(1 - VALIDATION, VALIDATION), seed=seed)
    for row, held in zip(rows, held_out):
        if held:
            row.split = "test"
