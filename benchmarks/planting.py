"""Plants copies and hard negatives whose truth is known.

Knows nothing of the code that looks for them, and that code reads nothing here.
Every kind is a function `(pixels, rng) -> pixels` on uint8 images of shape
`(height, width)` or `(height, width, 3)`; `file` writes what it gives.
"""

import cv2
import numpy as np


def pixel(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same pixels, to be written in another file format."""
    return pixels.copy()


def brightness(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to 20 % brighter or darker; what passes white is lost."""
    return _to_uint8(pixels * rng.uniform(0.8, 1.2))


def gamma(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A gamma of .7 to 1.4."""
    return _to_uint8(255 * (pixels / 255) ** rng.uniform(0.7, 1.4))


def noise(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of standard deviation up to 5 levels."""
    return _to_uint8(pixels + rng.normal(0, rng.uniform(0.5, 5), pixels.shape))


def shift(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Moved by up to 5 px each way, half of them by fractions of a pixel."""
    offset = rng.uniform(-5, 5, 2)
    if rng.random() < 0.5:
        offset = np.rint(offset)
    return _warp(pixels, np.column_stack([np.eye(2), offset]), rng)


def rotation(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turned about its middle by up to 3 degrees."""
    height, width = pixels.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    return _warp(pixels, cv2.getRotationMatrix2D(middle, rng.uniform(-3, 3), 1), rng)


def turn(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the seven flips and quarter turns."""
    which = int(rng.integers(1, 8))
    turned = np.rot90(pixels, which % 4)
    return np.ascontiguousarray(turned[:, ::-1] if which >= 4 else turned)


def crop(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A twentieth of each side cut off and enlarged to the size it had."""
    height, width = pixels.shape[:2]
    cut = crop_only(pixels, rng)
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR)


def crop_only(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A twentieth of each side cut off."""
    height, width = pixels.shape[:2]
    less_y, less_x = round(height * 0.05), round(width * 0.05)
    top, left = rng.integers(0, less_y + 1), rng.integers(0, less_x + 1)
    return pixels[top : top + height - less_y, left : left + width - less_x].copy()


def _rim(fill):
    """As image tools move a picture: by 5 px, or by 3 degrees, and a rim comes in."""

    def moved(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = pixels.shape[:2]
        if rng.random() < 0.5:
            offset = rng.choice([(-5, 0), (5, 0), (0, -5), (0, 5), (-5, 5), (5, 5)])
            motion = np.column_stack([np.eye(2), offset])
        else:
            middle = ((width - 1) / 2, (height - 1) / 2)
            motion = cv2.getRotationMatrix2D(middle, rng.choice([-3, 3]), 1)
        border, level = fill
        return cv2.warpAffine(
            pixels,
            motion,
            (width, height),
            flags=cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC,
            borderMode=border,
            borderValue=(level,) * 3,
        )

    return moved


SAME_PHOTOGRAPH = {
    "pixel": pixel,
    "jpeg": pixel,
    "brightness": brightness,
    "gamma": gamma,
    "noise": noise,
}
MOVED = {
    "shift": shift,
    "rotation": rotation,
    "turn": turn,
    "crop": crop,
    "crop_only": crop_only,
}


def scratch(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another part: a thin bright line of 12 to 40 px, 15 to 60 levels above."""
    start = _somewhere(pixels, rng)
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(12, 40)
    end = start + length * np.array([np.cos(angle), np.sin(angle)])
    mask = np.zeros(pixels.shape[:2], np.uint8)
    points = [tuple(int(v) for v in point) for point in (start, end)]
    cv2.line(mask, *points, 255, int(rng.integers(1, 3)))
    return _lighten(pixels, mask, rng)


def speck(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another part: a grain of dirt of 3 to 8 px, 15 to 60 levels above."""
    mask = np.zeros(pixels.shape[:2], np.uint8)
    axes = tuple(int(v) for v in np.add(rng.integers(1, 5, 2), (1, 0)))
    centre = tuple(int(v) for v in _somewhere(pixels, rng))
    cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1)
    return _lighten(pixels, mask, rng)


RIMS = {
    "black_rim": _rim((cv2.BORDER_CONSTANT, 0)),
    "grey_rim": _rim((cv2.BORDER_CONSTANT, 128)),
    "white_rim": _rim((cv2.BORDER_CONSTANT, 255)),
    "edge_rim": _rim((cv2.BORDER_REPLICATE, 0)),
    "mirror_rim": _rim((cv2.BORDER_REFLECT, 0)),
}


DEFECTS = {"scratch": scratch, "speck": speck}


def file(kind: str, pixels: np.ndarray, rng: np.random.Generator) -> tuple[str, bytes]:
    """The ending and the bytes of a planted file: PNG, but for two kinds.

    `byte` is a BMP as a camera writes it; `jpeg` has a quality of 50 to 95.
    """
    plant = {**SAME_PHOTOGRAPH, **MOVED, **RIMS, **DEFECTS}.get(kind, pixel)
    pixels = plant(pixels, rng)
    if kind == "jpeg":
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))]
        return "jpg", cv2.imencode(".jpg", pixels, quality)[1].tobytes()
    ending = "bmp" if kind == "byte" else "png"
    return ending, cv2.imencode(f".{ending}", pixels)[1].tobytes()


def _lighten(pixels, mask, rng):
    mask = cv2.GaussianBlur(mask, (0, 0), 0.7) / 255
    if pixels.ndim == 3:
        mask = mask[:, :, None]
    # A defect on white metal is a dark one, or nobody could see it.
    sign = np.where(pixels < 190, 1, -1)
    return _to_uint8(pixels + sign * mask * rng.uniform(15, 60))


def _somewhere(pixels, rng):
    height, width = pixels.shape[:2]
    return rng.uniform(0.15, 0.85, 2) * (width, height)


def _warp(pixels, matrix, rng):
    height, width = pixels.shape[:2]
    border = [cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT, cv2.BORDER_CONSTANT]
    return cv2.warpAffine(
        pixels,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC,
        borderMode=border[rng.integers(3)],
    )


def _to_uint8(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
