"""Which pictures look like which, and which look like none."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from sklearn import decomposition, neighbors

FARTHEST = 5.0  # standard deviations of a number; one number must not decide
COMPONENTS = 32  # directions that pictures are compared by
NEAREST = 3  # look-alikes of each class
UNLIKE = 5  # the how-manieth neighbour says how lonely a picture is


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """Pictures as points.

    Attributes:
        points: float32 of shape `(pictures, directions)`.
        label: int of shape `(pictures,)`, 1 for defect, 0 for good.
    """

    points: np.ndarray
    label: np.ndarray

    @classmethod
    def of(cls, looks: np.ndarray, label: np.ndarray) -> "Space":
        """Each number by its own spread, then the directions that vary most.

        Args:
            looks: numbers of pictures, shape `(pictures, numbers)`.
            label: of shape `(pictures,)`.
        """
        spread = looks.std(axis=0)
        varying = looks[:, spread > 0]
        if not varying.shape[1]:
            return cls(np.zeros((len(looks), 1), np.float32), label)
        standard = (varying - varying.mean(axis=0)) / spread[spread > 0]
        standard = np.clip(standard, -FARTHEST, FARTHEST)
        most = min(COMPONENTS, *standard.shape)
        points = decomposition.PCA(most, random_state=0).fit_transform(standard)
        return cls(points.astype(np.float32), label)

    def nearest(
        self, places: Sequence[int], label: int, *, count: int = NEAREST
    ) -> list[list[int]]:
        """The nearest pictures of a class, the nearest first, for each of `places`."""
        others = np.flatnonzero(self.label == label)
        if not len(others) or not len(places):
            return [[] for _ in places]
        most = min(count + 1, len(others))  # itself may be among them
        tree = neighbors.NearestNeighbors(n_neighbors=most).fit(self.points[others])
        found = others[tree.kneighbors(self.points[places], return_distance=False)]
        return [
            [int(other) for other in row if other != place][:count]
            for place, row in zip(places, found)
        ]

    def loneliness(self) -> np.ndarray:
        """How far the fifth nearest picture is, over the median; `(pictures,)`."""
        most = min(UNLIKE + 1, len(self.points))  # the first is itself
        tree = neighbors.NearestNeighbors(n_neighbors=most).fit(self.points)
        farthest = tree.kneighbors(self.points)[0][:, -1]
        return farthest / max(float(np.median(farthest)), np.finfo(float).tiny)
