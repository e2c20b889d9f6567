"""What is measured of one file: its hashes, its size, its look, its signature."""

import dataclasses
import hashlib

import cv2
import imagehash
import PIL

from nexperia_tf.data import images, manifest
from nexperia_tf.data.measure import signature

# Measures of other code or other libraries are not these measures.
_LIBRARIES = f"{PIL.__version__}-{cv2.__version__}-{imagehash.__version__}"
VERSION = f"4-{signature.VERSION}-{_LIBRARIES}"

_UNITS = {8: 1, 16: 257}  # steps of a stored value to one of 256
_EDGES = {8: cv2.CV_16S, 16: cv2.CV_32F}


@dataclasses.dataclass(frozen=True, slots=True)
class Measures:
    """What one file's bytes say.

    Attributes:
        problem: `unreadable` or `unsupported`, or empty.
        message: the problem in one line, with its remedy.
        pixel_sha256: of the stored values, so of all bits.
        brightness: as contrast and sharpness of values between 0 and 255.
        depth: bits of a stored value, 8 or 16.
        converted: what has to be converted before training, as of `images.Picture`.
        signature: what `duplicates.search` compares.
    """

    sha256: str = ""
    problem: str = ""
    message: str = ""
    pixel_sha256: str = ""
    width: int | None = None
    height: int | None = None
    mode: str = ""
    format: str = ""
    phash: str = ""
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    depth: int = 8
    converted: str = ""
    signature: bytes = b""


def measure(
    content: bytes, *, sha256: str | None = None, max_pixels: int = images.MAX_PIXELS
) -> Measures:
    """Measures of one file; a damaged or foreign one has a problem, never raises."""
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    try:
        picture = images.load(content, max_pixels=max_pixels)
    except images.UnreadableImage as error:
        return Measures(sha256, "unreadable", str(error))
    except images.UnsupportedImage as error:
        return Measures(sha256, "unsupported", str(error))
    grey = images.grey(picture.native)
    unit = _UNITS[picture.depth]
    mean, deviation = cv2.meanStdDev(grey)
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, _EDGES[picture.depth]))
    return Measures(
        sha256=sha256,
        pixel_sha256=images.pixel_hash(picture.native),
        width=picture.width,
        height=picture.height,
        mode=picture.mode,
        format=picture.format,
        phash=signature.phash(picture.pixels),
        brightness=float(mean[0, 0]) / unit,
        contrast=float(deviation[0, 0]) / unit,
        sharpness=(float(edges[0, 0]) / unit) ** 2,
        depth=picture.depth,
        converted=picture.converted,
        signature=signature.signature(picture.pixels),
    )


def fill(row: manifest.Row, measures: Measures) -> None:
    """Copies measures into the columns of the manifest."""
    for name in _COLUMNS:
        setattr(row, name, getattr(measures, name))
    row.dropped_because = measures.problem


_COLUMNS = tuple(
    field.name
    for field in dataclasses.fields(Measures)
    if field.name in manifest.COLUMNS
)
