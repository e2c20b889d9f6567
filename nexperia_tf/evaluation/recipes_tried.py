"""What `--recipe search` has tried and taken, as it stands in a run folder.

`search/` holds plan.json, `scores/` with the devices that each trial has left out,
tried.csv with a line for each trial, and tried.json with what came of them.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from nexperia_tf import errors, files
from nexperia_tf.data import tables
from nexperia_tf.statistics import intervals, wording

SCHEMA = 1  # of tried.json
FOLDER = "search"
PLAN = "plan.json"
TABLE = "tried.csv"
SUMMARY = "tried.json"
SCORES = "scores"
COLUMNS = (
    "recipe",
    "flags",
    "rung",
    "part",
    "steps",
    "auc",
    "auc_within_groups",
    "seconds",
)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A line of tried.csv; rungs and parts are counted from 1.

    Attributes:
        recipe: its name.
        flags: by which it differs from the standard recipe.
        rung: of the halving.
        part: of the training split, which was left out and judged.
        steps: that were trained.
        auc: of the part.
        auc_within_groups: over pairs of one group; None where no group has both
            classes.
        seconds: of training.
    """

    recipe: str
    flags: str
    rung: int
    part: int
    steps: int
    auc: float
    auc_within_groups: float | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Tried:
    """A recipe in a rung: means over parts, sums of steps and seconds."""

    recipe: str
    flags: str
    rung: int
    parts: int
    steps: int
    auc: float
    auc_within_groups: float | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Search:
    """What a search came to.

    Attributes:
        took: recipe that the run was trained with.
        flags: by which it differs from the standard recipe.
        best: recipe with the highest mean AUC in the last rung.
        better_in: share of resamplings in which that one beat the standard recipe.
        auc: mean AUC of `took` in the last rung, too good where it was chosen by that.
        corrected: what such a choice is worth on other groups.
        confidence: of its limits.
        groups: of the training split.
        rows: what was tried, rung by rung.
    """

    took: str
    flags: str
    best: str
    better_in: float
    auc: float
    corrected: intervals.Interval
    confidence: float
    groups: int
    rows: tuple[Tried, ...]

    @property
    def said(self) -> str:
        """The outcome in a sentence."""
        is_standard = self.took == self.best and not self.flags
        why = f"better than the standard recipe in {self.better_in:.0%} of resamplings"
        if is_standard:
            why = "no other was better"
        elif self.took != self.best:
            why = f"{self.best} was {why}, which is too few"
        how = f" ({self.flags}; {why})" if self.flags else f" ({why})"
        fair, sure = self.corrected, wording.percent(self.confidence)
        return (
            f"recipe search: took {self.took}{how}; AUC {self.auc:.3f} on parts of the "
            f"training split that were left out, {fair.value:.3f} ({sure}: "
            f"{fair.low:.3f} to {fair.high:.3f}) corrected for the choice."
        )


def of_run(folder: str | os.PathLike) -> Search | None:
    """What a run has tried; None where it has not searched, or not yet.

    Raises:
        errors.BadInput: tried.json is damaged.
    """
    path = pathlib.Path(folder) / FOLDER / SUMMARY
    if not path.is_file():
        return None
    payload = files.read_json(path)
    try:
        payload.pop("schema")
        rows = tuple(Tried(**row) for row in payload.pop("rows"))
        corrected = intervals.Interval(**payload.pop("corrected"))
        return Search(**payload, corrected=corrected, rows=rows)
    except (KeyError, TypeError, AttributeError) as error:
        said = errors.cut(str(error))
        raise errors.BadInput(f"{path}: no table of a search ({said}).") from None


def write(folder: pathlib.Path, search: Search) -> None:
    """Publishes tried.json in the folder of the search."""
    payload = {"schema": SCHEMA} | dataclasses.asdict(search)
    files.write_json(folder / SUMMARY, payload)


def write_trials(folder: pathlib.Path, trials: Sequence[Trial]) -> None:
    """Publishes tried.csv in the folder of the search."""
    rows = (dataclasses.astuple(trial) for trial in trials)
    files.write_csv(folder / TABLE, COLUMNS, rows)


def read_trials(folder: pathlib.Path) -> list[Trial]:
    """The lines of tried.csv; none where there is no such file yet."""
    if not (folder / TABLE).is_file():
        return []
    table = tables.table(folder / TABLE, COLUMNS)
    return [
        Trial(
            cells["recipe"],
            cells["flags"],
            *(int(cells[name]) for name in ("rung", "part", "steps")),
            float(cells["auc"]),
            float(within) if (within := cells["auc_within_groups"]) else None,
            float(cells["seconds"]),
        )
        for _, cells in table.records()
    ]


def by_rung(trials: Sequence[Trial]) -> tuple[Tried, ...]:
    """The trials of each recipe in each rung taken together, in the order tried."""
    found: dict[tuple[int, str], list[Trial]] = {}
    for trial in trials:
        found.setdefault((trial.rung, trial.recipe), []).append(trial)
    return tuple(_together(each) for each in found.values())


def _together(trials: Sequence[Trial]) -> Tried:
    first = trials[0]
    within = [t.auc_within_groups for t in trials if t.auc_within_groups is not None]
    return Tried(
        first.recipe,
        first.flags,
        first.rung,
        len(trials),
        sum(trial.steps for trial in trials),
        sum(trial.auc for trial in trials) / len(trials),
        sum(within) / len(within) if within else None,
        round(sum(trial.seconds for trial in trials), 1),
    )
