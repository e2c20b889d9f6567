"""Evidence, pixel by pixel, that two pictures are copies of one photograph.

Another photograph of the same part shows the same texture, however fine, and new noise.
So equal texture proves nothing; one of these does:

- Every level of one picture has become one level of the other: they differ by a tone
  curve and by nothing else, not even by rounding.
- One picture, resampled, is the other one but for rounding.
- Noise was added to one, and to one only. In a copy `b` of `a` what tells them apart,
  b - a, has nothing to do with `a`. Between two photographs it holds the noise of both,
  that of `a` with a negative sign: -cov(b - a, a) is the power of the noise of `a`,
  half of what tells them apart if both have as much. JPEG takes noise away, and then
  nothing can be said.
- One is, pixel by pixel, what JPEG makes of the other.

And there must be no place where they differ by more than the rest of the picture
explains: a scratch on the same part is such a place.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from nexperia_tf.data.measure import views
from nexperia_tf.data.proof import jpeg_traces, memory, tone_curve

LARGEST_RESIDUAL = 8.0  # copies reach 5.7; most scratches of 15 levels begin at 10
LARGEST_LINE = 3.7  # copies reach 3.2; most scratches that pass the other more

# How much of the cleaner noise the other picture must contain. A brighter or noisier
# copy contains all of it; sister wafers reach .6 where their grain is as fine as noise.
_SHARED = 0.75
_EXCESS = 0.12  # in a copy all texture is as strong, but for noise: sisters reach 1.13
_NOISE = (0.0, 0.7)  # deviations of the two filters whose difference shows noise
_GRAIN = (0.8, 2.5)  # the same for what is a bit coarser and bears a lying half aside
_SUSPICIOUS = 0.12  # share of the grain; better aligned, the noise may show as shared
_SURELY = 0.8  # correlation of grain where it is flattest
_HINT = 0.08  # the same, exposures unequal; copies reach .35, what shares grain .1
_ONE_SIDED = 0.1  # of what tells two apart; another photograph differs by .3 to .7
_CALM = 0.3  # of the blocks, the flattest: there the tone curve is off by least
_NOISE_POWER = 0.52  # of white noise that passes the filter of _NOISE
_FIXED = 0.5  # of the levels' variance must be coarser than noise
_OFF_CURVE = 5e-4  # of the pixels; a photograph at another time is off by .01 and more
_ROUNDED_AWAY = 0.42  # levels; two roundings are sqrt(2 / 12) = .41; noise adds to it
_ALIKE = 0.5  # share of the grain that two photographs of different parts do not reach

_BLOCK = 12  # pixels a side; where noise is compared
_FLATTEST = 0.1  # of the blocks: there texture hides the noise least
_LEAST_GRADED = 0.1  # of the picture; the rest is black or white
_FEWEST_BLOCKS = 25
_BLACK, _WHITE = tone_curve.BLACK, tone_curve.WHITE
_NOISE_FLOOR = 0.004  # squared levels in the band; below it rounding rules
_SPOT, _THIN = 1.2, 0.8  # blurs that show small places and thin lines best
_ROUNDED = 0.42  # levels, times 1 / blur; rounding of a changed exposure reaches this
_LINE = 11  # pixels
_BEARINGS = 16  # of lines
_SMALLEST_PIECE, _LARGEST_PIECE = 256, 1024  # pixels a side, in which lines are sought


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What two aligned pictures have in common, and where they differ.

    Attributes:
        shared_noise: part of the cleaner picture's noise that is in the other: about 1
            for copies, 0 for two photographs; NaN where there is none to see.
        shared_grain: the same of texture a bit coarser, in the flattest places.
        shared_texture: the same of that texture in all places.
        max_local_residual: the largest local difference, in deviations of the
            differences at places of like texture.
        max_line_residual: the largest mean of such differences along a short line.
        deviation: of the differences, blurred, in levels; less when better aligned.
        resampled: whether one picture was, to be aligned; then they differ along every
            edge, and a line proves nothing.
        off_curve: share of the pixels whose level is not what most of it became.
        departure: deviation of the differences, not blurred, in levels.
        own_noise: what one picture has of noise that the other one lacks, at most, as
            a part of what tells them apart, of the one that has less: about 0 in
            copies, .5 in two photographs; infinite where nothing can be said.
    """

    shared_noise: float = float("nan")
    shared_grain: float = float("nan")
    shared_texture: float = float("nan")
    max_local_residual: float = float("inf")
    max_line_residual: float = float("inf")
    deviation: float = float("inf")
    resampled: bool = False
    off_curve: float = 1.0
    departure: float = float("inf")
    own_noise: float = float("inf")

    @property
    def suspicious(self) -> bool:
        """Whether more may be shared when the pictures are better aligned."""
        return self.shared_grain >= _SUSPICIOUS

    @property
    def alike(self) -> bool:
        """Whether they share more than two photographs of different parts do."""
        return _ALIKE <= self.shared_grain <= 1 / _ALIKE

    @property
    def same_exposure(self) -> bool:
        """Whether both may come from one photograph, though one may be altered.

        So may two photographs whose texture is finer and stronger than their noise.
        """
        return self.shared_noise >= _SHARED and abs(self.shared_texture - 1) <= _EXCESS

    @property
    def derived(self) -> bool:
        """Whether no other photograph could have become so like the first."""
        if self.resampled:
            return self.departure <= _ROUNDED_AWAY
        return self.off_curve <= _OFF_CURVE or self.own_noise <= _ONE_SIDED

    @property
    def altered(self) -> bool:
        """Whether a place or a line differs more than the rest explains."""
        in_line = not self.resampled and self.max_line_residual > LARGEST_LINE
        too_much = self.max_local_residual > LARGEST_RESIDUAL or in_line
        return self.same_exposure and too_much

    @property
    def same_photograph(self) -> bool:
        """Whether one is a copy of the other, nothing added or taken away."""
        return self.same_exposure and self.derived and not self.altered


def examine(
    first: np.ndarray,
    second: np.ndarray,
    inside: np.ndarray,
    *,
    resampled: bool = False,
) -> Comparison:
    """Compares two aligned pictures.

    Args:
        first, second: float32 grey levels, `(height, width)`.
        inside: bool of the same shape, where both have content.
        resampled: whether one was, to be aligned.
    """
    inside = _shrunk(inside)
    graded = _graded(first, second, inside)
    if graded.mean() < _LEAST_GRADED:
        return Comparison()
    noise, grain, texture, first_is_noisier = _sharing(first, second, graded)
    if not noise >= _SHARED:
        return Comparison(noise, grain, texture)
    clean, noisy = (second, first) if first_is_noisier else (first, second)
    seen = inside & _is_graded(clean)
    expected = tone_curve.expected(clean, tone_curve.table(clean[seen], noisy[seen]))
    del seen
    difference = noisy - expected
    departure = _deviation(difference, graded)
    off_curve, own_noise = 1.0, float("inf")
    if not resampled:
        off_curve = tone_curve.off_curve(clean, noisy, inside)
        own_noise = _own_noise(clean, noisy, expected, difference, graded)
    return Comparison(
        noise,
        grain,
        texture,
        *_residuals(clean, noisy, expected, difference, inside),
        resampled,
        off_curve,
        departure,
        own_noise,
    )


def curve_between(
    first: np.ndarray, second: np.ndarray, inside: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """What brings the first of two aligned pictures to the exposure of the second.

    Args:
        first, second, inside: as `examine` takes them.
    """
    graded = _graded(first, second, _shrunk(inside))
    return _exposure(first, second, graded)


def likeness(
    first: np.ndarray,
    second: np.ndarray,
    inside: np.ndarray,
    curve: Callable[[np.ndarray], np.ndarray],
) -> Comparison:
    """The grain that two aligned pictures share, as `examine` finds it, and no more.

    Args:
        first, second, inside: as `examine` takes them.
        curve: between them, in this alignment or another good one.
    """
    graded = _graded(first, second, _shrunk(inside))
    if graded.mean() < _LEAST_GRADED:
        return Comparison()
    grain, *_ = _shared(curve(first), second, graded, _GRAIN)
    return Comparison(shared_grain=grain)


def _graded(first, second, inside) -> np.ndarray:
    """Where neither is clipped, nor next to it."""
    return inside & _shrunk(_is_graded(first) & _is_graded(second))


def _is_graded(levels: np.ndarray) -> np.ndarray:
    return (levels > _BLACK) & (levels < _WHITE)


def _sharing(
    first: np.ndarray, second: np.ndarray, graded: np.ndarray
) -> tuple[float, float, float, bool]:
    """Shared noise, grain and texture, and whether the first is the noisier one.

    Noise is NaN where too little grain is shared.
    """
    exposed = _exposure(first, second, graded)(first)
    grain, texture, first_is_noisier, _ = _shared(exposed, second, graded, _GRAIN)
    if not grain >= _SUSPICIOUS:
        return float("nan"), grain, float("nan"), False
    noise, *_ = _shared(exposed, second, graded, _NOISE)
    return noise, grain, texture, first_is_noisier


def _exposure(
    first: np.ndarray, second: np.ndarray, seen: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """The gain and gamma between two pictures, from what is seen, without noise."""
    return tone_curve.exposure(
        *(cv2.GaussianBlur(levels, (0, 0), 2)[seen] for levels in (first, second))
    )


def _deviation(values: np.ndarray, where: np.ndarray) -> float:
    return float(cv2.meanStdDev(values, mask=where.view(np.uint8))[1][0, 0])


def differs_by_rounding(
    first: np.ndarray, second: np.ndarray, inside: np.ndarray
) -> bool:
    """Whether `examine` may call a resampled picture derived, from a cheaper look.

    Args:
        first, second, inside: as `examine` takes them.
    """
    graded = _shrunk(inside)[::3, ::2]
    first, second = first[::3, ::2], second[::3, ::2]
    graded &= _is_graded(first) & _is_graded(second)
    if graded.mean() < _LEAST_GRADED:
        return False
    first, second = first[graded], second[graded]
    level = np.rint(first).astype(np.intp)
    count = np.bincount(level, minlength=256)
    off = np.bincount(level, second - first, 256) / np.maximum(count, 1)
    off = second - first - np.interp(first, np.arange(256), off)
    return bool(off.std() <= 1.2 * _ROUNDED_AWAY)


def position_between(copy: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Where `copy` lies between two pictures: 0 at `first`, 1 at `second`.

    Noise can hide a scratch at every single pixel, but not along all of it.

    Args:
        copy, first, second: float32 grey levels `(height, width)`, aligned.

    Returns:
        NaN where the copy shows nothing of what the two differ in.
    """
    seen = _is_graded(copy)
    if seen.mean() < _LEAST_GRADED:
        return float("nan")
    exposed, along, length = _exposure(first, copy, seen), 0.0, 0.0
    for rows in memory.bands(copy.shape):
        start, end = (
            np.clip(exposed(levels[rows]), 0, 255).astype(np.float64)
            for levels in (first, second)
        )
        apart = end - start
        length += float((apart * apart).sum())
        along += float(((copy[rows] - start) * apart).sum())
    return along / length if length else float("nan")


def _shrunk(mask: np.ndarray) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0


def grain(picture: np.ndarray) -> np.ndarray:
    """Texture a bit coarser than noise, of float32 grey levels."""
    return _between(picture, _GRAIN)


def grain_at_a_glance(first: np.ndarray, second: np.ndarray) -> tuple[bool, bool]:
    """What `examine` may find of shared grain, from a look that costs a tenth.

    Args:
        first, second: grain of two aligned pictures.

    Returns:
        Whether it may find any, and whether it surely finds them alike: grain in flat
        places then correlates, which no exposure changes, and is at most the share.
    """
    inner = views.within(first.shape, 12)  # beyond, one may have no content
    in_flat, _, _, correlation = _contained(first[inner], second[inner])
    if correlation >= _SURELY:  # the flattest places of all may lie outside
        correlation = _contained(first, second)[-1]
    return not in_flat < _HINT, correlation >= _SURELY  # NaN says nothing


def _shared(first, second, valid, band) -> tuple[float, float, bool, float]:
    """What the stronger picture contains of what a band shows of the weaker one."""
    parts = [_between(picture, band) for picture in (first, second)]
    for part in parts:
        part *= valid
    return _contained(*parts, _blocks(valid) > 0.9)


def _contained(first, second, open_to_view=True) -> tuple[float, float, bool, float]:
    """What the stronger of two bands contains of the weaker one.

    Returns:
        The part in flat places, the part in all places, whether the first one is the
        stronger, and the correlation in flat places.
    """
    powers = [_blocks(part * part) for part in (first, second)]
    product = _blocks(first * second)
    least = np.minimum(*powers)
    usable = (least > _NOISE_FLOOR) & open_to_view
    if usable.sum() < _FEWEST_BLOCKS:
        return float("nan"), float("nan"), False, float("nan")
    limit = np.quantile(least[usable], max(_FLATTEST, 20 / usable.sum()))
    flat = usable & (least <= limit)
    in_flat, *ours = (float(p[flat].sum()) for p in (product, *powers))
    in_all, *theirs = (float(p[usable].sum()) for p in (product, *powers))
    correlation = in_flat / float(np.sqrt(ours[0] * ours[1]))
    return in_flat / min(ours), in_all / min(theirs), theirs[0] > theirs[1], correlation


def _between(picture: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    fine, coarse = band
    shading = _blurred(picture, coarse)
    return np.subtract(_blurred(picture, fine), shading, out=shading)


def _blurred(picture: np.ndarray, deviation: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), deviation) if deviation else picture


def _blocks(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    size = (max(1, width // _BLOCK), max(1, height // _BLOCK))
    return cv2.resize(
        values.astype(np.float32, copy=False), size, interpolation=cv2.INTER_AREA
    )


def _own_noise(clean, noisy, expected, difference, graded) -> float:
    """The noise that the cleaner one does not share, see `Comparison.own_noise`."""
    apart, shown = (_between(p, _NOISE) for p in (difference, expected))
    usable = _blocks(graded) > 0.9
    if usable.sum() < _FEWEST_BLOCKS:
        return float("inf")
    texture = _blocks(shown * shown)
    calm = usable & (texture <= np.quantile(texture[usable], _CALM))
    power = float(_blocks(apart * apart)[calm].mean())
    own = -_blocks(apart * shown)[calm]
    # The tone curve leans to where it hides own noise, unless it rests on more.
    fixed = 1 - float(
        texture[calm].mean() / _NOISE_POWER / _deviation(expected, graded) ** 2
    )
    if not power or fixed < _FIXED:
        return float("inf")
    error = 2 * own.std() / np.sqrt(own.size)
    share, error = own.mean() / power / fixed, error / power / fixed
    most = float(min(share, 1 - share) + error)  # the other one may be the original
    if most <= _ONE_SIDED and (
        jpeg_traces.was_there(clean) or jpeg_traces.was_there(noisy)
    ):
        return float("inf")
    return most


def _residuals(
    clean, noisy, expected, difference, inside
) -> tuple[float, float, float]:
    """Differences of `noisy` from what `clean` lets expect; they are changed here.

    Returns:
        The largest at a place; the largest along a line, if no place is too much
        already; their deviation.
    """
    # What was clipped in the clean one may have been any level beyond.
    white, black = clean >= _WHITE, clean <= _BLACK
    difference[white] = np.minimum(difference[white], 0)
    difference[black] = np.maximum(difference[black], 0)
    # The lesser of both textures: what only one of them shows may be a defect.
    texture = _texture(noisy)
    np.minimum(_texture(expected), texture, out=texture)
    blurred = cv2.GaussianBlur(difference, (0, 0), _SPOT)
    deviation = _deviation(blurred, inside)
    parts = _of_like_texture(texture, inside)
    spots = _in_deviations(blurred, _ROUNDED / _SPOT, texture, inside, parts)
    largest = float(max(spots.max(), -spots.min()))
    if largest > LARGEST_RESIDUAL:
        return largest, float("inf"), deviation
    blurred = cv2.GaussianBlur(difference, (0, 0), _THIN)
    thin = _in_deviations(blurred, _ROUNDED / _THIN, texture, inside, parts)
    return largest, _largest_line(thin), deviation


def _of_like_texture(texture: np.ndarray, inside: np.ndarray) -> list[np.ndarray]:
    """Places in the flat picture, in parts of ever more texture."""
    places = _every_fifth(inside)
    places = places[np.argsort(texture.ravel()[places], kind="stable")]
    return np.array_split(places, 12)


def _in_deviations(differences, least, texture, inside, parts):
    """The differences relative to those at places of like texture; 0 outside."""
    at = [float(texture.ravel()[part].mean()) for part in parts]
    flat = differences.ravel()
    spread = [tone_curve.spread(np.abs(flat[part])) for part in parts]
    for rows in memory.bands(differences.shape):
        scale = np.interp(texture[rows], at, np.maximum(spread, least))
        differences[rows] /= scale
        differences[rows] *= inside[rows]
    return differences


def _every_fifth(inside: np.ndarray) -> np.ndarray:
    """Every fifth place that is inside, in the flat picture."""
    flat, places, before = inside.ravel(), [], 0
    for part in memory.bands(flat.shape):
        there = np.flatnonzero(flat[part])
        places.append(there[-before % 5 :: 5] + part.start)
        before += len(there)
    return np.concatenate(places)


def _largest_line(deviations) -> float:
    """The largest mean of deviations along a line.

    Noise rarely keeps its sign along a line; a scratch too faint for any single place
    does.
    """
    deviations = deviations.astype(np.float32, copy=False)
    return max(
        cv2.norm(cv2.blur(_turned_by(piece, angle), (_LINE, 1)), cv2.NORM_INF)
        for piece in _pieces(deviations)
        for angle in 180 * np.arange(_BEARINGS) / _BEARINGS
    )


def _pieces(picture: np.ndarray) -> Iterator[np.ndarray]:
    """A picture, if it is long or large in pieces; every line is whole in one of them.

    Turned, a strip would fill a square of its length.
    """
    most = min(_LARGEST_PIECE, max(_SMALLEST_PIECE, 4 * min(picture.shape)))
    overlap = 2 * _LINE
    tops, lefts = (
        range(0, max(1, side - overlap), most - overlap) for side in picture.shape
    )
    for top, left in itertools.product(tops, lefts):
        yield picture[top : top + most, left : left + most]


def _turned_by(picture: np.ndarray, degrees: float) -> np.ndarray:
    """All of a picture, turned about its middle, on a square with 0 around it."""
    height, width = picture.shape
    side = int(np.hypot(height, width)) + 2
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    turn[:, 2] += (side - width) / 2, (side - height) / 2
    return cv2.warpAffine(picture, turn, (side, side))


def _texture(picture):
    mean = cv2.blur(picture, (15, 15))
    power = cv2.blur(picture * picture, (15, 15))
    power -= np.multiply(mean, mean, out=mean)
    return np.sqrt(np.maximum(power, 0, out=power), out=power)
