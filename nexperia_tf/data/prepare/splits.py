"""Splits by group: what belongs together never stands on both sides.

Rows that share a group, a cluster of copies or a twin group form one unit. Units are
assigned whole (`assignment`), so that every split holds good devices and defects where
that can be, train every defect type, and shares come out. All of it depends on names
and the seed alone.
"""

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated

import numpy as np

from nexperia_tf import bounds, errors, labels
from nexperia_tf.data import manifest
from nexperia_tf.data.duplicates import connected
from nexperia_tf.data.prepare import assignment, kept_splits
from nexperia_tf.data.raw import layouts

ASKED = ("train", "validation", "test")  # those that are always asked for
FRACTIONS = (0.70, 0.15, 0.15)  # of them
NAMED = 4  # units that a line names


@dataclasses.dataclass(frozen=True)
class Splitting:
    """How devices are split."""

    seed: Annotated[int, *bounds.SEED] = 0
    """Seed of the split."""

    calibration_share: Annotated[float, *bounds.CALIBRATION_SHARE] = 0.0
    """Share of the labelled devices, whole groups out of train, that chooses thresholds
    and nothing else: split calibration."""

    keep_splits: str = kept_splits.AUTO
    """Run, prepared or data folder whose pictures keep their splits, known by content;
    auto takes the newest of RAW that lies beside --out, with the same
    --calibration-share where there is one; none splits anew."""

    repair: bool = False
    """Drop images whose copy or twin stands in another split, from train first."""

    folds: Annotated[int | None, *bounds.within(ge=2, le=1_000_000)] = None
    """Also write folds.csv with so many folds."""

    leave_one_out: str = ""
    """Also write folds.csv with one fold per value of a column, as machine or lot."""


def assign(
    rows: Sequence[manifest.Row],
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    settled: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Sets `split` of the used labelled rows; dropped rows have none.

    Args:
        rows: all rows; unlabelled ones keep the split `unlabelled`.
        fractions: shares of train, validation and test.
        seed: chooses among equally good assignments.
        settled: splits by path that stay; shares count them.
    """
    for row in rows:
        if row.label or not row.used:
            row.split = ""
    _assign_rest(
        [row for row in rows if row.used and row.label], fractions, seed, settled
    )


def _assign_rest(
    rows: Sequence[manifest.Row],
    fractions: Sequence[float],
    seed: int,
    settled: Mapping[str, str],
) -> None:
    """Sets `split` of rows that can be learned: as settled, else assigned."""
    held = [(row, settled[row.path]) for row in rows if row.path in settled]
    for row, split in held:
        row.split = split
    rest = [row for row in rows if row.path not in settled]
    # Calibration devices are cut out of train, whose share counts them.
    places = [(row, ASKED.index(s) if s in ASKED else 0) for row, s in held]
    for row, place in zip(rest, _assign(rest, fractions, seed, _bonds, held=places)):
        row.split = ASKED[place]


def keep_given(
    rows: Sequence[manifest.Row],
    *,
    seed: int = 0,
    settled: Mapping[str, str] = MappingProxyType({}),
) -> str | None:
    """Leaves the raw folder's own splits; only dropped rows lose theirs.

    Args:
        rows: all rows.
        seed: of the validation split that is cut from train where none is given.
        settled: splits by path that given train devices had before: validation or
            calibration, cut from train, or train.

    Returns:
        A note for the report when validation had to be cut from train, because none
        was given, else None.
    """
    for row in rows:
        if not row.used:
            row.split = ""
    for row in rows:
        if settled.get(row.path) == manifest.CALIBRATION and row.split == "train":
            row.split = manifest.CALIBRATION
    if has_validation(rows):
        return None
    train = [row for row in rows if row.split == "train"]
    share = FRACTIONS[1] / (FRACTIONS[0] + FRACTIONS[1])
    _assign_rest(train, (1 - share, share), seed, settled)
    return "no validation split was given: it was cut from train, by group"


def has_validation(rows: Iterable[manifest.Row]) -> bool:
    """Whether given splits need none cut from train."""
    return any(row.split == "validation" for row in rows if row.used)


def lacking(rows: Sequence[manifest.Row], asked: Sequence[str] = ASKED) -> str | None:
    """Which of the splits asked for lack a label, and the units that cause it.

    Returns:
        A line for the report; None where every split holds good devices and defects.
    """
    learnable = [row for row in rows if row.used and row.label]
    held = {(row.split, row.label) for row in learnable}
    without: dict[tuple[str, ...], list[str]] = {}
    for label in labels.NAMES:
        places = tuple(split for split in asked if (split, label) not in held)
        without.setdefault(places, []).append(label)
    without.pop((), None)
    clauses = [
        f"no {' and no '.join(missing)} device is left for {' and '.join(places)}: "
        + _holders([row for row in learnable if row.label in missing], learnable)
        for places, missing in without.items()
    ]
    remedy = "add pictures, or let --group or a split column say what may stand apart"
    return "; ".join([*clauses, remedy]) if clauses else None


def _holders(rows: Sequence[manifest.Row], among: Sequence[manifest.Row]) -> str:
    """The units that hold these rows, in words."""
    unit_of = dict(zip((row.path for row in among), _units(among, _bonds)))
    units = collections.defaultdict(list)
    for row in rows:
        units[unit_of[row.path]].append(row.group or row.image_id)
    named = sorted((-len(names), min(names)) for names in units.values())
    shown = ", ".join(f"{name} {-size}" for size, name in named[:NAMED])
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    stand = f"all {len(rows)} stand in" if len(rows) > 1 else "the only one stands in"
    whole = "one group" if len(units) == 1 else f"{len(units)} groups"
    return f"{stand} {whole} kept whole ({shown}{more})"


def cut_calibration(
    rows: Sequence[manifest.Row],
    share: float,
    *,
    seed: int = 0,
    settled: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Moves whole units of train to split `calibration`; other splits stay.

    Args:
        rows: all rows, their splits set.
        share: of the used labelled devices; 0 moves none.
        seed: chooses among equally good assignments.
        settled: splits by path from before: calibration devices stay, and what is
            added to them is new.

    Raises:
        errors.BadInput: the split is there already, or train is not larger than it.
    """
    if not share:
        return
    there = [row for row in rows if row.split == manifest.CALIBRATION]
    if any(row.path not in settled for row in there):
        raise errors.BadInput(
            f"--calibration-share {share}: the raw folder's split column names "
            "calibration devices already; leave the flag out."
        )
    train = [row for row in rows if row.split == "train"]
    if there:  # what was learned from before is not called unseen
        train = [row for row in train if row.path not in settled]
    labelled = sum(row.used and bool(row.label) for row in rows)
    part = (share * labelled - len(there)) / max(len(train), 1)
    if there:
        part = min(part, share / FRACTIONS[0])
        if part <= 0 or not train:  # as many as asked for, or nothing to take from
            return
    if not 0 < part < 1:
        raise errors.BadInput(
            f"--calibration-share {share}: is cut from train, which holds {len(train)} "
            f"devices; pass a share between 0 and {share / part:.2g}."
        )
    for row, place in zip(train, _assign(train, (1 - part, part), seed, _bonds)):
        row.split = manifest.CALIBRATION if place else "train"


def folds(rows: Sequence[manifest.Row], count: int, *, seed: int = 0) -> list[str]:
    """One of `count` folds, named 1 to `count`, for every row that can be learned.

    Returns:
        A name for each row, empty for dropped and unlabelled ones.

    Raises:
        errors.BadInput: fewer than 2 folds, or fewer units than folds.
    """
    learnable = [row for row in rows if row.used and row.label]
    units = len(set(_units(learnable, _bonds)))
    if not 2 <= count <= units:
        raise errors.BadInput(
            f"--folds {count}: from 2 to {units} folds can be made of {units} groups."
        )
    places = _assign(learnable, (1 / count,) * count, seed, _bonds, alike=True)
    names = {row.path: str(place + 1) for row, place in zip(learnable, places)}
    return [names.get(row.path, "") for row in rows]


def leave_one_out(rows: Sequence[manifest.Row], column: str) -> list[str]:
    """One fold for each value of a column: machine, lot, month or any other.

    Copies and twins that stand under several values are in no fold, else holding one
    value out would leave its copy among the others.

    Raises:
        errors.BadInput: the column has fewer than two values.
    """
    learnable = [row for row in rows if row.used and row.label]
    held_out = [layouts.value(row, column) for row in learnable]
    if len({value for value in held_out if value}) < 2:
        raise errors.BadInput(
            f"--leave-one-out {column}: fewer than two values in that column; name "
            "another, as machine or lot."
        )
    spread = collections.defaultdict(set)
    units = _units(learnable, _likeness)
    for unit, value in zip(units, held_out):
        spread[unit].add(value)
    names = {
        row.path: value
        for row, unit, value in zip(learnable, units, held_out)
        if len(spread[unit]) == 1
    }
    return [names.get(row.path, "") for row in rows]


def at_random(rows: Sequence[manifest.Row], *, seed: int = 0) -> dict[str, str]:
    """The usual split of single images, by path; what the leak count starts from."""
    split_of = {}
    for label in labels.NAMES:
        paths = [row.path for row in rows if row.label == label]
        paths.sort(key=lambda path: _draw(seed, path))
        bounds = np.cumsum(FRACTIONS) * len(paths)
        for place, path in enumerate(paths):
            past = int(np.searchsorted(bounds[:-1], place, side="right"))
            split_of[path] = manifest.SPLITS[past]
    return split_of


def _bonds(row: manifest.Row) -> Iterable[str]:
    if row.group:
        yield f"group {row.group}"
    yield from _likeness(row)


def _likeness(row: manifest.Row) -> Iterable[str]:
    if row.cluster:
        yield f"cluster {row.cluster}"
    if row.twin_group:
        yield f"twins {row.twin_group}"


def _units(
    rows: Sequence[manifest.Row], bonds: Callable[[manifest.Row], Iterable[str]]
) -> list[str]:
    """Name of each row's unit: rows with a common bond, directly or through others."""
    own = [f"path {row.path}" for row in rows]
    ties = [(name, bond) for name, row in zip(own, rows) for bond in bonds(row)]
    unit_of = {
        name: unit[0] for unit in connected.components(ties, nodes=own) for name in unit
    }
    return [unit_of[name] for name in own]


def _assign(
    rows: Sequence[manifest.Row],
    fractions: Sequence[float],
    seed: int,
    bonds: Callable[[manifest.Row], Iterable[str]],
    *,
    held: Sequence[tuple[manifest.Row, int]] = (),
    alike: bool = False,
) -> list[int]:
    """Place of each row among the fractions; every unit goes to one place.

    Args:
        rows: to be assigned.
        fractions: share of each place.
        seed: breaks ties.
        bonds: what ties a row to others.
        held: rows that have a place already; shares count them.
        alike: places are alike, as folds are; else the first is to learn from and each
            matters more than the next.
    """
    if not rows:
        return []
    names = _units(rows, bonds)
    counts, strata, order = _unit_counts(rows, names, seed, [row for row, _ in held])
    before = np.zeros((len(fractions), len(strata)))
    for row, place in held:
        before[place, [strata.index(stratum) for stratum in _strata(row)]] += 1
    given = assignment.Problem(
        np.array([counts[unit] for unit in order]),
        np.array(fractions),
        before,
        labels=[i for i, stratum in enumerate(strata) if len(stratum) == 1],
        # A place weighs more than all behind it: who cannot train needs no test.
        ranks=np.power(1.0 if alike else 4.0, np.arange(len(fractions))[::-1]),
        kinds_first=not alike,
    )
    place_of = dict(zip(order, assignment.assign(given).tolist()))
    return [place_of[unit] for unit in names]


def _unit_counts(
    rows: Sequence[manifest.Row],
    units: Sequence[str],
    seed: int,
    others: Sequence[manifest.Row],
) -> tuple[dict[str, np.ndarray], list[tuple[str, ...]], list[str]]:
    """Devices of each unit by stratum, the strata, and the order of assignment."""
    strata = sorted({stratum for row in [*rows, *others] for stratum in _strata(row)})
    index = {stratum: i for i, stratum in enumerate(strata)}
    counts = {unit: np.zeros(len(strata)) for unit in units}
    for row, unit in zip(rows, units):
        for stratum in _strata(row):
            counts[unit][index[stratum]] += 1

    def turn(unit: str) -> tuple[float, bytes]:
        return -counts[unit].sum(), _draw(seed, unit)

    return counts, strata, sorted(counts, key=turn)


def _draw(seed: int, name: str) -> bytes:
    """A random key that depends on the seed and the name alone."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def _strata(row: manifest.Row) -> set[tuple[str, ...]]:
    return {(row.label,), (row.label, row.defect_type)}
