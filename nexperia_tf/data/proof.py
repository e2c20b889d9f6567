"""Evidence, pixel by pixel, that two pictures are copies of one photograph.

Both questions are asked relative to the images' own noise, so that nothing need be
known of the camera:

- Is the noise the same? Another photograph of the same part has new noise. In a copy,
  the noise of the cleaner picture is contained in the other one.
- Is there a place where they differ by more than the rest of the picture explains? A
  scratch on the same part is such a place.

JPEG takes the noise away; but what it makes of a picture can be computed.
"""

import dataclasses

import cv2
import numpy as np
import scipy.ndimage

LARGEST_RESIDUAL = 8.0  # copies reach 5.7; most scratches of 15 levels begin at 10
LARGEST_LINE = 3.7  # copies reach 3.2; most scratches that pass the other more

# How much of the cleaner noise the other picture must contain. A brighter or noisier
# copy contains all of it; sister wafers reach .6 where their grain is as fine as noise.
_SHARED = 0.75
_EXCESS = 0.12  # in a copy all texture is as strong, but for noise: sisters reach 1.13
_NOISE = (0.0, 0.7)  # deviations of the two filters whose difference shows noise
_GRAIN = (0.8, 2.5)  # the same for what is a bit coarser and bears a lying half aside
_SUSPICIOUS = 0.12  # share of the grain; lying better, the noise may show as shared
_HINT = 0.08  # the same, exposures unequal; copies reach .35, what shares grain .1
_ALIKE = 0.5  # share of the grain that two photographs of different parts do not reach

_BLOCK = 12  # pixels a side; where noise is compared
_FLATTEST = 0.1  # of the blocks: there texture hides the noise least
_LEAST_GRADED = 0.1  # of the picture; the rest is black or white
_FEWEST_BLOCKS = 25
_BLACK, _WHITE = 2.0, 250.0  # levels at or beyond which a pixel may be clipped
_NOISE_FLOOR = 0.004  # squared levels in the band; below it rounding rules
_SPOT, _THIN = 1.2, 0.8  # blurs that show small places and thin lines best
_ROUNDED = 0.42  # levels, times 1 / blur; rounding of a changed exposure reaches this
_FEW = 20  # pixels of a level; below it levels near it count more than their mean
_NEAR_LEVELS = 4.0  # deviation; where they hold no _FEW_NEAR pixels a level, the curve
_FEW_NEAR = 0.5  # counts
_LEAST_LEVEL = 0.5  # that has a logarithm
_LEAST_OUTLYING = 1.0  # levels; rounding is less
_LINE = 11  # pixels
_BEARINGS = 16  # of lines
_QUALITIES = range(40, 101)  # of JPEG
_SAME_LEVELS = 1.5  # of a blurred difference; encoders round differently


@dataclasses.dataclass(frozen=True)
class Proof:
    """What the pixels say.

    Attributes:
        shared_noise: part of the cleaner picture's noise that is in the other: about 1
            for copies, 0 for two photographs; NaN where there is none to see.
        shared_grain: the same of texture a bit coarser, in the flattest places.
        shared_texture: the same of that texture in all places.
        max_local_residual: the largest local difference, in deviations of the
            differences at places of like texture.
        max_line_residual: the largest mean of such differences along a short line.
        deviation: of the differences, blurred, in levels; less where they lie better.
        resampled: whether one picture was, to lie on the other; then they differ along
            every edge, and a line tells nothing.
    """

    shared_noise: float = float("nan")
    shared_grain: float = float("nan")
    shared_texture: float = float("nan")
    max_local_residual: float = float("inf")
    max_line_residual: float = float("inf")
    deviation: float = float("inf")
    resampled: bool = False

    @property
    def suspicious(self) -> bool:
        """Whether more may be shared when the pictures are laid better."""
        return self.shared_grain >= _SUSPICIOUS

    @property
    def alike(self) -> bool:
        """Whether they share more than two photographs of different parts do."""
        return _ALIKE <= self.shared_grain <= 1 / _ALIKE

    @property
    def same_exposure(self) -> bool:
        """Whether both come from one photograph, though one may have been altered."""
        return self.shared_noise >= _SHARED and abs(self.shared_texture - 1) <= _EXCESS

    @property
    def same_photograph(self) -> bool:
        """Whether one is a copy of the other, nothing added or taken away."""
        return (
            self.same_exposure
            and self.max_local_residual <= LARGEST_RESIDUAL
            and (self.resampled or self.max_line_residual <= LARGEST_LINE)
        )


def examine(
    first: np.ndarray,
    second: np.ndarray,
    inside: np.ndarray,
    *,
    resampled: bool = False,
) -> Proof:
    """Compares two pictures that lie on one another.

    Args:
        first, second: float32 grey levels, `(height, width)`.
        inside: bool of the same shape, where both have content.
        resampled: whether one was, to lie so.
    """
    inside = _shrunk(inside)
    extreme = (np.minimum(first, second) <= _BLACK) | (
        np.maximum(first, second) >= _WHITE
    )
    graded = inside & _shrunk(~extreme)  # neither clipped nor next to it
    if graded.mean() < _LEAST_GRADED:
        return Proof()
    smooth = [cv2.GaussianBlur(p, (0, 0), 2)[graded] for p in (first, second)]
    exposed = _exposure(*smooth)(first)
    grain, texture, first_is_noisier = _shared(exposed, second, graded, _GRAIN)
    if not grain >= _SUSPICIOUS:
        return Proof(shared_grain=grain)
    noise, *_ = _shared(exposed, second, graded, _NOISE)
    if not noise >= _SHARED:
        return Proof(noise, grain, texture)
    if first_is_noisier:
        first, second = second, first
    seen = inside & (first > _BLACK) & (first < _WHITE)
    table = _levels(first[seen], second[seen])
    residuals = _residuals(first, second, table, inside)
    return Proof(noise, grain, texture, *residuals, resampled)


def leaning(copy: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    """Where `copy` lies between two pictures that differ: 0 at `one`, 1 at `other`.

    Noise can hide a scratch at every single pixel, but not along all of it.

    Args:
        copy, one, other: float32 grey levels `(height, width)`, on one another.

    Returns:
        NaN where the copy shows nothing of what the two differ in.
    """
    seen = (copy > _BLACK) & (copy < _WHITE)
    if seen.mean() < _LEAST_GRADED:
        return float("nan")
    exposed = _exposure(*(cv2.GaussianBlur(p, (0, 0), 2)[seen] for p in (one, copy)))
    start, end = (np.clip(exposed(p), 0, 255).astype(np.float64) for p in (one, other))
    way = end - start
    length = float((way * way).sum())
    return float(((copy - start) * way).sum()) / length if length else float("nan")


def is_jpeg_of(copy: np.ndarray, original: np.ndarray) -> bool:
    """Whether `copy` is what JPEG makes of `original`, at any quality.

    Args:
        copy, original: uint8 `(height, width)`.
    """
    for quality in _QUALITIES:
        options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        _, content = cv2.imencode(".jpg", original, options)
        coded = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
        difference = cv2.subtract(coded, copy, dtype=cv2.CV_32F)
        if np.abs(cv2.GaussianBlur(difference, (0, 0), 1.2)).max() <= _SAME_LEVELS:
            return True
    return False


def _shrunk(mask: np.ndarray) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0


def _exposure(before: np.ndarray, after: np.ndarray):
    """The gain and gamma that take levels `before` to `after`, as a function."""
    level = before.astype(np.intp)
    count = np.bincount(level, minlength=256)
    x, y = (np.bincount(level, v, 256) / np.maximum(count, 1) for v in (before, after))
    seen = (count >= _FEW) & (y > _BLACK) & (y < _WHITE)
    x, y = x[seen], y[seen]
    if len(x) < 2:
        return lambda levels: levels
    x, y = np.maximum(x, _LEAST_LEVEL), np.maximum(y, _LEAST_LEVEL)
    # All levels weigh alike, however rare, and so do errors at all levels: else a dark
    # floor would fix the gamma alone.
    design = np.stack([np.log(x), np.ones_like(x)], 1) * y[:, None]
    (gamma, gain), *_ = np.linalg.lstsq(design, np.log(y) * y, rcond=None)
    if abs(gamma - 1) < 1e-4 and abs(gain) < 1e-4:
        return lambda levels: levels

    def exposed(levels: np.ndarray) -> np.ndarray:
        powers = cv2.pow(np.maximum(levels, 0), gamma)
        return np.exp(gain, dtype=np.float32) * powers.reshape(levels.shape)

    return exposed


def _levels(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """What each level 0..255 of `clean` has become on average in `noisy`."""
    level = np.rint(clean).astype(np.intp)
    exposed = _exposure(clean, noisy)
    curve = np.clip(exposed(np.arange(256, dtype=np.float32)), 0, 255)
    count = np.bincount(level, minlength=256)
    off = noisy - curve[level]
    ranked = np.split(off[np.argsort(level)], np.cumsum(count)[:-1])
    middle = np.array([np.median(part) if part.size else 0 for part in ranked])
    # A scratch on a rare level must not pass for what the level has become.
    rest = off - middle[level]
    most = max(_LEAST_OUTLYING, 3 * _spread(np.abs(rest)))
    rest = np.bincount(level, np.clip(rest, -most, most), 256)
    off = middle * count + rest
    # A rare level is off the curve as much as the levels near it.
    near_off, near = scipy.ndimage.gaussian_filter1d([off, count * 1.0], _NEAR_LEVELS)
    near_off /= near + _FEW_NEAR
    return curve + (off + _FEW * near_off) / (count + _FEW)


def grain(picture: np.ndarray) -> np.ndarray:
    """Texture a bit coarser than noise, of float32 grey levels."""
    return _between(picture, _GRAIN)


def hints_at_shared_grain(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether `examine` may find shared grain, from a look that costs a tenth.

    Args:
        first, second: grain of two pictures that lie on one another.
    """
    rim = 1 + max(first.shape) // 12  # there one may have no content
    inner = slice(rim, -rim), slice(rim, -rim)
    in_flat, *_ = _contained(first[inner], second[inner])
    return not in_flat < _HINT  # NaN says nothing


def _shared(first, second, valid, band) -> tuple[float, float, bool]:
    """What the stronger picture contains of what a band shows of the weaker one."""
    parts = [_between(picture, band) * valid for picture in (first, second)]
    return _contained(*parts, _blocks(valid) > 0.9)


def _contained(first, second, open_to_view=True) -> tuple[float, float, bool]:
    """What the stronger of two bands contains of the weaker one.

    Returns:
        The part in flat places, the part in all places, and whether the first one is
        the stronger.
    """
    powers = [_blocks(part * part) for part in (first, second)]
    product = _blocks(first * second)
    least = np.minimum(*powers)
    usable = (least > _NOISE_FLOOR) & open_to_view
    if usable.sum() < _FEWEST_BLOCKS:
        return float("nan"), float("nan"), False
    limit = np.quantile(least[usable], max(_FLATTEST, 20 / usable.sum()))
    in_flat, in_all = (
        float(product[places].sum() / min(power[places].sum() for power in powers))
        for places in (usable & (least <= limit), usable)
    )
    return in_flat, in_all, bool(powers[0][usable].sum() > powers[1][usable].sum())


def _between(picture: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    fine, coarse = band
    return _blurred(picture, fine) - _blurred(picture, coarse)


def _blurred(picture: np.ndarray, deviation: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), deviation) if deviation else picture


def _blocks(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    size = (max(1, width // _BLOCK), max(1, height // _BLOCK))
    return cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)


def _residuals(clean, noisy, table, inside) -> tuple[float, float, float]:
    """Differences of `noisy` from what `clean` lets expect.

    Returns:
        The largest at a place; the largest along a line, if no place is too much
        already; their deviation.
    """
    expected = cv2.remap(
        table.astype(np.float32)[None],
        clean,
        np.zeros_like(clean),
        cv2.INTER_LINEAR,  # between levels, in steps of 1/32
        borderMode=cv2.BORDER_REPLICATE,
    )
    difference = noisy - expected
    # What was clipped in the clean one may have been any level beyond.
    white, black = clean >= _WHITE, clean <= _BLACK
    difference[white] = np.minimum(difference[white], 0)
    difference[black] = np.maximum(difference[black], 0)
    # The lesser of both textures: what only one of them shows may be a defect.
    texture = np.minimum(_texture(expected), _texture(noisy))
    blurred = cv2.GaussianBlur(difference, (0, 0), _SPOT)
    deviation = float(blurred[inside].std())
    spots = _in_deviations(blurred, _ROUNDED / _SPOT, texture, inside)
    largest = float(np.abs(spots).max())
    if largest > LARGEST_RESIDUAL:
        return largest, float("inf"), deviation
    blurred = cv2.GaussianBlur(difference, (0, 0), _THIN)
    thin = _in_deviations(blurred, _ROUNDED / _THIN, texture, inside)
    return largest, _largest_line(thin), deviation


def _in_deviations(differences, least, texture, inside):
    """Differences relative to those at places of like texture; 0 outside."""
    texture = texture.ravel()
    places = np.flatnonzero(inside)[::5]
    places = places[np.argsort(texture[places], kind="stable")]
    parts = np.array_split(places, 12)
    at = [float(texture[part].mean()) for part in parts]
    size = np.abs(differences).ravel()
    spread = [_spread(size[part]) for part in parts]
    scale = np.interp(texture, at, np.maximum(spread, least))
    return differences / scale.reshape(inside.shape) * inside


def _largest_line(deviations) -> float:
    """The largest mean of deviations along a line.

    Noise rarely keeps its sign along a line; a scratch too faint for any single place
    does.
    """
    height, width = deviations.shape
    side = int(np.hypot(height, width)) + 2
    largest = 0.0
    for bearing in range(_BEARINGS):
        angle = 180 * bearing / _BEARINGS
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
        turn[:, 2] += (side - width) / 2, (side - height) / 2
        turned = cv2.warpAffine(deviations.astype(np.float32), turn, (side, side))
        largest = max(largest, float(np.abs(cv2.blur(turned, (_LINE, 1))).max()))
    return largest


def _texture(picture):
    mean = cv2.blur(picture, (15, 15))
    return np.sqrt(np.maximum(cv2.blur(picture * picture, (15, 15)) - mean * mean, 0))


def _spread(residual: np.ndarray) -> float:
    """Standard deviation by the median and by the ninth decile, the larger."""
    middle, high = np.quantile(residual, [0.5, 0.9])
    return float(max(middle / 0.6745, high / 1.6449))
