"""What the words of the command name: pictures, and runs that have seen them."""

import dataclasses
import pathlib
import typing
from collections.abc import Sequence
from typing import Annotated, Literal

from nexperia_tf import bounds, errors
from nexperia_tf.data.source import DataSource
from nexperia_tf.runs import run_folders

if typing.TYPE_CHECKING:
    from nexperia_tf.data.records import store

AUTO, BASELINE, FEATURES, RUNS = "auto", "baseline", "features", "runs"
SHARE = 0.06  # of the pictures that are listed as suspects
MOST = 500  # of them, however many pictures there are


@dataclasses.dataclass(frozen=True)
class Options:
    """How labels are doubted, and how much is listed."""

    method: Literal["auto", "baseline", "features", "runs"] = "auto"
    """Whose held-out scores: baseline, simple numbers of each picture; features, one
    RUN's network, though it has learned the labels in doubt; runs, what several RUNS
    have held out. auto: by what is named, DATA, one RUN or several."""

    folds: Annotated[int, *bounds.within(ge=2, le=1000)] = 5
    """Folds of whole lots, for baseline and features."""

    lots: bool = True
    """Allow for lots whose scores sit higher or lower as a whole."""

    most: Annotated[int | None, *bounds.within(ge=0, le=100_000)] = None
    """Suspects to list; by default 6 % of the pictures, 500 at most."""

    unlike: Annotated[int, *bounds.within(ge=0, le=100_000)] = 20
    """Pictures unlike all others to list."""

    copies: Annotated[int, *bounds.within(ge=0, le=100_000)] = 20
    """Uncertain copies to list, those that look least alike; and as many near
    duplicates."""

    seed: Annotated[int, *bounds.SEED] = 0
    """Of folds and trees."""

    def suspects_of(self, pictures: int) -> int:
        """How many suspects are listed of so many pictures.

        >>> Options().suspects_of(1000), Options().suspects_of(10**6)
        (60, 500)
        """
        if self.most is not None:
            return self.most
        return min(MOST, max(1, round(SHARE * pictures)))


@dataclasses.dataclass(frozen=True)
class Named:
    """Pictures to audit.

    Attributes:
        dataset: their records.
        runs: that were named; empty where pictures were.
        method: whose scores are taken, with nothing open.
    """

    dataset: "store.Dataset"
    runs: tuple[run_folders.Run, ...]
    method: str


def named(names: Sequence[str], method: str, source: DataSource) -> Named:
    """Opens pictures or runs.

    Args:
        names: one of pictures, or of run folders.
        method: one of the command's.
        source: how pictures are read; its `data` are other pictures of one run.

    Raises:
        errors.BadInput: nothing, or what does not go with the method.
    """
    from nexperia_tf.data.records import store

    if not names:
        raise errors.BadInput(
            "DATA or RUNS: name pictures, or run folders; see nexperia audit --help."
        )
    is_run = [(pathlib.Path(n) / run_folders.CONFIG).is_file() for n in names]
    if len(names) > 1 and not all(is_run):
        other = names[is_run.index(False)]
        raise errors.BadInput(
            f"{other}: not a run folder; name one DATA, or run folders only."
        )
    _refuse_twice(names)
    runs = tuple(run_folders.load(name) for name in names) if is_run[0] else ()
    method = _method(method, names, runs)
    if source.data and len(runs) != 1:
        raise errors.BadInput(
            f"--data {source.data}: goes with one RUN; name pictures without a flag."
        )
    if len(runs) == 1:
        runs = (runs[0].at(source),)
    if runs:
        return Named(runs[0].dataset, runs, method)
    data = dataclasses.replace(source, data=names[0])
    return Named(store.build(data.over(DataSource())), (), method)


def _refuse_twice(names: Sequence[str]) -> None:
    """One fold named twice leaves out another one."""
    places = [pathlib.Path(name).resolve() for name in names]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise errors.BadInput(
                f"{names[number]}: is named twice; name each fold once."
            )


def _method(method: str, names: Sequence[str], runs: Sequence[run_folders.Run]) -> str:
    if method == AUTO:
        return (BASELINE, FEATURES, RUNS)[min(len(runs), 2)]
    if method == FEATURES and len(runs) != 1:
        raise errors.BadInput(
            f"--method features: name one run folder, whose network describes the "
            f"pictures. Received {' '.join(names)}."
        )
    if method == RUNS and not runs:
        raise errors.BadInput(
            f"--method runs: name the runs of several folds. Received {names[0]}."
        )
    return method
