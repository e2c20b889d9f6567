"""Which device comes when: the only place that shuffles.

The order of an epoch follows from the labels, the seed and the number of the epoch
alone. Resuming, a worker's share and the names of the devices in a batch are slices of
it.
"""

import dataclasses

import numpy as np

from nexperia_tf.data.input import balance as balancing

LEFT_OUT = 2  # in place of the label of a device that is not learned from
# Devices of one class can be shuffled twice in an epoch: each has a stream of its own.
_ALL, _GIVEN, _DRAWN = range(3)


def dealt(labels: np.ndarray, boxed: np.ndarray) -> np.ndarray:
    """Labels in which defects without a box are `LEFT_OUT`.

    Args:
        labels: `(devices,)`, 1 for a defect and 0 for good.
        boxed: `(devices,)`, whether each has a box.

    >>> dealt(np.array([0, 1, 1]), np.array([False, False, True])).tolist()
    [0, 2, 1]
    """
    return without(labels, (labels == 1) & ~boxed)


def without(labels: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Labels in which the devices of a mask, both `(devices,)`, are `LEFT_OUT`."""
    return np.where(out, LEFT_OUT, labels)


def shown_before(indices: np.ndarray) -> np.ndarray:
    """How often the same number came earlier, int64 `(count,)`.

    >>> shown_before(np.array([7, 3, 7, 7, 3])).tolist()
    [0, 0, 1, 2, 1]
    """
    by_number = np.argsort(indices, kind="stable")
    of_each = np.unique(indices, return_counts=True)[1]
    starts = np.cumsum(of_each) - of_each
    before = np.empty(len(indices), np.int64)
    before[by_number] = np.arange(len(indices)) - np.repeat(starts, of_each)
    return before


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a training stands.

    Attributes:
        epoch: that is trained now, counted from 0.
        step: batches of it that are behind.
    """

    epoch: int = 0
    step: int = 0


@dataclasses.dataclass(frozen=True)
class Epoch:
    """The batches of one epoch.

    Attributes:
        indices: places in the records of the devices, int64 `(steps, batch)`.
        chances: with which a defect is drawn on each, float64 `(steps, batch)`.
        before: how often the epoch has shown each already, int64 `(steps, batch)`.
    """

    indices: np.ndarray
    chances: np.ndarray
    before: np.ndarray

    def part(self, *, first_step: int = 0, worker: tuple[int, int] = (0, 1)) -> "Epoch":
        """What is left from a step on, of which a worker has its share of each batch.

        Args:
            first_step: steps that are left out.
            worker: own number and count of workers.
        """
        rank, workers = worker
        share = self.indices.shape[1] // workers
        own = slice(first_step, None), slice(rank * share, (rank + 1) * share)
        return Epoch(self.indices[own], self.chances[own], self.before[own])


@dataclasses.dataclass(frozen=True)
class Order:
    """How devices are dealt to batches.

    Attributes:
        batch_size: devices in a batch, of all workers together. The few left over at
            the end of an epoch are others in the next one.
        seed: decides, with the number of the epoch.
        balance: `sampling` takes devices without and with a defect in turn, so that a
            batch holds as many of both; an epoch then shows some more than once and
            others not at all. Drawn defects count: every second device shows one, given
            or drawn, in the proportion there is of them.
        least: steps of an epoch, which shows the devices as often as it takes.
        boxed_only: whether defects without a box are left out, see `dealt`.
        left_out: image ids of devices that are not learned from but judged.

    Raises:
        ValueError: the devices make no batch.
    """

    batch_size: int
    seed: int
    balance: balancing.Balance
    least: int = 0
    boxed_only: bool = False
    left_out: frozenset[str] = frozenset()

    def __post_init__(self):
        if not self.steps:
            raise ValueError(
                f"{self.balance.devices} devices make no batch of {self.batch_size}."
            )

    @property
    def steps(self) -> int:
        """Batches in an epoch.

        >>> forty = balancing.Balance("none", good=30, defects=10)
        >>> Order(16, 0, forty).steps, Order(16, 0, forty, least=6).steps
        (2, 7)
        """
        devices = self.balance.devices
        passes = -(-self.least * self.batch_size // devices) if devices else 1
        return devices * max(1, passes) // self.batch_size

    def epoch(self, labels: np.ndarray, number: int) -> Epoch:
        """The batches of an epoch.

        Args:
            labels: of all training devices in the order of their records, `(devices,)`,
                1 for a defect, 0 for good and `LEFT_OUT`.
            number: of the epoch, counted from 0.
        """
        labels = np.asarray(labels)
        count = self.steps * self.batch_size
        if self.balance.by_sampling and self.balance.showing:
            indices, chances = self._in_turn(labels, number, count)
        else:
            learned = labels <= (1 if self.balance.defects else 0)
            indices = self._passes(np.flatnonzero(learned), number, count, _ALL)
            chances = np.full(count, self.balance.drawn)
        shape = self.steps, self.batch_size
        parts = indices, chances, shown_before(indices)
        return Epoch(*(part.reshape(shape) for part in parts))

    def _in_turn(
        self, labels: np.ndarray, number: int, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Devices that show no defect and devices that show one, in turn."""
        good, given = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
        indices, chances = np.empty(count, np.int64), np.zeros(count)
        without, showing = indices[0::2], indices[1::2]
        without[:] = self._passes(good, number, len(without), _ALL)
        # Drawn defects are spread evenly among the given ones.
        turns = np.arange(len(showing) + 1) * self.balance.drawn_part
        is_drawn = np.diff(np.floor(turns)) > 0
        n_drawn = int(is_drawn.sum())
        showing[is_drawn] = self._passes(good, number, n_drawn, _DRAWN)
        showing[~is_drawn] = self._passes(given, number, (~is_drawn).sum(), _GIVEN)
        chances[1::2][is_drawn] = 1.0
        return indices, chances

    def _passes(
        self, devices: np.ndarray, number: int, count: int, stream: int
    ) -> np.ndarray:
        """`count` devices: all once in some order, then again in another."""
        random = np.random.default_rng([self.seed, number, stream])
        times = -(-count // max(1, len(devices)))
        passes = np.tile(devices, (times, 1))
        return random.permuted(passes, axis=1).ravel()[:count]
