"""Boxes that hold nothing, by the map of a network that has learned one."""

import dataclasses
import typing
from collections.abc import Sequence

import numpy as np

from nexperia_tf import labels, sizes
from nexperia_tf.audit import photographs
from nexperia_tf.data import manifest
from nexperia_tf.evaluation import heatmaps
from nexperia_tf.evaluation.report import pictures

if typing.TYPE_CHECKING:
    from nexperia_tf.runs import run_folders

SEEN = 0.5  # chance of a defect at a place from which the map sees one
TOGETHER = 64  # pictures whose maps are held at once


@dataclasses.dataclass(frozen=True)
class Miss:
    """A boxed defect whose map has its defect elsewhere, or none.

    Attributes:
        row: of the manifest.
        inside: highest chance of a defect that the map gives any place in a box.
        outside: the same for places outside all boxes.
    """

    row: manifest.Row
    inside: float
    outside: float

    @property
    def words(self) -> str:
        """For a list of reasons."""
        if self.outside >= SEEN:
            return (
                f"the map sees a defect outside its boxes ({self.outside:.0%}), and "
                f"{self.inside:.0%} at most inside"
            )
        return f"the map sees nothing in its boxes ({self.inside:.0%} at most)"


def boxed(rows: Sequence[manifest.Row]) -> list[manifest.Row]:
    """The defects that have a box."""
    return [row for row in rows if row.label == labels.DEFECT and row.boxes]


def misses(run: "run_folders.Run", rows: Sequence[manifest.Row]) -> list[Miss]:
    """Boxed defects in whose boxes a run's map sees nothing; the emptiest first.

    Args:
        run: whose model has a map.
        rows: of its records.
    """
    asked = boxed(rows)
    shown = photographs.of_records(run.dataset, asked)
    explained = pictures.ExplainedModel(run, heatmaps.MAP)
    found = []
    for start in range(0, len(asked), TOGETHER):
        some = asked[start : start + TOGETHER]
        examples = [shown[row.image_id] for row in some]
        chances = heatmaps.learned(explained.model, explained.canvases(examples))
        for row, example, heatmap in zip(some, examples, chances):
            found.append(
                Miss(row, *peaks(heatmap, explained.boxes(example), run.image_size))
            )
    missed = [miss for miss in found if miss.inside < SEEN]
    return sorted(missed, key=lambda miss: (miss.inside - miss.outside, miss.row.path))


def peaks(
    heatmap: np.ndarray, boxes: np.ndarray, canvas: sizes.Size
) -> tuple[float, float]:
    """The highest value of places that a box touches, and of all others.

    Args:
        heatmap: of shape `(rows, columns)`, over the whole canvas.
        boxes: on the canvas, `[x1, y1, x2, y2]` each.
        canvas: its size.

    >>> heatmap = np.array([[0.9, 0.1], [0.2, 0.3]])
    >>> peaks(heatmap, np.array([[0, 0, 9, 9]]), sizes.Size(20, 20))
    (0.9, 0.3)
    """
    rows, columns = heatmap.shape
    step = np.array([canvas.width / columns, canvas.height / rows] * 2)
    inside = heatmaps.touched(np.reshape(boxes, (-1, 4)) / step, heatmap.shape)
    return (
        float(heatmap[inside].max(initial=0)),
        float(heatmap[~inside].max(initial=0)),
    )
