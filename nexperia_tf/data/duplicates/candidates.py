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
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import scipy.linalg
import threadpoolctl

from nexperia_tf.data.duplicates import fingerprints
from nexperia_tf.data.measure import gradients, signature, views
from nexperia_tf.data.measure.gradients import SIZE

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
_FEW_DIRECTIONS = (16, 32, 64, 128)  # one of which tells nearly all pairs apart:
_LEFT = 0.002  # of them are compared along all
_ROUNDING = 1e-4
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
        thumbnails: uint8 `(n, side, side)`, in the order of their paths; an array, or
            `signature.Thumbnails`.
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
    n_pairs = len(textured) * (len(textured) - 1) // 2
    expected = min(n_pairs, _affordable(len(textured)))
    rate, alike = expected / n_pairs, space.cosines(*copies)
    limit = _limit(space, descriptions, alike, rate)
    close = _close(space, descriptions, limit, workers, on_progress)
    unlike = space.unlikeness(*copies)
    most = float(np.quantile(unlike, 1 - _WEAKEST))
    close = close[_unlikeness(space, descriptions, close) <= most]
    # Most copies are upright, and all directions tell these better than a few do.
    upright_most = min(most, _upright_limit(space, descriptions, unlike, rate))
    tilted_most = min(upright_most, float(np.quantile(unlike, _MOST)))
    shown = space.projected(descriptions)
    del descriptions  # of many images they are large
    upright = _alike(space, shown, shown, upright_most, workers)
    tilted = []
    for tilt in (-_TILT, _TILT):
        seen = _seen_tilted(space, thumbnails, textured, tilt, workers)
        tilted.append(_alike(space, shown, seen, tilted_most, workers))
    del shown, seen
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
        projected = descriptions @ self.directions
        projected -= self.mean @ self.directions
        return projected

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
        return self.apart(self.projected(first), self.projected(second))

    def apart(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The same of rows along all directions, `(n, d)`."""
        return (x - y) ** 2 @ self.weights / np.maximum((x * x + y * y).sum(1), 1e-9)


def _affordable(images: int) -> int:
    """Candidates of different images that may be expected.

    >>> [_affordable(count) for count in (100, 2000, 10_000, 40_000)]
    [3000, 20000, 50000, 12500]
    """
    most = MOST_FALSE * min(1, LARGEST / images)
    return max(FEWEST_FALSE, int(min(most, FALSE_PER_IMAGE * images)))


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
        descriptions[block] = gradients.describe(views.band(pictures))

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


def _in_all_turns(space: _Space, descriptions: np.ndarray) -> Iterator[np.ndarray]:
    """Each turn of the images along the first directions, each `(n, DIRECTIONS)`."""
    first = space.first
    for place in gradients.turned_indices():
        turned = np.empty_like(first)
        turned[place] = first  # as good as turning every description
        yield fingerprints.unit(descriptions @ turned - space.mean @ first)


def _seen_tilted(
    space: _Space, thumbnails, textured: np.ndarray, tilt: float, workers: int
) -> np.ndarray:
    """Tilted images along all directions; never all their descriptions at once."""
    seen = np.empty((len(textured), space.directions.shape[1]), np.float32)
    for start in range(0, len(textured), 8 * fingerprints.BLOCK):
        part = slice(start, start + 8 * fingerprints.BLOCK)
        tilted = _descriptions(thumbnails, textured[part], workers, tilt=tilt)
        seen[part] = space.projected(tilted)
    return seen


def _unlikeness(
    space: _Space, descriptions: np.ndarray, close: np.ndarray
) -> np.ndarray:
    """Of pairs `(a, b, turn)`, `(n, 3)`, by what all directions say."""
    places, values = (
        np.stack(gradients.turned_indices()),
        np.empty(len(close), np.float32),
    )
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


def _limit(
    space: _Space, descriptions: np.ndarray, copies: np.ndarray, rate: float
) -> float:
    """The cosine that candidates reach.

    Nearly all simulated copies reach it, unless more than a share `rate` of the pairs
    of different images would, too. Among these, pairs as alike as most simulated copies
    are left out: a folder full of copies does not say what chance is.
    """
    places = fingerprints.spread(len(descriptions), fingerprints.CHANCE_FROM)
    upright, *others = _in_all_turns(space, descriptions[places])
    best = upright @ upright.T
    for turned in others:
        np.maximum(best, upright @ turned.T, out=best)
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
    space: _Space, descriptions: np.ndarray, limit: float, workers: int, on_progress
) -> np.ndarray:
    """All pairs `a < b` that reach the limit, in their likeliest turn.

    Returns:
        Rows `(a, b, turn)`, int `(pairs, 3)`, sorted.
    """
    count, upright, found = len(descriptions), None, []
    for turn, turned in enumerate(_in_all_turns(space, descriptions)):
        upright = turned if upright is None else upright

        def of_block(start: int, turn=turn, rows=upright, columns=turned) -> np.ndarray:
            rows, blocks = rows[start : start + fingerprints.BLOCK], []
            for a, b, cosines in _near(rows, columns, start, limit):
                likely = cosines + _UPRIGHT * (turn == 0)
                blocks.append(np.stack([a, b, np.full(len(a), turn), likely], 1))
            pairs = np.concatenate(blocks)
            return pairs[pairs[:, 0] < pairs[:, 1]]

        def so_far(done: int, total: int, turn=turn) -> None:
            on_progress((turn * total + done) // views.TURNS, total)

        found.append(_in_blocks(of_block, count, workers, so_far))
    a, b, turn, likely = np.concatenate(found).T
    order = np.lexsort((turn, -likely, b, a))
    pairs = np.stack([a, b, turn], 1)[order].astype(int)
    first = np.ones(len(pairs), bool)
    first[1:] = (np.diff(pairs[:, :2], axis=0) != 0).any(1)
    return pairs[first]


def _alike(
    space: _Space, first: np.ndarray, second: np.ndarray, most: float, workers: int
) -> np.ndarray:
    """All pairs `a < b` whose unlikeness is at most `most`, as `(a, b, 0)`.

    Nearly all differ too much along a few directions already; only the others are
    compared along all.

    Args:
        space: with all directions.
        first: the images along these, `(n, d)`.
        second: the same images, perhaps seen otherwise.
        most: unlikeness of `first[a]` and `second[b]`.
        workers: threads.
    """
    few = _enough_directions(space, first, most)
    left, right = (_bounded(space, shown, most, few) for shown in (first, second))
    left[:, :few] *= space.weights[:few]
    right[:, few:] = right[:, : few - 1 : -1]  # 1 beside the other's rest

    def of_block(start: int) -> np.ndarray:
        rows, blocks = left[start : start + fingerprints.BLOCK], [np.zeros((0, 3), int)]
        for a, b, _ in _near(rows, right, start, 0.0):
            a, b = a[a < b], b[a < b]
            for part in (
                slice(k, k + fingerprints.BLOCK)
                for k in range(0, len(a), fingerprints.BLOCK)
            ):
                near = space.apart(first[a[part]], second[b[part]]) <= most
                pairs = np.stack([a[part], b[part], np.zeros_like(a[part])], 1)
                blocks.append(pairs[near])
        return np.concatenate(blocks)

    return _in_blocks(of_block, len(first), workers, lambda done, total: None)


def _bounded(space: _Space, shown: np.ndarray, most: float, few: int) -> np.ndarray:
    """Of images along all directions the few first ones, what is left of `most`, 1.

    Two differ by `(v_a + v_b - 2 w x_a x_b) / (s_a + s_b)`, which is at most `most` if
    one product of rows, `w x_a x_b + rest_a + rest_b`, is 0 or more. Along the few
    directions alone they differ less.
    """
    start = shown[:, :few]
    power = np.einsum("nd,nd->n", shown, shown) * (most * (1 + _ROUNDING))
    rest = (power - (start * start) @ space.weights[:few]) / 2
    return np.column_stack([start, rest, np.ones_like(rest)])


def _enough_directions(space: _Space, shown: np.ndarray, most: float) -> int:
    """So many of the first ones that few pairs are left to compare along all."""
    sample = shown[fingerprints.spread(len(shown), fingerprints.CHANCE_FROM // 2)]
    own = np.triu_indices(len(sample), 1)
    for few in _FEW_DIRECTIONS:
        if few < shown.shape[1]:
            rows = _bounded(space, sample, most, few)
            *start, rest, _ = rows.T
            start = np.array(start)
            products = (start.T * space.weights[:few]) @ start
            left = products + rest + rest[:, None] >= 0
            if left[own].mean() < _LEFT:
                return few
    return shown.shape[1]


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
