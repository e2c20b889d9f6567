"""What is measured of one file: its hashes, its size, its look, its signature."""

import dataclasses
import hashlib
from collections.abc import Sequence

import cv2
import numpy as np
import PIL

from nexperia_tf.data import dedupe, images, manifest

THUMBNAIL = 32  # pixels a side, for the product's template

# Measures of other code or other decoders are not these measures.
VERSION = f"1-{dedupe.SIGNATURE_VERSION}-{PIL.__version__}-{cv2.__version__}"


@dataclasses.dataclass(frozen=True, slots=True)
class Measures:
    """What one file's bytes say.

    Attributes:
        problem: `unreadable` or `unsupported`, or empty.
        message: the problem in one line, with its remedy.
        signature: what `dedupe` compares.
        thumbnail: uint8 luma of `THUMBNAIL` x `THUMBNAIL` pixels.
    """

    sha256: str = ""
    problem: str = ""
    message: str = ""
    pixel_sha256: str = ""
    width: int | None = None
    height: int | None = None
    mode: str = ""
    format: str = ""
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    signature: bytes = b""
    thumbnail: bytes = b""


def measure(content: bytes, *, sha256: str | None = None) -> Measures:
    """Measures of one file; a damaged or foreign one has a problem, never raises."""
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    try:
        picture = images.load(content)
    except images.UnreadableImage as error:
        return Measures(sha256, "unreadable", str(error))
    except images.UnsupportedImage as error:
        return Measures(sha256, "unsupported", str(error))
    grey = images.grey(picture.pixels)
    mean, deviation = cv2.meanStdDev(grey)
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return Measures(
        sha256=sha256,
        pixel_sha256=images.pixel_hash(picture.pixels),
        width=picture.width,
        height=picture.height,
        mode=picture.mode,
        format=picture.format,
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        sharpness=float(edges[0, 0]) ** 2,
        signature=dedupe.signature(picture.pixels),
        thumbnail=small.tobytes(),
    )


def fill(row: manifest.Row, measures: Measures) -> None:
    """Copies measures into the columns of the manifest."""
    for name in _COLUMNS:
        setattr(row, name, getattr(measures, name))
    row.dropped_because = measures.problem
    if measures.signature:
        row.phash = dedupe.phash(measures.signature)


_COLUMNS = tuple(
    field.name
    for field in dataclasses.fields(Measures)
    if field.name in manifest.COLUMNS
)


def thumbnails(measures: Sequence[Measures]) -> np.ndarray:
    """uint8 array of shape `(n, THUMBNAIL, THUMBNAIL)`."""
    joined = np.frombuffer(b"".join(m.thumbnail for m in measures), np.uint8)
    return joined.reshape(-1, THUMBNAIL, THUMBNAIL)
