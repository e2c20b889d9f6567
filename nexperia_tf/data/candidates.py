"""Finds the pairs of images worth a look at full resolution, from thumbnails alone.

Devices of one product look alike. What tells them apart, and what a copy keeps, the
images themselves say: every thumbnail is described by histograms of its gradients, and
the directions of that space are learned in which images differ most and simulated
copies of one image least (LDAHash: [Strecha et al.,
2012](https://doi.org/10.1109/TPAMI.2011.103)). All pairs, in all eight turns, are then
compared by their cosine in these directions.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import scipy.linalg

from nexperia_tf.data import hashing, views

CELLS = 8  # a side; where gradients are counted
BEARINGS = 8  # of gradients
SIZE = BEARINGS * CELLS * CELLS
DIRECTIONS = 64
FALSE_PER_IMAGE = 5  # candidates of different images that verification can afford,
FEWEST_FALSE, MOST_FALSE = 3000, 25_000  # in small and in large folders;
LARGEST = 20_000  # images; in larger folders reading and comparing take the time

# What a copy may have suffered and must still be found; noise in levels of a thumbnail.
TOLERANCE = {"shift": 0.035, "degrees": 3.5, "scale": 0.06, "gamma": 0.4, "noise": 1.5}

_LEARNED_FROM = 1000  # images whose copies are simulated
_COPIES = 5  # of each
_RIDGE = 0.01  # of the mean variance within copies
_WEAKEST = 0.0005  # of the simulated copies may be lost
_CHANCE_FROM = 2000  # images whose pairs say what chance is
_UPRIGHT = 0.03  # of cosine; on plain parts a turned copy looks hardly less alike
_BLOCK = 512


@dataclasses.dataclass(frozen=True, order=True)
class Candidate:
    """Images `a < b`, by place, that may be copies when `b` is seen in `turn`."""

    a: int
    b: int
    turn: int


def search(
    thumbnails: np.ndarray,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Candidate], dict]:
    """The pairs that are more alike than chance makes different images.

    Args:
        thumbnails: uint8 `(n, side, side)`, in the order of their paths.
        workers: threads.
        progress: called as `progress(images done, images)`.

    Returns:
        The candidates, sorted, and the settings of the search.
    """
    shown = np.flatnonzero(~views.featureless(thumbnails))
    if len(shown) < 2:
        return [], {"compared": len(shown)}
    described = _described(thumbnails, shown, workers)
    mean, directions, copies = _learned(thumbnails, shown, described, workers)
    seen = _seen_in_all_turns(described, mean, directions)
    del described
    pairs = len(shown) * (len(shown) - 1) // 2
    expected = min(pairs, _affordable(len(shown)))
    limit = _limit(seen, copies, expected / pairs)
    found = [
        Candidate(int(shown[a]), int(shown[b]), int(turn))
        for part in _close(seen, limit, progress)
        for a, b, turn in zip(*part)
    ]
    settings = {
        "compared": len(shown),
        "directions": directions.shape[1],
        "tolerance": TOLERANCE,
        "expected_false_pairs": expected,
        "cosine_at_least": round(limit, 4),
        "candidates": len(found),
    }
    return sorted(found), settings


def _affordable(images: int) -> int:
    """Candidates of different images that may be expected.

    >>> [_affordable(count) for count in (100, 2000, 10_000, 40_000)]
    [3000, 10000, 25000, 12500]
    """
    most = MOST_FALSE * min(1, LARGEST / images)
    return max(FEWEST_FALSE, int(min(most, FALSE_PER_IMAGE * images)))


def describe(bands: np.ndarray) -> np.ndarray:
    """Strength of gradients of each bearing in each cell.

    Args:
        bands: float32 `(n, side, side)`, see `views.band`.

    Returns:
        float32 `(n, SIZE)`; a turned image has the same numbers in other places.
    """
    down, right = np.gradient(bands, axis=(1, 2))
    pool = _cells(bands.shape[-1])
    cells = np.empty((len(bands), BEARINGS, CELLS, CELLS), np.float32)
    for k in range(BEARINGS):
        angle = 2 * np.pi * k / BEARINGS
        along = right * np.float32(np.cos(angle)) + down * np.float32(np.sin(angle))
        cells[:, k] = pool @ np.maximum(along, 0) @ pool.T
    flat = np.sqrt(cells.reshape(len(bands), SIZE))
    return flat / (flat.mean(1, keepdims=True) + 1e-6)


def _cells(side: int) -> np.ndarray:
    """Overlapping triangular windows, float32 `(CELLS, side)`."""
    place = (np.arange(side) + 0.5) / side * CELLS - 0.5
    weight = 1 - np.abs(place - np.arange(CELLS)[:, None])
    return np.maximum(weight, 0).astype(np.float32)


def turned_places() -> list[np.ndarray]:
    """Where each number of a turned image's description stands in the upright one."""
    places = np.arange(SIZE).reshape(BEARINGS, CELLS, CELLS)
    bearing = np.arange(BEARINGS)
    quarter = BEARINGS // 4
    found = []
    for turn in range(views.TURNS):
        source = bearing + quarter * (turn % 4)
        if turn >= 4:  # mirrored last: right is left
            source = (BEARINGS // 2 - bearing) + quarter * (turn % 4)
        cells = [views.turned(places[k], turn) for k in source % BEARINGS]
        found.append(np.stack(cells).ravel())
    return found


def _described(thumbnails, shown, workers: int) -> np.ndarray:
    """Descriptions of `thumbnails[shown]`, float32 `(len(shown), SIZE)`."""
    described = np.empty((len(shown), SIZE), np.float32)

    def fill(start: int) -> None:
        block = slice(start, start + _BLOCK)
        described[block] = describe(views.band(thumbnails[shown[block]]))

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(fill, range(0, len(shown), _BLOCK)))
    return described


def _learned(
    thumbnails: np.ndarray, shown: np.ndarray, described: np.ndarray, workers: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions of most variance among images for the least among copies.

    Args:
        thumbnails: as `search` takes them.
        shown: places of those that show something.
        described: their descriptions.
        workers: threads.

    Returns:
        The mean image, `(SIZE,)`, the directions, `(SIZE, DIRECTIONS)`, along each of
        which images have variance 1, and the cosines of simulated copies.
    """
    mean = described.mean(0)
    places = spread(len(shown), _LEARNED_FROM)
    copies = simulated_copies(thumbnails[shown[places]], _COPIES)
    copies = _described(copies, np.arange(len(copies)), workers)
    copies = copies.reshape(len(places), _COPIES, SIZE)
    # One half teaches, the other half tells how alike copies look after that.
    changes = (copies[::2] - described[places[::2], None]).reshape(-1, SIZE)
    within = changes.T.astype(np.float64) @ changes / len(changes)
    within += np.eye(SIZE) * (_RIDGE * np.trace(within) / SIZE + 1e-9)
    among = np.zeros_like(within)
    for start in range(0, len(described), _BLOCK):
        apart = (described[start : start + _BLOCK] - mean).astype(np.float64)
        among += apart.T @ apart / len(described)
    count = min(DIRECTIONS, max(1, len(shown) // 2))  # few images span little
    ends = [SIZE - count, SIZE - 1]
    variances, directions = scipy.linalg.eigh(among, within, subset_by_index=ends)
    directions /= np.sqrt(np.maximum(variances, 1e-18))
    directions = directions.astype(np.float32)
    originals = _unit((described[places[1::2]] - mean) @ directions)
    seen = _unit((copies[1::2].reshape(-1, SIZE) - mean) @ directions)
    cosines = np.einsum("nd,nd->n", np.repeat(originals, _COPIES, axis=0), seen)
    return mean, directions, cosines


def _seen_in_all_turns(described, mean, directions) -> list[np.ndarray]:
    """What each turn of the images shows in the directions, each `(n, DIRECTIONS)`."""
    seen = []
    for place in turned_places():
        turned = np.empty_like(directions)
        turned[place] = directions  # as good as turning every description
        seen.append(_unit(described @ turned - mean @ directions))
    return seen


def simulated_copies(pictures: np.ndarray, each: int) -> np.ndarray:
    """Copies with all that TOLERANCE allows, uint8 `(n * each, side, side)`."""
    random = np.random.default_rng(0)
    side = pictures.shape[-1]
    noisiest = TOLERANCE["noise"] * side / hashing.SIDE
    middle = ((side - 1) / 2, (side - 1) / 2)
    borders = [cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT, cv2.BORDER_CONSTANT]
    copies = []
    for picture in np.repeat(pictures, each, axis=0):
        angle, scale, *shift, gamma = random.uniform(-1, 1, 5)
        angle = angle * TOLERANCE["degrees"] * (random.random() < 0.5)
        scale = 1 + scale * TOLERANCE["scale"] * (random.random() < 0.5)
        affine = cv2.getRotationMatrix2D(middle, angle, scale)
        affine[:, 2] += np.multiply(shift, TOLERANCE["shift"] * side)
        border = borders[random.integers(3)]
        copy = cv2.warpAffine(picture, affine, (side, side), borderMode=border)
        exposed = 255 * (copy / 255) ** (1 + gamma * TOLERANCE["gamma"])
        noise = random.normal(0, random.uniform(0, noisiest), copy.shape)
        copies.append(np.clip(np.rint(exposed + noise), 0, 255).astype(np.uint8))
    return np.stack(copies)


def _limit(seen: Sequence[np.ndarray], copies: np.ndarray, rate: float) -> float:
    """The cosine that candidates reach.

    Nearly all simulated copies reach it, unless more than a share `rate` of the pairs
    of different images would, too. Among these, pairs as alike as most simulated copies
    are left out: a folder full of copies does not say what chance is.
    """
    places = spread(len(seen[0]), _CHANCE_FROM)
    upright = seen[0][places]
    best = np.full((len(places), len(places)), -1, np.float32)
    for turned in seen:
        np.maximum(best, upright @ turned[places].T, out=best)
    chance = best[np.triu_indices(len(places), 1)]
    chance = chance[chance < np.quantile(copies, 0.25)]
    weakest = float(np.quantile(copies, _WEAKEST))
    if not len(chance):
        return weakest
    return max(weakest, float(np.quantile(chance, max(0.0, 1 - rate))))


def _close(
    seen: Sequence[np.ndarray], limit: float, progress
) -> Iterator[tuple[list[int], list[int], list[int]]]:
    """All pairs `a < b` that reach the limit, in their likeliest turn."""
    count = len(seen[0])
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        best: dict[tuple[int, int], tuple[float, int]] = {}
        for turn, turned in enumerate(seen):
            cosines = seen[0][start:stop] @ turned[start:].T
            a, b = np.nonzero(cosines >= limit)
            likely = cosines[a, b] + _UPRIGHT * (turn == 0)
            for i, j, cosine in zip(a.tolist(), b.tolist(), likely.tolist()):
                if i < j and best.get((i, j), (-2.0, 0))[0] < cosine:
                    best[i, j] = (cosine, turn)
        progress(stop, count)
        yield (
            [start + i for i, _ in best],
            [start + j for _, j in best],
            [turn for _, turn in best.values()],
        )


def spread(count: int, most: int) -> np.ndarray:
    """Up to `most` places, evenly from 0 to `count - 1`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
