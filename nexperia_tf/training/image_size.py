"""Which canvas the pictures of a run are laid on, and what is said of it."""

import collections
import math
from collections.abc import Iterable

import numpy as np

from nexperia_tf import preprocess, sizes
from nexperia_tf.data import manifest

AREA = 224 * 224  # pixels of the canvas that is chosen
NEARLY_SQUARE = 1.25  # long side to short side of the median picture
LONGEST = 4.0
SMALLEST_BOX = 8  # pixels after resizing, under which a defect is hardly to be seen
WORTH_SAYING = 1.1  # times as large as it is

Shapes = collections.Counter[tuple[int, int]]


def chosen(given: int | str, rows: Iterable[manifest.Row]) -> sizes.Size:
    """The size that `--image-size` names, or that auto finds for these pictures."""
    if given == sizes.AUTO:
        return fitting(_shapes(rows), AREA)
    return sizes.Size.of(given)


def fitting(shapes: Shapes, area: int) -> sizes.Size:
    """The canvas of about so many pixels that suits pictures of these shapes.

    A square, unless the median picture is clearly longer one way and all pictures come
    out larger on a canvas of its shape, taken together.

    >>> fitting(collections.Counter({(267, 275): 9}), AREA)
    Size(height=224, width=224)
    >>> fitting(collections.Counter({(500, 1250): 9, (500, 500): 1}), AREA)
    Size(height=128, width=352)
    >>> fitting(collections.Counter({(500, 1250): 5, (1250, 500): 4}), AREA)
    Size(height=224, width=224)
    """
    square = sizes.Size(*2 * (_stepped(math.sqrt(area)),))
    heights, widths = np.array(list(shapes.elements())).T
    ratio = float(np.exp(np.median(np.log(heights / widths))))
    if max(ratio, 1 / ratio) <= NEARLY_SQUARE:
        return square
    ratio = min(max(ratio, 1 / LONGEST), LONGEST)
    oblong = sizes.Size(
        _stepped(math.sqrt(area * ratio)), _stepped(math.sqrt(area / ratio))
    )
    return oblong if _scale(shapes, oblong) > _scale(shapes, square) else square


def described(size: sizes.Size, rows: Iterable[manifest.Row]) -> str:
    """What is said of a canvas: its bars, the smallest boxes, a size that suits better.

    Args:
        size: of the canvas.
        rows: of the training pictures.
    """
    rows = list(rows)
    shapes, small = _shapes(rows), _smallest_box(rows, size)
    bars = 100 * _bars(shapes, size)
    parts = [f"pictures are shown at {size}, {bars:.0f} % of it bars"]
    if small is not None:
        parts.append(f"the smallest 5 % of the boxes at most {small:.1f} pixels narrow")
    wanted = suggested(size, rows)
    if wanted != size:
        larger = _scale(shapes, wanted) / _scale(shapes, size)
        shown = f"{larger:.1f} times as large"
        if small is not None:
            shown += f", these boxes at {_smallest_box(rows, wanted):.0f} pixels"
        parts.append(f"--image-size {wanted.plain} would show them {shown}")
    hidden = small is not None and small < SMALLEST_BOX
    return ("warning: " if hidden else "") + "; ".join(parts) + "."


def suggested(size: sizes.Size, rows: Iterable[manifest.Row]) -> sizes.Size:
    """The size that shows pictures larger for as many pixels, and the smallest boxes.

    The same, where another shape gains little and the smallest 5 % of the boxes are
    `SMALLEST_BOX` pixels wide.
    """
    rows = list(rows)
    shapes = _shapes(rows)
    better = fitting(shapes, size.area)
    if _scale(shapes, better) < WORTH_SAYING * _scale(shapes, size):
        better = size
    small = _smallest_box(rows, better)
    if small is None or small >= SMALLEST_BOX:
        return better
    factor = min(SMALLEST_BOX / max(small, 0.1), sizes.MOST / max(better))
    height, width = (math.ceil(side * factor / sizes.STEP) for side in better)
    return sizes.Size(height * sizes.STEP, width * sizes.STEP)


def _stepped(side: float) -> int:
    """The nearest multiple of `sizes.STEP` that a side can be."""
    return min(max(round(side / sizes.STEP) * sizes.STEP, sizes.LEAST), sizes.MOST)


def shown_at(size: sizes.Size, rows: Iterable[manifest.Row]) -> float:
    """By how much pictures are resized on a canvas, the geometric mean."""
    return _scale(_shapes(rows), size)


def _shapes(rows: Iterable[manifest.Row]) -> Shapes:
    return collections.Counter((row.height, row.width) for row in rows)


def _scale(shapes: Shapes, size: sizes.Size) -> float:
    """By how much pictures are resized, the geometric mean."""
    logs = [math.log(preprocess.letterbox_geometry(*s, size)[0]) for s in shapes]
    return math.exp(np.average(logs, weights=list(shapes.values())))


def _bars(shapes: Shapes, size: sizes.Size) -> float:
    """Mean share of the canvas that pictures do not cover."""
    covered = [preprocess.letterboxed(shape, size).area for shape in shapes]
    return 1 - float(np.average(covered, weights=list(shapes.values()))) / size.area


def _smallest_box(rows: Iterable[manifest.Row], size: sizes.Size) -> float | None:
    """How many pixels the smallest 5 % of the boxes are narrow, at most."""
    sides = [
        min(x2 - x1, y2 - y1)
        * preprocess.letterbox_geometry(row.height, row.width, size)[0]
        for row in rows
        for x1, y1, x2, y2 in row.boxes
    ]
    return float(np.percentile(sides, 5)) if sides else None
