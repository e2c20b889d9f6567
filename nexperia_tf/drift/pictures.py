"""Pictures as drift sees them: their numbers, what the network said, and their lots."""

import collections
import dataclasses
from collections.abc import Iterator

import numpy as np

FEWEST_IN_LOT = 5  # pictures: the mean of fewer says little of a lot


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """Measured pictures, one a row.

    Attributes:
        numbers: float32 of shape `(pictures, numbers)`, see `measure.of_canvas`.
        score: float32 of shape `(pictures,)`, probability of defect.
        unfamiliar: float32 of shape `(pictures,)`; NaN of a model that does not say.
        lot: text of shape `(pictures,)`; "" where nothing tells it.
        machine: text of shape `(pictures,)`; "" where nothing tells it.
        trained_on: bool of shape `(pictures,)`.
    """

    numbers: np.ndarray
    score: np.ndarray
    unfamiliar: np.ndarray
    lot: np.ndarray
    machine: np.ndarray
    trained_on: np.ndarray

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, which: np.ndarray) -> "Pictures":
        return Pictures(**{name: each[which] for name, each in vars(self).items()})

    def each_alone(self) -> "Pictures":
        """The same where each picture counts as a lot of its own."""
        names = np.arange(len(self)).astype(str)
        return dataclasses.replace(self, lot=names)

    def lots(self, fewest: int = FEWEST_IN_LOT) -> Iterator["Pictures"]:
        """The pictures of each lot on each machine that has at least so many."""
        known = self[self.lot != ""]
        known = dataclasses.replace(known, machine=_machines(known.lot, known.machine))
        keys = np.stack([known.lot, known.machine], axis=1)
        if not len(keys):
            return
        _, numbers = np.unique(keys, axis=0, return_inverse=True)
        order = np.argsort(numbers.reshape(-1), kind="stable")
        ends = np.cumsum(np.bincount(numbers.reshape(-1)))[:-1]
        for places in np.split(order, ends):
            if len(places) >= fewest:
                yield known[places]


def _machines(lot: np.ndarray, machine: np.ndarray) -> np.ndarray:
    """A picture that names no machine is of its lot's, where that has only one.

    >>> lot, machine = np.array(["a", "a", "b", "b"]), np.array(["7", "", "7", "8"])
    >>> _machines(lot, machine).tolist(), _machines(lot[2:], machine[1:3]).tolist()
    (['7', '7', '7', '8'], ['7', '7'])
    """
    named = {(a, b) for a, b in zip(lot.tolist(), machine.tolist()) if b}
    counts = collections.Counter(a for a, _ in named)
    only = {a: b for a, b in named if counts[a] == 1}
    return np.array(
        [b or only.get(a, "") for a, b in zip(lot.tolist(), machine.tolist())], str
    )
