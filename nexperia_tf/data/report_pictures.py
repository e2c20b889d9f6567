"""Small pictures inside a report: one image, or what differs between two."""

import base64
import io
import pathlib

import numpy as np
from PIL import Image, ImageDraw

from nexperia_tf.data import images, manifest

SIDE = 150  # pixels of the longer side
_GAIN = 3.0  # of a difference, so that noise stays dark and a scratch shows
_BOX = (255, 140, 0)


def thumbnail(raw: pathlib.Path, row: manifest.Row) -> str:
    """A data URI of the image with its boxes, empty when it cannot be read."""
    try:
        image = Image.fromarray(images.load((raw / row.path).read_bytes()).pixels)
    except (OSError, images.UnreadableImage, images.UnsupportedImage):
        return ""
    scale = SIDE / max(image.size)
    image = _resized(image, scale).convert("RGB")
    draw = ImageDraw.Draw(image)
    for x1, y1, x2, y2 in row.boxes:
        corners = [value * scale for value in (x1, y1, x2, y2)]
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            draw.rectangle(corners, outline=_BOX)
    return _uri(image)


def difference(raw: pathlib.Path, a: manifest.Row, b: manifest.Row) -> str:
    """A data URI of |a - b| after both were brought to one brightness and contrast."""
    try:
        one, two = (images.load((raw / row.path).read_bytes()).pixels for row in (a, b))
    except (OSError, images.UnreadableImage, images.UnsupportedImage):
        return ""
    first = Image.fromarray(images.grey(one))
    second = Image.fromarray(images.grey(two)).resize(first.size)
    left, right = _standard(np.asarray(first)), _standard(np.asarray(second))
    level = np.abs(left - right) * _GAIN * max(float(np.std(first)), 1.0)
    image = Image.fromarray(level.clip(0, 255).astype(np.uint8))
    return _uri(_resized(image, SIDE / max(image.size)))


def _standard(pixels: np.ndarray) -> np.ndarray:
    return (pixels - pixels.mean()) / max(float(pixels.std()), 1.0)


def _resized(image: Image.Image, scale: float) -> Image.Image:
    size = [max(1, round(side * scale)) for side in image.size]
    return image.resize(size, Image.Resampling.BILINEAR)


def _uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
