"""Small pictures inside a report: one image, or what differs between two."""

import pathlib

import cv2
import numpy as np
from PIL import Image, ImageDraw

from nexperia_tf.data import images, manifest, pages
from nexperia_tf.data.raw import file_names

SIDE = 150  # pixels of the longer side
_QUALITY = 80  # of the JPEG
_GAIN = 3.0  # of a difference, so that noise stays dark and a scratch shows
_BOX = (255, 140, 0)


def thumbnail(raw: pathlib.Path, row: manifest.Row, **options) -> str:
    """A data URI of the image with its boxes, empty when it cannot be read.

    Args:
        raw: folder that the row's path starts from.
        row: of the manifest.
        options: of `images.load`: the depth range, the most pixels.
    """
    try:
        image = Image.fromarray(_pixels(raw, row, options))
    except (OSError, images.UnreadableImage, images.UnsupportedImage):
        return ""
    scale = SIDE / max(image.size)
    image = _resized(image, scale).convert("RGB")
    draw = ImageDraw.Draw(image)
    for x1, y1, x2, y2 in row.boxes:
        corners = [value * scale for value in (x1, y1, x2, y2)]
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            draw.rectangle(corners, outline=_BOX)
    return pages.data_uri(image, quality=_QUALITY)


def difference(raw: pathlib.Path, a: manifest.Row, b: manifest.Row, **options) -> str:
    """A data URI of |a - b|, with b aligned with a and brought to its brightness.

    Arguments are those of `thumbnail`.
    """
    try:
        pixels_a, pixels_b = (_pixels(raw, row, options) for row in (a, b))
    except (OSError, images.UnreadableImage, images.UnsupportedImage):
        return ""
    first = Image.fromarray(images.grey(pixels_a))
    first = _resized(first, SIDE / max(first.size))
    fixed = np.asarray(first, np.float32)
    level = np.abs(_standard(fixed) - _standard(_aligned(fixed, images.grey(pixels_b))))
    level *= _GAIN * max(float(fixed.std()), 1.0)
    shown = Image.fromarray(level.clip(0, 255).astype(np.uint8))
    return pages.data_uri(shown, quality=_QUALITY)


def _pixels(raw: pathlib.Path, row: manifest.Row, options: dict) -> np.ndarray:
    content = file_names.on_disk(raw, row.path).read_bytes()
    return images.load(content, **options).pixels


def _aligned(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """`moving` flipped, turned and moved for the best match with `fixed`."""
    height, width = fixed.shape
    best, aligned = -1.0, None
    for turn in range(8):
        turned = np.rot90(moving, turn % 4)
        turned = turned[:, ::-1] if turn >= 4 else turned
        turned = np.asarray(Image.fromarray(turned).resize((width, height)), np.float32)
        aligned = turned if aligned is None else aligned
        try:
            match, motion = cv2.findTransformECC(
                fixed, turned, np.eye(2, 3, dtype=np.float32), cv2.MOTION_EUCLIDEAN
            )
        except cv2.error:  # no motion was found from here
            continue
        if match > best:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            border = cv2.BORDER_REPLICATE
            best, aligned = (
                match,
                cv2.warpAffine(
                    turned, motion, (width, height), flags=flags, borderMode=border
                ),
            )
    return aligned


def _standard(pixels: np.ndarray) -> np.ndarray:
    return (pixels - pixels.mean()) / max(float(pixels.std()), 1.0)


def _resized(image: Image.Image, scale: float) -> Image.Image:
    size = [max(1, round(side * scale)) for side in image.size]
    return image.resize(size, Image.Resampling.BILINEAR)
