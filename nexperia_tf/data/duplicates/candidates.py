"""Finds the pairs of images worth a look at full resolution, from thumbnails alone.

Devices of one product look alike. What tells them apart, and what a copy keeps, the
images themselves say: every thumbnail is described by histograms of its gradients, and
the directions of that space are learned in which images differ most and simulated
copies of one image least (LDAHash: [Strecha et al.,
2012](https://doi.org/10.1109/TPAMI.2011.103)). All pairs, in all eight turns, are then
compared by their cosine in these directions, and upright or tilted a little by all that
tells them apart.
"""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import scipy.linalg
import threadpoolctl

from nexperia_tf.data.duplicates import fingerprints
from nexperia_tf.data.measure import signature, views

CELLS = 8  # a side; where gradients are counted
BEARINGS = 8  # of gradients
SIZE = BEARINGS * CELLS * CELLS
DIRECTIONS = 64
MORE_DIRECTIONS = 256
FALSE_PER_IMAGE = 10  # candidates of different images that verification can afford,
FEWEST_FALSE, MOST_FALSE = 3000, 50_000  # in small and in large folders;
LARGEST = 10_000  # images; in larger folders reading and comparing take the time

# What a copy may have suffered and must still be found; noise in levels of a thumbnail.
TOLERANCE = {"shift": 0.035, "degrees": 3.5, "scale": 0.06, "gamma": 0.4, "noise": 1.5}

_COPIES = 5  # of each
_RIDGE = 0.01  # of the mean variance within copies
_WEAKEST = 0.0005  # of the simulated copies may be lost
_TILT = 2.5  # degrees; a plain part shown so far off looks like many other ones
_MOST = 0.9  # of simulated copies are as alike; so is a tilted one, less its tilt
_UPRIGHT = 0.03  # of cosine; on plain parts a turned copy looks hardly less alike
_TILE = 4096  # columns of cosines that stay in the processor's cache


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
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Candidate], dict]:
    """The pairs that are more alike than chance makes different images.

    Args:
        thumbnails: uint8 `(n, side, side)`, in the order of their paths.
        workers: threads.
        on_progress: called as `on_progress(images done, images)`.

    Returns:
        The candidates, sorted, and the settings of the search.
    """
    textured = np.flatnonzero(~views.featureless(thumbnails))
    if len(textured) < 2:
        return [], {"compared": len(textured)}
    descriptions = _descriptions(thumbnails, textured, workers)
    space, copies = _learned(thumbnails, textured, descriptions, workers)
    projections = _projected_in_all_turns(descriptions, space)
    n_pairs = len(textured) * (len(textured) - 1) // 2
    expected = min(n_pairs, _affordable(len(textured)))
    rate, alike = expected / n_pairs, space.cosines(*copies)
    limit = _limit(projections, alike, rate)
    close = _close(projections, limit, workers, on_progress)
    del projections
    unlike = space.unlikeness(*copies)
    most = float(np.quantile(unlike, 1 - _WEAKEST))
    close = close[_unlikeness(space, descriptions, close) <= most]
    # Most copies are upright, and all directions tell these better than a few do.
    upright_most = min(most, _upright_limit(space, descriptions, unlike, rate))
    tilted_most = min(upright_most, float(np.quantile(unlike, _MOST)))
    upright = _alike(space, descriptions, descriptions, upright_most, workers)
    tilted = [
        _alike(
            space,
            descriptions,
            _descriptions(thumbnails, textured, workers, tilt=tilt),
            tilted_most,
            workers,
        )
        for tilt in (-_TILT, _TILT)
    ]
    del descriptions
    plain, prints = fingerprints.of(thumbnails, textured, noise=TOLERANCE["noise"])
    near = fingerprints.nearest(prints) if len(plain) > 1 else []
    near = [(int(plain[a]), int(plain[b])) for a, b in near]
    found = np.concatenate([close, upright, *tilted])
    pairs = set(map(tuple, found.tolist()))
    added = {(a, b, 0) for a, b in near} - pairs
    pairs |= added
    settings = {
        "compared": len(textured),
        "directions": [space.first.shape[1], space.directions.shape[1]],
        "tolerance": TOLERANCE,
        "expected_false_pairs": expected,
        "cosine_at_least": round(limit, 4),
        "unlikeness_at_most": round(most, 4),
        "upright_unlikeness_at_most": round(upright_most, 4),
        "candidates": len(pairs),
        "candidates_by_fingerprint": len(added),
    }
    candidates = [
        Candidate(int(textured[a]), int(textured[b]), turn) for a, b, turn in pairs
    ]
    return sorted(candidates), settings


@dataclasses.dataclass(frozen=True)
class _Space:
    """Directions in which descriptions differ among images more than among copies.

    Attributes:
        mean: description, `(SIZE,)`.
        directions: `(SIZE, d)`, the most telling first; what a copy changes has
            variance 1 along each.
        variances: of images along each, `(d,)`.
    """

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """The most telling ones, in which images have variance 1."""
        scale = np.sqrt(np.maximum(self.variances[:DIRECTIONS], 1e-18))
        return self.directions[:, :DIRECTIONS] / scale

    @property
    def weights(self) -> np.ndarray:
        """How much a difference along each direction counts, `(d,)`."""
        return np.maximum(1 - 0.5 / np.maximum(self.variances, 1e-18), 0)

    def projected(self, descriptions: np.ndarray) -> np.ndarray:
        """Descriptions along all directions, `(n, d)`."""
        return (descriptions - self.mean) @ self.directions

    def cosines(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """How alike rows of two `(n, SIZE)` are in the first directions."""
        projections = [
            fingerprints.unit((rows - self.mean) @ self.first)
            for rows in (first, second)
        ]
        return np.einsum("nd,nd->n", *projections)

    def unlikeness(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """How much less likely copies differ so than different images, `(n,)`.

        Along a direction the difference of copies has variance 1, that of different
        images twice their variance v: the logarithm of the ratio of both densities
        grows with 1 - 1 / 2v. What copies change more than images differ tells nothing.
        The sum is relative to what both show, or plain images would all be copies.
        """
        x, y = self.projected(first), self.projected(second)
        return (x - y) ** 2 @ self.weights / np.maximum((x * x + y * y).sum(1), 1e-9)


def _affordable(images: int) -> int:
    """Candidates of different images that may be expected.

    >>> [_affordable(count) for count in (100, 2000, 10_000, 40_000)]
    [3000, 20000, 50000, 12500]
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


def turned_indices() -> list[np.ndarray]:
    """Where each number of a turned image's description stands in the upright one."""
    places = np.arange(SIZE).reshape(BEARINGS, CELLS, CELLS)
    bearing = np.arange(BEARINGS)
    quarter = BEARINGS // 4
    indices = []
    for turn in range(views.TURNS):
        source = bearing + quarter * (turn % 4)
        if turn >= 4:  # mirrored last: right is left
            source = (BEARINGS // 2 - bearing) + quarter * (turn % 4)
        cells = [views.turned(places[k], turn) for k in source % BEARINGS]
        indices.append(np.stack(cells).ravel())
    return indices


def _descriptions(
    thumbnails, textured, workers: int, *, tilt: float = 0.0
) -> np.ndarray:
    """Descriptions of `thumbnails[textured]`, float32 `(len(textured), SIZE)`.

    Args:
        thumbnails: as `search` takes them.
        textured: places of those to describe.
        workers: threads.
        tilt: degrees by which they are turned before.
    """
    descriptions = np.empty((len(textured), SIZE), np.float32)

    def fill(start: int) -> None:
        block = slice(start, start + fingerprints.BLOCK)
        pictures = _tilted(thumbnails[textured[block]], tilt)
        descriptions[block] = describe(views.band(pictures))

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        list(pool.map(fill, range(0, len(textured), fingerprints.BLOCK)))
    return descriptions


def _tilted(pictures: np.ndarray, degrees: float) -> np.ndarray:
    """Pictures `(n, side, side)` turned about their middle; the border is repeated."""
    if not degrees:
        return pictures
    side = pictures.shape[-1]
    middle = ((side - 1) / 2, (side - 1) / 2)
    affine = cv2.getRotationMatrix2D(middle, degrees, 1)
    border = cv2.BORDER_REPLICATE
    return np.stack(
        [cv2.warpAffine(p, affine, (side, side), borderMode=border) for p in pictures]
    )


def _learned(
    thumbnails: np.ndarray, textured: np.ndarray, descriptions: np.ndarray, workers: int
) -> tuple[_Space, tuple[np.ndarray, np.ndarray]]:
    """Directions of most variance among images for the least among copies.

    Args:
        thumbnails: as `search` takes them.
        textured: places of those that show something.
        descriptions: of these.
        workers: threads.

    Returns:
        The directions, and descriptions of other images and of their simulated copies.
    """
    mean = descriptions.mean(0)
    places = fingerprints.spread(len(textured), fingerprints.LEARNED_FROM)
    copies = simulated_copies(thumbnails[textured[places]], _COPIES)
    copies = _descriptions(copies, np.arange(len(copies)), workers)
    copies = copies.reshape(len(places), _COPIES, SIZE)
    # One half teaches, the other half tells how alike copies look after that.
    changes = (copies[::2] - descriptions[places[::2], None]).reshape(-1, SIZE)
    within = changes.T.astype(np.float64) @ changes / len(changes)
    within += np.eye(SIZE) * (_RIDGE * np.trace(within) / SIZE + 1e-9)
    among = np.zeros_like(within)
    for start in range(0, len(descriptions), fingerprints.BLOCK):
        differences = (descriptions[start : start + fingerprints.BLOCK] - mean).astype(
            np.float64
        )
        among += differences.T @ differences / len(descriptions)
    count = min(MORE_DIRECTIONS, max(1, len(textured) // 2))  # few images span little
    ends = [SIZE - count, SIZE - 1]
    variances, directions = scipy.linalg.eigh(among, within, subset_by_index=ends)
    space = _Space(
        mean,
        directions[:, ::-1].astype(np.float32),
        variances[::-1].astype(np.float32),
    )
    originals = np.repeat(descriptions[places[1::2]], _COPIES, axis=0)
    return space, (originals, copies[1::2].reshape(-1, SIZE))


def _projected_in_all_turns(
    descriptions: np.ndarray, space: _Space
) -> list[np.ndarray]:
    """Each turn of the images along the first directions, each `(n, DIRECTIONS)`."""
    projections, first = [], space.first
    for place in turned_indices():
        turned = np.empty_like(first)
        turned[place] = first  # as good as turning every description
        projections.append(
            fingerprints.unit(descriptions @ turned - space.mean @ first)
        )
    return projections


def _unlikeness(
    space: _Space, descriptions: np.ndarray, close: np.ndarray
) -> np.ndarray:
    """Of pairs `(a, b, turn)`, `(n, 3)`, by what all directions say."""
    places, values = np.stack(turned_indices()), np.empty(len(close), np.float32)
    for start in range(0, len(close), fingerprints.BLOCK):
        a, b, turn = close[start : start + fingerprints.BLOCK].T
        turned = np.take_along_axis(descriptions[b], places[turn], 1)
        values[start : start + len(a)] = space.unlikeness(descriptions[a], turned)
    return values


def simulated_copies(pictures: np.ndarray, each: int) -> np.ndarray:
    """Copies with all that TOLERANCE allows, uint8 `(n * each, side, side)`."""
    random = np.random.default_rng(0)
    side = pictures.shape[-1]
    noisiest = TOLERANCE["noise"] * side / signature.SIDE
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


def _limit(projections: Sequence[np.ndarray], copies: np.ndarray, rate: float) -> float:
    """The cosine that candidates reach.

    Nearly all simulated copies reach it, unless more than a share `rate` of the pairs
    of different images would, too. Among these, pairs as alike as most simulated copies
    are left out: a folder full of copies does not say what chance is.
    """
    places = fingerprints.spread(len(projections[0]), fingerprints.CHANCE_FROM)
    upright = projections[0][places]
    best = np.full((len(places), len(places)), -1, np.float32)
    for turned in projections:
        np.maximum(best, upright @ turned[places].T, out=best)
    chance = best[np.triu_indices(len(places), 1)]
    chance = chance[chance < np.quantile(copies, 0.25)]
    weakest = float(np.quantile(copies, _WEAKEST))
    if not len(chance):
        return weakest
    return max(weakest, float(np.quantile(chance, max(0.0, 1 - rate))))


def _upright_limit(
    space: _Space, descriptions: np.ndarray, copies: np.ndarray, rate: float
) -> float:
    """The unlikeness that a share `rate` of the upright pairs stays below.

    Args:
        space: with all directions.
        descriptions: of the images.
        copies: unlikeness of simulated copies; pairs like most of these are left out.
        rate: a share of the pairs.
    """
    places = fingerprints.spread(len(descriptions), fingerprints.CHANCE_FROM)
    shown = space.projected(descriptions[places])
    strength = (shown * shown).sum(1)
    chance = []
    for k, (vector, power) in enumerate(zip(shown, strength)):
        differences = (shown[k + 1 :] - vector) ** 2 @ space.weights
        chance.append(differences / np.maximum(strength[k + 1 :] + power, 1e-9))
    chance = np.concatenate(chance)
    chance = chance[chance > np.quantile(copies, 0.75)]
    return float(np.quantile(chance, min(1.0, rate))) if len(chance) else float("inf")


def _near(rows, columns, start: int, limit: float):
    """Places, values where products of rows with all columns from `start` reach it."""
    memory = np.empty((len(rows), _TILE), np.float32)  # once: it is large
    for left in range(start, len(columns), _TILE):
        block = columns[left : left + _TILE]
        products = memory.ravel()[: len(rows) * len(block)]
        np.matmul(rows, block.T, out=products.reshape(len(rows), -1))
        (near,) = np.nonzero(products >= limit)
        a, b = np.divmod(near, len(block))
        yield a + start, b + left, products[near]


def _close(
    projections: Sequence[np.ndarray], limit: float, workers: int, on_progress
) -> np.ndarray:
    """All pairs `a < b` that reach the limit, in their likeliest turn.

    Returns:
        Rows `(a, b, turn)`, int `(pairs, 3)`, sorted.
    """
    count = len(projections[0])

    def of_block(start: int) -> np.ndarray:
        rows, blocks = projections[0][start : start + fingerprints.BLOCK], []
        for turn, turned in enumerate(projections):
            for a, b, cosines in _near(rows, turned, start, limit):
                likely = cosines + _UPRIGHT * (turn == 0)
                blocks.append((a, b, np.full(len(a), turn), likely))
        a, b, turn, likely = map(np.concatenate, zip(*blocks))
        order = np.lexsort((turn, -likely, b, a))
        order = order[(a < b)[order]]
        a, b, turn = a[order], b[order], turn[order]
        first = np.ones(len(a), bool)
        first[1:] = (np.diff(a) != 0) | (np.diff(b) != 0)
        return np.stack([a, b, turn], 1)[first]

    return _in_blocks(of_block, count, workers, on_progress)


def _alike(
    space: _Space, first: np.ndarray, second: np.ndarray, most: float, workers: int
) -> np.ndarray:
    """All pairs `a < b` whose unlikeness is at most `most`, as `(a, b, 0)`.

    Args:
        space: with all directions.
        first: descriptions of the images.
        second: of the same images, perhaps seen otherwise.
        most: unlikeness of `first[a]` and `second[b]`.
        workers: threads.
    """
    # (v_a + v_b - 2 w x_a x_b) / (s_a + s_b) <= most is one product of rows.
    shown = [space.projected(rows) for rows in (first, second)]
    rest = [(x * x) @ (space.weights - most) / 2 for x in shown]
    ones = np.ones_like(rest[0])
    left = np.column_stack([shown[0] * space.weights, -rest[0], ones])
    right = np.column_stack([shown[1], ones, -rest[1]])

    def of_block(start: int) -> np.ndarray:
        blocks = list(
            _near(left[start : start + fingerprints.BLOCK], right, start, 0.0)
        )
        a, b, _ = map(np.concatenate, zip(*blocks))
        return np.stack([a, b, np.zeros_like(a)], 1)[a < b]

    return _in_blocks(of_block, len(first), workers, lambda done, total: None)


def _in_blocks(of_block, count: int, workers: int, on_progress) -> np.ndarray:
    """What `of_block` says of each block of rows, one after the other."""
    parts, starts = [], range(0, count, fingerprints.BLOCK)
    with (
        threadpoolctl.threadpool_limits(1),  # the blocks are the parallelism
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        for start, part in zip(starts, pool.map(of_block, starts)):
            parts.append(part)
            on_progress(min(start + fingerprints.BLOCK, count), count)
    return np.concatenate(parts)
