"""Whether pictures of a station are like those its model was judged on.

Two questions, each with half of the false alarms. Are the pictures as they were? All
kept lots are compared, those of training, too: a network's memory does not change a
picture. Does the network answer as it did? Only lots that it was not trained on say.

Pictures are compared as far as the model calls them good, on both sides, so that more
or fewer defects are not taken for another camera.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy import special

from nexperia_tf.drift import measure, pictures
from nexperia_tf.statistics import new_lots

STEADY, CHANGED, TOO_LITTLE = "steady", "changed", "too_little"
FALSE_ALARMS = 0.01  # chance that "changed" is said although nothing has
NOTEWORTHY = 0.01  # a change by less than 1 % is not said, however certain it is
CALLED_DEFECT, SCORE, UNFAMILIAR = "called defect", "score", "unfamiliar"
NETWORK = (CALLED_DEFECT, SCORE, UNFAMILIAR)
_QUESTIONS = 2
_TRIMMED = 0.1  # of a lot's pictures at either end: a blank one is no lot's look
_MOST_ALONE = 1_000  # pictures that count as lots of their own


@dataclasses.dataclass(frozen=True)
class Change:
    """One number that changed, or might have.

    Attributes:
        name: of the number, as `measure.names` or NETWORK have it.
        before, now: mean over the lots; logarithms but for `called defect`, a share.
        p: chance of such a difference, of this or any other number, if nothing changed.
        lots: new lots on the side to which it changed, of `of` lots.
        of: new lots that were compared.
        unseen: differences up to this one go unseen in one of two cases.
    """

    name: str
    before: float
    now: float
    p: float
    lots: int
    of: int
    unseen: float

    @property
    def difference(self) -> float:
        return self.now - self.before

    @property
    def place(self) -> tuple[int, int] | None:
        """Row and column in the grid; None of the whole picture."""
        return measure.place(self.name)


@dataclasses.dataclass(frozen=True)
class Drift:
    """What became of a window of pictures.

    Attributes:
        state: STEADY, CHANGED or TOO_LITTLE.
        pictures, lots, unlotted: in the window; how many belong to no lot that counts.
        known: lots that the window was compared with.
        machines: whether lots were compared within their machines.
        left_out: lots of machines that the reference does not know.
        false_alarms: chance of CHANGED if nothing has.
        least_p: the smallest p that so few lots can give.
        numbers: all that were compared.
    """

    state: str
    pictures: int
    lots: int
    unlotted: int
    known: int
    machines: bool
    left_out: int
    false_alarms: float
    least_p: float
    numbers: tuple[Change, ...]

    @property
    def changes(self) -> list[Change]:
        """What changed, the most certain and largest first."""
        return [each for each in self.numbers if self._is_change(each)]

    def _is_change(self, number: Change) -> bool:
        certain = number.p <= self.false_alarms
        return certain and abs(number.difference) >= NOTEWORTHY

    @property
    def lots_needed(self) -> int:
        """About how many lots could tell anything."""
        if not 0 < self.least_p < 1:
            return max(self.lots, 2) * 2
        wanted = math.log(self.false_alarms / _QUESTIONS) / math.log(self.least_p)
        return math.ceil(max(self.lots, 1) * wanted)


def judge(
    known: pictures.Pictures,
    new: pictures.Pictures,
    *,
    threshold: float,
    channels: int,
    false_alarms: float = FALSE_ALARMS,
    each_alone: bool = False,
    seed: int = 0,
) -> Drift:
    """Compares pictures with those that were fine.

    Args:
        known: the latter.
        new: the window.
        threshold: from which a score is a defect's.
        channels: 1 or 3, of the canvas.
        false_alarms: chance of `changed` if nothing has.
        each_alone: whether each picture counts as a lot of its own.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    if each_alone:
        known = known[random.permutation(len(known))[:_MOST_ALONE]].each_alone()
        new = new.each_alone()
    fewest = 1 if each_alone else pictures.FEWEST_IN_LOT
    by_lot = list(new.lots(fewest))
    by_machine = bool({_machine(lot) for lot in by_lot} & {*known.machine, ""} - {""})
    threshold = np.float32(threshold)  # compared in float32, as a SavedModel would
    names, untrained = measure.names(channels), known[~known.trained_on]
    limit = np.float32(_limit(by_lot, threshold, fewest))
    asked = {
        "by_lot": by_lot,
        "random": random,
        "by_machine": by_machine,
        "fewest": fewest,
        "false_alarms": false_alarms / _QUESTIONS,
        "seed": seed,
    }
    found = [
        _compared(known, names, _looks, threshold=limit, **asked),
        _compared(untrained, NETWORK, _answers, threshold=threshold, **asked),
    ]
    numbers = tuple(each for part, _, _ in found for each in part)
    least_p, lots_known = min(part[1] for part in found), found[0][2]
    drift = Drift(
        state=STEADY,
        pictures=len(new),
        lots=len(by_lot),
        unlotted=len(new) - sum(len(lot) for lot in by_lot),
        known=lots_known,
        machines=by_machine,
        left_out=_left_out(known, by_lot) if by_machine else 0,
        false_alarms=false_alarms,
        least_p=least_p,
        numbers=tuple(sorted(numbers, key=lambda n: (n.p, -abs(n.difference)))),
    )
    if drift.changes:
        return dataclasses.replace(drift, state=CHANGED)
    if least_p > false_alarms / _QUESTIONS:
        return dataclasses.replace(drift, state=TOO_LITTLE)
    return drift


def _machine(lot: pictures.Pictures) -> str:
    return str(lot.machine[0])


def _left_out(known: pictures.Pictures, by_lot: list[pictures.Pictures]) -> int:
    return sum(_machine(lot) not in known.machine for lot in by_lot)


def _compared(
    known: pictures.Pictures,
    names: tuple[str, ...],
    summed_up: Callable,
    *,
    by_lot: list[pictures.Pictures],
    random: np.random.Generator,
    by_machine: bool,
    threshold: np.float32,
    fewest: int,
    false_alarms: float,
    seed: int,
) -> tuple[list[Change], float, int]:
    """Each number's change, the smallest p that there is, and the known lots."""
    new = [(lot, summed_up(lot, threshold, fewest)) for lot in by_lot]
    new = [(lot, means) for lot, means in new if means is not None]
    sizes = [len(lot) for lot, _ in new] or [fewest]
    machines, old = {_machine(lot) for lot, _ in new}, []
    for lot in known.lots(fewest):
        if by_machine and _machine(lot) not in machines:
            continue
        # A mean of more pictures than the new lots have would be a steadier one.
        thinned = lot[random.permutation(len(lot))[: random.choice(sizes)]]
        means = summed_up(thinned, threshold, fewest)
        if means is not None:
            old.append((thinned, means))
    if not old or not new:
        return [], 1.0, len(old)
    before, now = (np.stack([means for _, means in part]) for part in (old, new))
    usable = ~np.isnan(before).any(0) & ~np.isnan(now).any(0)
    result = new_lots.compare(
        before[:, usable],
        now[:, usable],
        known_strata=[_machine(lot) for lot, _ in old] if by_machine else None,
        new_strata=[_machine(lot) for lot, _ in new] if by_machine else None,
        false_alarms=false_alarms,
        one_sided=[name == CALLED_DEFECT for name in np.array(names)[usable]],
        seed=seed,
    )
    return _changes(np.array(names)[usable], result, now[:, usable]), *(
        result.least_p,
        result.known,
    )


def _changes(
    names: np.ndarray, result: new_lots.Comparison, now: np.ndarray
) -> list[Change]:
    means = now.mean(0)
    return [
        Change(
            name=str(name),
            before=float(means[i] - result.difference[i]),
            now=float(means[i]),
            p=float(min(1.0, _QUESTIONS * result.p[i])),
            lots=int(
                result.up[i] if result.difference[i] > 0 else result.lots - result.up[i]
            ),
            of=result.lots,
            unseen=float(result.unseen[i]),
        )
        for i, name in enumerate(names)
    ]


def _limit(by_lot: list[pictures.Pictures], threshold: float, fewest: int) -> float:
    """Scores below it are of pictures to look at: the good ones, if there are any."""
    enough = [np.sum(lot.score < threshold) >= fewest for lot in by_lot]
    return float(threshold) if 2 * sum(enough) >= len(by_lot) else math.inf


def _looks(
    lot: pictures.Pictures, threshold: np.float32, fewest: int
) -> np.ndarray | None:
    """Means of the numbers of a lot's pictures that are called good."""
    good = lot.numbers[lot.score < threshold]
    return _trimmed(good) if len(good) >= fewest else None


def _answers(
    lot: pictures.Pictures, threshold: np.float32, fewest: int
) -> np.ndarray | None:
    """What the network says of a lot: as NETWORK orders it."""
    good = lot.score < threshold
    if good.sum() < fewest:
        return np.array([np.mean(~good), np.nan, np.nan])
    # Scores of float32 end at 0 and 1, where the logit does not.
    logits = special.logit(np.clip(lot.score[good].astype(np.float64), 1e-7, 1 - 1e-7))
    distances = np.log(np.maximum(lot.unfamiliar[good], 1e-6))
    return np.array(
        [
            np.mean(~good),
            _trimmed(logits),
            _trimmed(distances),
        ]
    )


def _trimmed(values: np.ndarray) -> np.ndarray:
    """Mean of the rows without the lowest and highest of each column."""
    cut = int(_TRIMMED * len(values))
    return np.sort(values, axis=0)[cut : len(values) - cut].mean(axis=0)
