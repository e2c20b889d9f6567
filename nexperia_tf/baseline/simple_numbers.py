"""A picture as simple numbers: grey levels, lines, spots, texture, a thumbnail, colour.

Nothing here is learned, so whatever these numbers tell of a defect is there to be had
without a network. All are finite for any picture, and the same names come in the same
order for all pictures of as many channels.
"""

import functools

import cv2
import numpy as np
from skimage import feature

from nexperia_tf.data import images
from nexperia_tf.statistics.wording import percent

MOST_PIXELS = 192 * 192  # of the picture that is looked at; larger ones are reduced
FEWEST_PIXELS = 16  # of a side; smaller ones are enlarged
LEVELS = 4  # each of half the side: what is a wide line here is a thin one there
DIRECTIONS = 6  # of lines; a second derivative is as broad as the steps between them
LINE = 9  # pixels that a line is followed
THUMBNAIL = 16  # pixels a side
SHARES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
TAILS = (0.0, 0.001, 0.01, 0.99, 0.999, 1.0)
STRONGEST = (0.5, 0.9, 0.99, 0.999, 1.0)
NEIGHBOURS = 8  # of a local binary pattern

_TINY = 1e-3  # grey levels: a flat picture divides by no less


def numbers(pixels: np.ndarray, *, channels: int) -> dict[str, float]:
    """All numbers of a picture, by name.

    Args:
        pixels: uint8 array of shape `(height, width)` or `(height, width, 3)`.
        channels: 1 leaves out what only colour has; 3 counts grey as colour, too.
    """
    grey = np.ascontiguousarray(images.grey(pixels))
    looked_at = _of_size(grey)
    found = {**_look(grey), **_levels_of_grey(looked_at)}
    for level in range(LEVELS):
        smaller = _halved(looked_at, level)
        scale = f"1/{2**level}"
        found |= _lines_and_spots(smaller, scale)
        if level:  # the finest costs most and says least
            found |= _texture(smaller, scale)
    found |= _thumbnail_numbers(looked_at)
    if channels == 3:
        found |= _colour(pixels if pixels.ndim == 3 else cv2.merge([grey] * 3))
    return {name: float(value) for name, value in found.items()}


def names(channels: int) -> tuple[str, ...]:
    """The names of all numbers, in their order."""
    return tuple(numbers(np.zeros((1, 1), np.uint8), channels=channels))


def _look(grey: np.ndarray) -> dict[str, float]:
    """What `nexperia prepare` measures, too, of all pixels."""
    mean, deviation = cv2.meanStdDev(grey)
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return {
        "brightness": mean[0, 0],
        "contrast": deviation[0, 0],
        "sharpness": edges[0, 0] ** 2,
    }


def _of_size(grey: np.ndarray) -> np.ndarray:
    """The picture as float32 with so many pixels as are looked at, of its own shape."""
    height, width = grey.shape
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    return _resized(grey.astype(np.float32), height * scale, width * scale)


def _halved(picture: np.ndarray, times: int) -> np.ndarray:
    height, width = picture.shape
    return _resized(picture, height / 2**times, width / 2**times)


def _resized(picture: np.ndarray, height: float, width: float) -> np.ndarray:
    size = [max(FEWEST_PIXELS, round(side)) for side in (width, height)]
    if size == list(picture.shape[::-1]):
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _levels_of_grey(picture: np.ndarray) -> dict[str, float]:
    """Quantiles as they are, and about the picture's own middle and without its grid.

    Rows and columns that are dark or light from end to end are the product's; what is
    left when their means are taken off stands out from them.
    """
    levels = _quantiles(picture, SHARES)
    spread = max(levels[7] - levels[3], _TINY)
    rows = picture.mean(axis=1, keepdims=True)
    columns = picture.mean(axis=0, keepdims=True)
    left = picture - rows - columns + picture.mean()
    tails = _quantiles(left, TAILS)
    deviation = max(float(left.std()), _TINY)
    found = {f"grey level at {percent(share)}": q for share, q in zip(SHARES, levels)}
    for share, level in zip(SHARES, levels):
        found[f"relative level at {percent(share)}"] = (level - levels[5]) / spread
    for share, level in zip(TAILS, tails):
        found[f"level off the grid at {percent(share)}"] = level
        found[f"relative level off the grid at {percent(share)}"] = level / deviation
    return found | {
        "contrast off the grid": deviation,
        "darkest row": rows.min() - picture.mean(),
        "lightest row": rows.max() - picture.mean(),
        "darkest column": columns.min() - picture.mean(),
        "lightest column": columns.max() - picture.mean(),
    }


def _lines_and_spots(picture: np.ndarray, scale: str) -> dict[str, float]:
    """How strong dark and light lines are, in each direction, and spots.

    Second derivatives in any direction are mixed of three; a line's are added up along
    it. Strengths are logarithms, so that one of a picture minus another is their ratio.
    """
    xx, yy, xy = _second_derivatives(picture)
    found, responses = {}, []
    for number in range(DIRECTIONS):
        angle = np.pi * number / DIRECTIONS  # of the line itself
        across = (-np.sin(angle), np.cos(angle))
        bent = cv2.addWeighted(xx, across[0] ** 2, yy, across[1] ** 2, 0)
        bent = cv2.scaleAdd(xy, 2 * across[0] * across[1], bent)
        response = cv2.filter2D(
            bent, -1, _KERNELS[number], borderType=cv2.BORDER_REFLECT
        )
        responses.append(response)
        name = f"{np.degrees(angle):.0f}° at {scale}"
        light, dark, _, _ = cv2.minMaxLoc(response)
        found[f"dark line {name}"] = _strength(dark)
        found[f"light line {name}"] = _strength(-light)
        found[f"lines {name}"] = _strength(cv2.meanStdDev(response)[1][0, 0])
    for word, of_lines in (
        ("dark", functools.reduce(cv2.max, responses)),
        ("light", -functools.reduce(cv2.min, responses)),
    ):
        strong = [_strength(q) for q in _quantiles(of_lines, STRONGEST)]
        for share, strength in zip(STRONGEST, strong):
            found[f"{word} lines at {scale}, {percent(share)}"] = strength
        found[f"{word} lines at {scale}, peak"] = strong[-1] - strong[1]
    spots = _quantiles(xx + yy, TAILS)
    for share, level in zip(TAILS, spots):
        found[f"spots at {scale}, {percent(share)}"] = _strength(level)
    return found


def _second_derivatives(picture: np.ndarray) -> tuple[np.ndarray, ...]:
    smooth = cv2.GaussianBlur(picture, (5, 5), 1.0, borderType=cv2.BORDER_REFLECT)
    kinds = ((2, 0, 0.25), (0, 2, 0.25), (1, 1, 0.25))
    return tuple(
        cv2.Sobel(smooth, -1, x, y, ksize=3, scale=s, borderType=cv2.BORDER_REFLECT)
        for x, y, s in kinds
    )


def _strength(value: float) -> float:
    return float(np.sign(value) * np.log1p(abs(value)))


def _kernel(angle: float) -> np.ndarray:
    """The mean along a short line, float32 of shape `(LINE, LINE)`."""
    place = np.arange(LINE) - LINE // 2
    x, y = np.meshgrid(place, place)
    off = np.abs(y * np.cos(angle) - x * np.sin(angle))
    along = np.abs(x * np.cos(angle) + y * np.sin(angle))
    kernel = np.clip(1 - off, 0, 1) * (along <= LINE / 2)
    return (kernel / kernel.sum()).astype(np.float32)


_KERNELS = [_kernel(np.pi * number / DIRECTIONS) for number in range(DIRECTIONS)]


def _texture(picture: np.ndarray, scale: str) -> dict[str, float]:
    """How often each uniform local binary pattern is there.

    Reference:
        Ojala, Pietikäinen & Mäenpää, IEEE TPAMI 24 (2002) 971.
    """
    levels = np.rint(picture).astype(np.uint8)
    patterns = feature.local_binary_pattern(levels, NEIGHBOURS, 1, method="uniform")
    counts = np.bincount(patterns.astype(np.intp).ravel(), minlength=NEIGHBOURS + 2)
    shares = counts / patterns.size
    return {f"texture {n} at {scale}": share for n, share in enumerate(shares)}


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """A small square with mean 0 and deviation 1, float32 of `THUMBNAIL ** 2`."""
    grey = images.grey(pixels).astype(np.float32)
    return _standard_thumbnail(grey)


def _standard_thumbnail(picture: np.ndarray) -> np.ndarray:
    size = (THUMBNAIL, THUMBNAIL)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).ravel()
    return (small - small.mean()) / max(float(small.std()), _TINY)


def _thumbnail_numbers(picture: np.ndarray) -> dict[str, float]:
    """Cells of a coarse grid, by place and in order of their level."""
    small = _standard_thumbnail(picture).reshape(THUMBNAIL, THUMBNAIL)
    cells = small.reshape(THUMBNAIL // 2, 2, THUMBNAIL // 2, 2).mean(axis=(1, 3))
    found = {f"cell {y + 1},{x + 1}": value for (y, x), value in np.ndenumerate(cells)}
    in_order = _quantiles(small, TAILS)
    return found | {
        f"cells at {percent(share)}": value for share, value in zip(TAILS, in_order)
    }


def _colour(pixels: np.ndarray) -> dict[str, float]:
    """Each channel's mean and contrast, and how far from grey the colours are."""
    height, width = pixels.shape[:2]
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    size = [max(1, round(side * scale)) for side in (width, height)]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    red, green, blue = (small[..., c] for c in range(3))
    found = {}
    for name, plane in (("red", red), ("green", green), ("blue", blue)):
        found |= {f"{name}, mean": plane.mean(), f"{name}, contrast": plane.std()}
    for name, plane in (
        ("red minus green", red - green),
        ("blue minus yellow", blue - (red + green) / 2),
        ("saturation", small.max(axis=2) - small.min(axis=2)),
    ):
        found[f"{name}, contrast"] = plane.std()
        for share, level in zip(TAILS, _quantiles(plane, TAILS)):
            found[f"{name} at {percent(share)}"] = level
        found[f"{name} at 50 %"] = _quantiles(plane, (0.5,))[0]
    return found


def _quantiles(values: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Values themselves, none between two: the nearest at each share."""
    places = np.rint(np.array(shares) * (values.size - 1)).astype(np.intp)
    return np.partition(values.ravel(), places)[places].tolist()
