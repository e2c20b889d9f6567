"""Image bytes to pixels for the tools that must not import TensorFlow.

`load` accepts exactly what `nexperia_tf.preprocess.decode` turns into the same pixels:
8-bit grey or RGB in BMP, JPEG or PNG. All else is refused in one line that says how to
convert. The format is told by the first bytes, never by the name's ending.
"""

import dataclasses
import hashlib
import io
import struct
import warnings

import numpy as np
from PIL import Image

from nexperia_tf import bmp

MAX_PIXELS = 64_000_000  # a header may promise more than memory holds: checked first

_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"RIFF": "WebP",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\x76\x2f\x31\x01": "EXR",
    b"P2": "PGM",
    b"P5": "PGM",
    b"P6": "PPM",
}
_CONVERT = "convert it to 8-bit grey or RGB in BMP, JPEG or PNG"


class UnreadableImage(Exception):
    """The file is damaged; the message says in one line what is wrong."""


class UnsupportedImage(Exception):
    """The file is whole but of another kind; the message says how to convert."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 array of shape `(height, width)` for grey, else `(.., .., 3)`.
        mode: `L` or `RGB`, as stored.
        format: `BMP`, `JPEG` or `PNG`, by the first bytes.
        width: columns in pixels.
        height: rows in pixels.
    """

    pixels: np.ndarray
    mode: str
    format: str
    width: int
    height: int


def load(content: bytes) -> Picture:
    """Decodes all of an image file's bytes.

    Raises:
        UnreadableImage: empty, truncated or otherwise damaged.
        UnsupportedImage: whole, but not 8-bit grey or RGB in BMP, JPEG or PNG, turned
            by an EXIF tag, or larger than `MAX_PIXELS`.
    """
    format = _format(content)
    try:
        pixels = _DECODERS[format](content)
    except (UnsupportedImage, UnreadableImage):
        raise
    except Exception as error:  # Pillow raises many kinds on damaged bytes
        raise UnreadableImage(f"damaged {format} file: {_one_line(error)}") from None
    height, width = pixels.shape[:2]
    mode = "L" if pixels.ndim == 2 else "RGB"
    return Picture(pixels, mode, format, width, height)


def pixel_hash(pixels: np.ndarray) -> str:
    """SHA-256 of the pixels alone, equal for equal pictures in any file format.

    Grey stored as RGB counts as the grey picture it shows.
    """
    if pixels.ndim == 3 and is_grey(pixels):
        pixels = pixels[..., 0]
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def grey(pixels: np.ndarray) -> np.ndarray:
    """uint8 luma of shape `(height, width)`, with the weights of ITU-R 601."""
    if pixels.ndim == 2:
        return pixels
    return np.asarray(Image.fromarray(pixels).convert("L"))


def is_grey(pixels: np.ndarray) -> bool:
    """Whether the three channels of an RGB picture are equal everywhere."""
    first = pixels[..., 0]
    return np.array_equal(first, pixels[..., 1]) and np.array_equal(
        first, pixels[..., 2]
    )


def _format(content: bytes) -> str:
    if not content:
        raise UnreadableImage("the file is empty")
    if content.startswith(bmp.MAGIC):
        return "BMP"
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    for magic, name in _OTHER_FORMATS.items():
        if content.startswith(magic):
            raise UnsupportedImage(f"{name} file; {_CONVERT}")
    raise UnreadableImage("the first bytes are those of no known image format")


def _bmp(content: bytes) -> np.ndarray:
    try:
        header = bmp.header(content)
    except bmp.NotPlain as error:
        raise UnsupportedImage(f"{error}; {_CONVERT}") from None
    _check_size(header.width, header.height)
    return np.ascontiguousarray(bmp.rows(content, header))


def _png(content: bytes) -> np.ndarray:
    width, height, bits, colour = struct.unpack_from(">IIBB", content, 16)
    kinds = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGBA"}
    if bits != 8 or colour not in (0, 2):
        kind = kinds.get(colour, "unknown colour type")
        raise UnsupportedImage(f"{bits}-bit {kind} PNG; {_CONVERT}")
    _check_size(width, height)
    if b"IEND\xaeB`\x82" not in content:
        raise UnreadableImage("truncated PNG file: its end chunk is missing")
    with _opened(content, "PNG") as image:
        image.verify()  # every chunk's checksum up to the end chunk; uses it up
    return _decoded(content, "PNG")


def _jpeg(content: bytes) -> np.ndarray:
    # Pillow reads on without the end marker, TensorFlow refuses. Neither marker can
    # stand inside the coded pixels, where 0xff is followed by 0.
    if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise UnreadableImage("truncated JPEG file: its end marker is missing")
    return _decoded(content, "JPEG")


_DECODERS = {"BMP": _bmp, "PNG": _png, "JPEG": _jpeg}


def _decoded(content: bytes, format: str) -> np.ndarray:
    with _opened(content, format) as image:
        _check_size(*image.size)
        if image.mode not in ("L", "RGB"):
            raise UnsupportedImage(f"{format} of mode {image.mode}; {_CONVERT}")
        if "transparency" in image.info:
            raise UnsupportedImage(f"{format} with transparency; {_CONVERT}")
        if getattr(image, "is_animated", False):
            raise UnsupportedImage(f"animated {format}; {_CONVERT}")
        if image.getexif().get(_ORIENTATION, 1) != 1:
            raise UnsupportedImage(
                "turned by an EXIF orientation tag; rotate the pixels, remove the tag"
            )
        return np.asarray(image)


def _opened(content: bytes, format: str) -> Image.Image:
    with warnings.catch_warnings():
        # Pillow warns of large headers; the cap below refuses them.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(io.BytesIO(content), formats=[format])
        except Image.DecompressionBombError:
            raise UnsupportedImage(_too_large("more than 178 million")) from None


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"the header promises {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise UnsupportedImage(_too_large(f"{width} x {height}"))


def _too_large(size: str) -> str:
    return f"{size} pixels are above the cap of {MAX_PIXELS:,}; scale it down"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
