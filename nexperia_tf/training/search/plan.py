"""From minutes to steps: which recipes a search tries on which parts, and how long.

A plan is made once, before the first trial, and written down. After it nothing looks at
a clock: the same plan, data and seed choose the same recipe.
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from nexperia_tf import errors, files
from nexperia_tf.configs import candidates

SCHEMA = 1  # of plan.json
NAME = "[A-Za-z0-9]+([ -][A-Za-z0-9]+)*"  # of a recipe; files are named by it
# Of a recipe's full length that its first trial has at least: in less a network has
# hardly learned anything.
LEAST_FIRST = 1 / 8
# Of the last rung; each before has half. In less two stages lose to one that learns
# faster and not better.
SHARES = (1, 3 / 4, 1 / 2)
FEWEST = 2  # recipes that make a choice
SCORING = 1 / 3  # of a training step, to score as many devices
KEEPING = 1.0  # seconds for the model and the checkpoint of an epoch
FINISH = 60.0  # seconds at the end of a run, besides scoring


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a recipe is trained in full.

    Attributes:
        first_epochs, epochs: of its two stages, or of one.
        first_steps, steps: of an epoch of each.
    """

    first_epochs: int
    epochs: int
    first_steps: int
    steps: int

    @property
    def total(self) -> int:
        """Steps of all epochs."""
        return self.first_epochs * self.first_steps + self.epochs * self.steps

    def shortened(self, share: float) -> "Length":
        """That share of the epochs, at least one of each stage there is.

        >>> Length(20, 6, 50, 50).shortened(1 / 8)
        Length(first_epochs=2, epochs=1, first_steps=50, steps=50)
        """
        first, last = (
            max(1, round(share * epochs)) if epochs else 0
            for epochs in (self.first_epochs, self.epochs)
        )
        return dataclasses.replace(self, first_epochs=first, epochs=last)


@dataclasses.dataclass(frozen=True)
class PlannedTrial:
    """One trial of a plan: a recipe on all parts but one.

    Attributes:
        recipe: its name.
        part: that is left out, from 0.
        first_epochs, epochs: how long each stage is trained.
        steps: of both together.
    """

    recipe: str
    part: int
    first_epochs: int
    epochs: int
    steps: int


@dataclasses.dataclass(frozen=True)
class Rung:
    """One round of trials.

    Attributes:
        share: of its full length that each recipe is trained.
        parts: that are left out in turn.
        recipes: that enter.
        keeps: of them that stay, the standard one among them; 1 in the last rung.
        trials: of every recipe that could enter.
    """

    share: float
    parts: tuple[int, ...]
    recipes: int
    keeps: int
    trials: tuple[PlannedTrial, ...] = ()


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the training split, which keeps groups whole."""

    devices: int
    defects: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a search tries.

    Attributes:
        minutes: that the whole command was planned for.
        seed: of parts and trainings.
        parts: of the training split, each left out in turn.
        recipes: that enter the first rung, the standard one first.
        rungs: in order.
        seconds: expected of the trials and of what follows them; for people alone.
    """

    minutes: float
    seed: int
    parts: tuple[Part, ...]
    recipes: tuple[candidates.Candidate, ...]
    rungs: tuple[Rung, ...]
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def described(self) -> str:
        """The plan in a line."""
        rungs = [
            f"{rung.recipes} recipes for {rung.share:.0%} of their steps on "
            + (f"{len(rung.parts)} parts" if len(rung.parts) > 1 else "one part")
            for rung in self.rungs
        ]
        return (
            f"recipe search: {len(self.parts)} parts of the training split; "
            f"{', then '.join(rungs)}; then the training itself."
        )


@dataclasses.dataclass(frozen=True)
class Cost:
    """Seconds that training takes on this machine.

    Attributes:
        setup: of a stage, before its first step has been taken.
        step: of a step of the standard recipe.
        batch: devices in a step.
    """

    setup: float
    step: float
    batch: int

    def of(self, length: Length, judged: int, *, area: float = 1.0) -> float:
        """Of one training.

        Args:
            length: of it.
            judged: devices that are scored after each epoch.
            area: pixels of its canvas, over those of the standard recipe's.
        """
        stages = 2 if length.first_epochs else 1
        epochs = length.first_epochs + length.epochs
        scored = epochs * judged / self.batch * SCORING
        kept = epochs * KEEPING
        return stages * self.setup + kept + (length.total + scored) * self.step * area

    def finish(self, devices: int, *, area: float = 1.0) -> float:
        """Of scores, baseline and SavedModel at the end of a run."""
        return FINISH + 2 * devices / self.batch * SCORING * self.step * area


def halved(count: int) -> list[tuple[int, int]]:
    """How many recipes enter and stay in each rung.

    >>> halved(8), halved(5), halved(2)
    ([(8, 4), (4, 2), (2, 1)], [(5, 3), (3, 2), (2, 1)], [(2, 1)])
    """
    rungs = []
    while count > 2:
        rungs.append((count, math.ceil(count / 2)))
        count = rungs[-1][1]
    return [*rungs, (2, 1)]


def arranged(count: int, share: float, parts: int, *, full: bool) -> tuple[Rung, ...]:
    """The rungs for so many recipes, without their trials.

    All but the last screen the recipes on the first part. The two that are left are
    judged on the other parts, which have chosen nothing until then.

    Args:
        count: recipes.
        share: of the full length in the last rung; each before has half of the next.
        parts: of the training split.
        full: screen once, at the full length.

    >>> for rung in arranged(8, 0.5, 3, full=False):
    ...     print(rung.share, rung.parts, rung.recipes, rung.keeps)
    0.125 (0,) 8 4
    0.25 (0,) 4 2
    0.5 (1, 2) 2 1
    >>> [rung.parts for rung in arranged(2, 0.5, 3, full=False)]
    [(0, 1, 2)]
    """
    sizes = [(count, 2), (2, 1)] if full and count > 2 else halved(count)
    last = len(sizes) - 1
    judged = tuple(range(1 if last else 0, parts))
    return tuple(
        Rung(
            1.0 if full else share / 2 ** (last - number),
            judged if number == last else (0,),
            *size,
        )
        for number, size in enumerate(sizes)
    )


def fitted(
    costs: Sequence[float],
    lengths: Sequence[float],
    finals: Sequence[float],
    *,
    parts: int,
    seconds: float,
) -> tuple[Rung, ...]:
    """The rungs with most recipes, and then the longest, that so many seconds allow.

    Args:
        costs: seconds beside steps of one trial, by recipe.
        lengths: seconds of all steps of one trial in full, by recipe.
        finals: seconds of the training that follows, should the recipe win.
        parts: of the training split.
        seconds: for all of it.

    Returns:
        the rungs, without their trials; none where the seconds are too few.
    """
    for count in range(len(costs), FEWEST - 1, -1):
        for rungs in _allowed(count, parts):
            trials = expected(rungs, costs[:count], lengths[:count])
            if trials + max(finals[:count]) <= seconds:
                return rungs
    return ()


def _allowed(count: int, parts: int) -> Iterator[tuple[Rung, ...]]:
    """The rungs that so many recipes can have, the longest first."""
    for share, full in ((1, True), *((share, False) for share in SHARES)):
        rungs = arranged(count, share, parts, full=full)
        if rungs[0].share >= LEAST_FIRST:
            yield rungs


def least(
    costs: Sequence[float],
    lengths: Sequence[float],
    finals: Sequence[float],
    *,
    parts: int,
) -> float:
    """Seconds of the shortest search there is, and of the training after it."""
    return min(
        expected(rungs, costs[:count], lengths[:count]) + max(finals[:count])
        for count in range(FEWEST, len(costs) + 1)
        for rungs in _allowed(count, parts)
    )


def expected(
    rungs: Sequence[Rung], costs: Sequence[float], lengths: Sequence[float]
) -> float:
    """Seconds of the trials, should the slowest recipes get on.

    >>> expected(arranged(2, 0.5, 3, full=False), [1.0, 2.0], [10.0, 30.0])
    69.0
    """
    return sum(
        len(rung.parts) * sum(sorted(_each(rung, costs, lengths))[-rung.recipes :])
        for rung in rungs
    )


def _each(rung: Rung, costs: Sequence[float], lengths: Sequence[float]) -> list[float]:
    return [cost + rung.share * length for cost, length in zip(costs, lengths)]


def with_trials(
    rungs: Sequence[Rung], lengths: Mapping[tuple[str, int], Length]
) -> tuple[Rung, ...]:
    """The rungs with what each trial is: its epochs and steps.

    Args:
        rungs: without.
        lengths: in full, by recipe and part.
    """
    names = dict.fromkeys(name for name, _ in lengths)

    def planned(rung: Rung, name: str, part: int) -> PlannedTrial:
        short = lengths[name, part].shortened(rung.share)
        return PlannedTrial(name, part, short.first_epochs, short.epochs, short.total)

    return tuple(
        dataclasses.replace(
            rung,
            trials=tuple(planned(rung, name, p) for name in names for p in rung.parts),
        )
        for rung in rungs
    )


def write(path: pathlib.Path, plan: Plan) -> None:
    """Publishes plan.json."""
    files.write_json(path, {"schema": SCHEMA} | dataclasses.asdict(plan))


def read(path: str | pathlib.Path) -> Plan:
    """The plan in a plan.json.

    Raises:
        errors.BadInput: it is none, or not whole.
    """
    payload = files.read_json(path)
    try:
        if payload.pop("schema") != SCHEMA:
            raise ValueError(f"schema {SCHEMA} is expected")
        rungs = [
            Rung(
                **rung
                | {
                    "parts": tuple(rung["parts"]),
                    "trials": tuple(PlannedTrial(**each) for each in rung["trials"]),
                }
            )
            for rung in payload.pop("rungs")
        ]
        plan = Plan(
            **payload
            | {
                "parts": tuple(Part(**part) for part in payload["parts"]),
                "recipes": tuple(
                    candidates.Candidate(**each) for each in payload["recipes"]
                ),
                "rungs": tuple(rungs),
            }
        )
        _check(plan)
        return plan
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        said = errors.cut(str(error))
        raise errors.BadInput(
            f"{path}: no plan of a search ({said}); name search/plan.json of a run "
            "that --recipe search has made."
        ) from None


def _check(plan: Plan) -> None:
    """Raises ValueError where a plan would break a search off."""
    names = [each.name for each in plan.recipes]
    for name in names:
        if not re.fullmatch(NAME, name):
            raise ValueError(f"recipe {name!r}: letters, digits and blanks alone")
    if not names or names[0] != candidates.STANDARD or len(set(names)) < len(names):
        raise ValueError("recipes: standard first, each once")
    if not plan.rungs or plan.rungs[-1].keeps != 1:
        raise ValueError("rungs: the last keeps 1")
    for rung in plan.rungs:
        there = {(each.recipe, each.part) for each in rung.trials}
        if there != {(name, part) for name in names for part in rung.parts}:
            raise ValueError("trials: one for each recipe and part of a rung")
