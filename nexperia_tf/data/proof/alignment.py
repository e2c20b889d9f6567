"""How one picture has to be moved to lie on another one."""

import functools
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from nexperia_tf.data.measure import views

REST = np.eye(2, 3)  # the motion of a picture that lies there already
_FARTHEST = 0.12  # of the side; no corner of a copy has gone farther
_STRETCHED = 0.03  # of a side, more than of the other; no copy is
_SNAP = 0.75  # pixels; a motion as near to whole pixels is tried as such first
_NEAR = 1.0  # pixels more, where the motion is another one's
_REFINED = 4_000_000  # pixels; OpenCV takes 80 bytes of each to align two pictures


def align(
    fixed: np.ndarray,
    moving: np.ndarray,
    start: np.ndarray,
    *,
    model: int = cv2.MOTION_AFFINE,
    blur: int = 5,
) -> np.ndarray | None:
    """The motion that aligns `moving` with `fixed`; None if none is found.

    Args:
        fixed, moving: float32 `(height, width)`.
        start: a motion near it, `(2, 3)`.
        model: of motion, as OpenCV names them.
        blur: pixels of the window that both are blurred with.
    """
    height, width = moving.shape
    inside = np.zeros(moving.shape, np.uint8)
    # A copy may have a border where nothing was.
    inside[views.within(moving.shape, 24)] = 1
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 1e-3)
    start = start.astype(np.float32)
    try:
        _, motion = cv2.findTransformECC(
            fixed, moving, start, model, stop, inside, blur
        )
    except cv2.error:  # it did not converge: these two cannot be aligned
        return None
    corners = np.array([[x, y, 1] for x in (0, width) for y in (0, height)])
    way = np.abs(corners @ motion.T - corners[:, :2]).max()
    return motion if way <= _FARTHEST * max(height, width) else None


def moved(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """`picture` sampled where `motion` sends each place; the border is repeated."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REPLICATE
    return cv2.warpAffine(
        picture, motion, picture.shape[::-1], flags=flags, borderMode=border
    )


def stretches(motion: np.ndarray) -> bool:
    """Whether a motion makes one side longer than the other."""
    longest, shortest = np.linalg.svd(motion[:, :2], compute_uv=False)
    return bool(longest > (1 + _STRETCHED) * shortest)


def rescaled(motion: np.ndarray, before: tuple, after: tuple) -> np.ndarray:
    """The motion between pictures of other sizes, `(2, 3)`.

    Args:
        motion: takes places of the fixed picture to places of the moving one.
        before: shapes of fixed and moving picture, rows first.
        after: their shapes now.
    """
    fixed, moving = (
        np.array([new[1] / old[1], new[0] / old[0]]) for old, new in zip(before, after)
    )
    # Pixel centres carry whole numbers: x becomes (x + 1/2) * scale - 1/2.
    linear = motion[:, :2] * moving[:, None] / fixed
    offset = motion[:, 2] + motion[:, :2] @ ((1 / fixed - 1) / 2) + 0.5
    return np.column_stack([linear, moving * offset - 0.5])


def ways(first: np.ndarray, second: np.ndarray, affine: np.ndarray):
    """Ways to align `second` with `first`, likeliest first.

    Yields:
        Whether it is moved, by which motion, and how it is sampled.
    """
    height, width = first.shape
    corners = np.array([[x, y, 1] for x in (0, width - 1) for y in (0, height - 1)])
    offsets = corners @ affine.T - corners[:, :2]
    whole = np.rint(offsets.mean(0))
    off = np.abs(offsets - whole).max()
    if off < 2 * _SNAP:
        if first.shape == second.shape and np.abs(whole).max() <= 1:
            yield False, REST, cv2.INTER_NEAREST
        if whole.any() or first.shape != second.shape:
            yield True, np.column_stack([np.eye(2), whole]), cv2.INTER_NEAREST
    yield True, affine, cv2.INTER_CUBIC
    refined = _refined(first, second, affine)
    if refined is not None:
        yield True, refined, cv2.INTER_CUBIC


def likeliest(ways: Iterable[tuple], best: np.ndarray) -> Iterator[tuple]:
    """Those of `ways` that sample nothing anew, and the best one that is known."""
    for way in ways:
        if way[-1] != cv2.INTER_NEAREST:
            break
        yield way
    yield True, best, cv2.INTER_CUBIC


def _refined(first, second, affine) -> np.ndarray | None:
    """A better motion by what is finest, in large pictures a bit coarser."""
    size = max(first.size, second.size)
    scale = min(1.0, np.sqrt(_REFINED / size))
    seen = [_scaled(picture, scale) for picture in (first, second)]
    shapes = [picture.shape for picture in seen], [first.shape, second.shape]
    start = rescaled(affine, *shapes[::-1])
    refined = align(*map(_fine, seen), start, blur=1)
    return None if refined is None else rescaled(refined, *shapes)


def _scaled(picture: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _fine(grey):
    """What is finer than shading, noise included: it is what copies share."""
    logs = grey + 8
    np.log(logs, out=logs)
    logs -= cv2.GaussianBlur(logs, (0, 0), 4)
    return logs


def whole_shifts(
    motion: np.ndarray, first: tuple[int, int], second: tuple[int, int]
) -> list[np.ndarray]:
    """Shifts by whole pixels that `ways` may try, of motions near this one, `(3, 3)`.

    Args:
        motion: of the second picture onto the first.
        first, second: their shapes.
    """
    height, width = first
    corners = np.array([[x, y, 1] for x in (0, width - 1) for y in (0, height - 1)])
    offsets = corners @ motion.T - corners[:, :2]
    whole = np.rint(offsets.mean(0))
    if np.abs(offsets - whole).max() >= 2 * _SNAP + _NEAR:
        return []
    shifts = [np.eye(3)] if first == second and np.abs(whole).max() <= 1 + _NEAR else []
    if whole.any() or first != second:
        shifts.append(np.array([[1, 0, whole[0]], [0, 1, whole[1]], [0, 0, 1]]))
    return shifts


@functools.lru_cache(1024)
def turned_back(shape: tuple[int, int], turn: int) -> np.ndarray:
    """Takes places of `views.turned(picture, turn)` to those of the picture, `(3, 3)`.

    >>> turned_back((20, 30), 1) @ [0, 0, 1]  # what is right before is then at the top
    array([29.,  0.,  1.])
    """
    way = np.eye(3)
    height, width = shape
    for _ in range(turn % 4):  # from the picture to what is turned once more
        way = way @ [[0, -1, width - 1], [1, 0, 0], [0, 0, 1]]
        height, width = width, height
    if turn >= 4:
        way = way @ [[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]]
    return way


def without_turn(
    way: np.ndarray, first: tuple[int, int], second: tuple[int, int]
) -> tuple[int, np.ndarray]:
    """The turn in a way, and the motion `(2, 3)` of the turned picture that is left.

    Args:
        way: takes places of the first picture to those of the second, `(3, 3)`.
        first, second: their shapes.
    """
    # A turn is orthogonal: what it is most alike stands out in the sum of products.
    likeness = [
        float((turned_back(second, turn)[:2, :2] * way[:2, :2]).sum())
        for turn in range(views.TURNS)
    ]
    turn = int(np.argmax(likeness))
    return turn, (np.linalg.inv(turned_back(second, turn)) @ way)[:2]


def warped(second, motion, shape, interpolation):
    """`second` moved by `motion`, and which pixels of the result have content."""
    if motion is REST:
        return second, np.ones(shape, bool)
    there = np.full(second.shape, 255, np.uint8)
    inside = sampled(there, motion, shape, interpolation) == 255
    return sampled(second, motion, shape, interpolation), inside


def sampled(second, motion, shape, interpolation):
    """`second` moved by `motion`; 0 where it has no content."""
    if motion is REST:
        return second
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(second, motion.astype(np.float32), shape[::-1], flags=flags)
