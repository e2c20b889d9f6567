"""Image bytes to pixels, by one rule for every command, without TensorFlow.

What is read: BMP, JPEG (also MPO), PNG, TIFF of one page, WebP and GIF, told by the
first bytes, never by the name's ending. What it becomes: 8-bit grey or RGB, upright.

- A picture is turned as its EXIF tag says; boxes are in pixels of the turned picture.
- Transparent parts are laid over black, which letterboxing puts around a picture, too.
- A palette, one bit, CMYK or alpha become grey where all their channels are equal.
- 16 bits become 8 by a range: `LOW` and below is 0, `HIGH` and above 255.

Pictures of other formats, animations, several pages and more pixels than the cap are
refused in one line that says how to convert.
"""

import dataclasses
import hashlib
import io
import struct
import warnings
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from nexperia_tf import bmp
from nexperia_tf.data import limits, plain

MAX_SIDE = 1_000_000  # what PNG's decoders take
MAX_PIXELS = limits.MAX_PIXELS
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
OWN_RANGE = (0.1, 99.9)  # percentiles over which a 16-bit picture is stretched to see

_ORIENTATION = 0x0112  # the EXIF tag
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 0x0102, 0x0106, 0x0153  # tags of a TIFF
_DEEP_KINDS = (0, 1, 2)  # grey from white, grey from black, RGB
_FORMATS = {
    b"BM": "BMP",
    b"\xff\xd8\xff": "JPEG",
    plain.PNG_MAGIC: "PNG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"GIF8": "GIF",
}
_REFUSED = {
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"\x76\x2f\x31\x01": "EXR",
    b"P2": "PGM",
    b"P5": "PGM",
    b"P6": "PPM",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"\x1a\x45\xdf\xa3": "video (Matroska)",
    b"\0\0\x01\xba": "video (MPEG)",
}
_BRANDS = {  # behind "ftyp"
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
}
# Pillow warns of large headers, which the cap refuses, and of odd tags. Said once:
# pictures are decoded in threads, and `warnings.catch_warnings` is for one alone.
warnings.filterwarnings("ignore", module=r"PIL\.")

_CONVERT = "convert it to 8-bit grey or RGB in BMP, JPEG or PNG"
_ONE_PICTURE = "keep one picture of it, in BMP, JPEG or PNG"


class UnreadableImage(Exception):
    """The file is damaged; the message says in one line what is wrong."""


class UnsupportedImage(Exception):
    """The file is whole but of another kind; the message says how to convert."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 array of shape `(height, width)` for grey, else `(.., .., 3)`.
        mode: `L` or `RGB`, as `pixels` are.
        format: `BMP`, `JPEG`, `MPO`, `PNG`, `TIFF`, `WEBP` or `GIF`, by its bytes.
        width: columns in pixels.
        height: rows in pixels.
        native: the stored values, uint16 where there are 16 bits, else `pixels`.
        converted: what had to be converted, such as `alpha PNG`; empty for 8-bit grey
            or RGB in BMP, JPEG or PNG.
    """

    pixels: np.ndarray
    mode: str
    format: str
    width: int
    height: int
    native: np.ndarray
    converted: str = ""

    @property
    def depth(self) -> int:
        """Bits of a stored value: 8, or 16 for all that has more."""
        return 8 * self.native.itemsize


def load(
    content: bytes,
    depth_range: tuple[float, float] | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> Picture:
    """Decodes all of an image file's bytes.

    Args:
        content: the file.
        depth_range: values that become 0 and 255 where 16 bits are stored. By default
            such a picture is stretched over its own values, which is for looking only.
        max_pixels: the most that are decoded.

    Raises:
        UnreadableImage: empty, truncated or otherwise damaged.
        UnsupportedImage: whole, but of a kind that is not read, or too large.
    """
    format = _format(content)
    try:
        decode = _DECODERS.get(format, _other)
        native, format, converted = decode(content, format, max_pixels)
        if native.dtype == np.uint16:
            pixels = to_8_bits(native, depth_range or own_range(native))
        else:
            pixels = native
    except (UnsupportedImage, UnreadableImage, Warning):  # one made an error: not ours
        raise
    except Exception as error:  # Pillow raises many kinds on damaged bytes
        raise UnreadableImage(f"damaged {format} file: {_one_line(error)}") from None
    height, width = pixels.shape[:2]
    mode = "L" if pixels.ndim == 2 else "RGB"
    return Picture(pixels, mode, format, width, height, native, converted)


def canonical(
    content: bytes,
    depth_range: tuple[float, float] | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> bytes:
    """The bytes that stand for a picture in records: its own, or a PNG of its pixels.

    Its own, up to the picture's end, where TensorFlow decodes them to the pixels that
    `load` gives; the PNG holds exactly these pixels.

    Raises:
        UnreadableImage, UnsupportedImage: as `load`.
    """
    picture = load(content, depth_range, max_pixels=max_pixels)
    own = plain.without_trailer(content)
    if not picture.converted and plain.is_plain(own, picture.pixels):
        return own
    file = io.BytesIO()
    Image.fromarray(picture.pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def turn_of(content: bytes) -> tuple[int, bool]:
    """How a picture is turned on reading, from its header alone.

    Returns:
        The EXIF orientation, 1 where it is not turned, and whether it is upright when
        it is higher than wide.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            turn, (width, height) = image.getexif().get(_ORIENTATION, 1), image.size
            sides_are_stored = image.format != "TIFF"  # Pillow's of a TIFF are upright
    except Exception:  # Pillow raises many kinds on damaged bytes
        return 1, False
    if sides_are_stored and turn in SIDEWAYS:
        width, height = height, width
    return (turn if turn in _TURNS else 1), height > width


def turned(values: np.ndarray, turn: int) -> np.ndarray:
    """`(height, width, ...)` as an EXIF orientation shows it.

    >>> turned(np.array([[1, 2, 3]]), 6).tolist(), turned(np.array([[1]]), 1).tolist()
    ([[1], [2], [3]], [[1]])
    """
    return _TURNS[turn](values) if turn in _TURNS else values


def to_8_bits(native: np.ndarray, depth_range: tuple[float, float]) -> np.ndarray:
    """uint16 values as uint8: the range's ends become 0 and 255, beyond is cut off."""
    low, high = depth_range
    scaled = (np.arange(1 << 16) - low) * (255 / max(high - low, 1e-9))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)[native]


def own_range(native: np.ndarray) -> tuple[float, float]:
    """The range that shows most of one 16-bit picture."""
    low, high = np.percentile(native, OWN_RANGE)
    return float(low), float(max(high, low + 1))


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
    """Luma of shape `(height, width)`, of the same type, by ITU-R 601's weights."""
    if pixels.ndim == 2:
        return pixels
    if pixels.dtype == np.uint16:
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
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
    for magic, name in _FORMATS.items():
        if content.startswith(magic):
            return name
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    if refused := _refused(content):
        raise UnsupportedImage(f"{refused} file; {_CONVERT}")
    raise UnreadableImage("the first bytes are those of no known image format")


def is_known(start: bytes) -> bool:
    """Whether a file's first bytes are those of a format that is read, or named."""
    try:
        return bool(_format(start))
    except UnsupportedImage:
        return True
    except UnreadableImage:
        return False


def _refused(content: bytes) -> str:
    """The name of a format that is known and not read, or empty."""
    if content[4:8] == b"ftyp":
        return _BRANDS.get(content[8:12], "video (MP4)")
    if content.startswith(b"RIFF"):
        return "video (AVI)" if content[8:12] == b"AVI " else "RIFF"
    return next((n for magic, n in _REFUSED.items() if content.startswith(magic)), "")


# What a decoder gives: the upright values, the format and what was converted.
_Decoded = tuple[np.ndarray, str, str]


def _bmp(content: bytes, format: str, max_pixels: int) -> _Decoded:
    try:
        header = bmp.header(content)
    except bmp.NotPlain as error:
        values, format, turned = _other(content, format, max_pixels)
        return _grey_if_equal(values), format, turned or str(error)
    _check_size(header.width, header.height, max_pixels)
    return np.ascontiguousarray(bmp.rows(content, header)), format, ""


def _png(content: bytes, format: str, max_pixels: int) -> _Decoded:
    _check_size(*struct.unpack_from(">II", content, 16), max_pixels)
    if b"IEND\xaeB`\x82" not in content:
        raise UnreadableImage("truncated PNG file: its end chunk is missing")
    with _opened(content, format, max_pixels) as image:
        image.verify()  # every chunk's checksum up to the end chunk; uses it up
    return _other(content, format, max_pixels)


def _jpeg(content: bytes, format: str, max_pixels: int) -> _Decoded:
    # Pillow reads on without the end marker, others refuse.
    if plain.jpeg_end(content) is None:
        raise UnreadableImage("truncated JPEG file: its end marker is missing")
    return _other(content, format, max_pixels)


def _other(content: bytes, format: str, max_pixels: int) -> _Decoded:
    """What Pillow reads, and by OpenCV what has 16 bits."""
    with _opened(content, format, max_pixels) as image:
        format = image.format
        _check_single(image)
        stored = _stored(content, image)
        if stored == "16-bit":
            values = _deep(content, image)
            turn = image.getexif().get(_ORIENTATION, 1) if format == "PNG" else 1
        else:
            _check_whole(image)
            image.load()  # turns a TIFF
            turn = image.getexif().get(_ORIENTATION, 1)
            values = np.asarray(_in_8_bits(image))
    if stored:
        values = _grey_if_equal(values)
    if turn in _TURNS:
        values, stored = turned(values, turn), f"{stored} turned".strip()
    if stored or format not in ("BMP", "JPEG", "MPO", "PNG"):
        stored = f"{stored} {format}".strip()
    return np.ascontiguousarray(values), format, stored


def _check_single(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    # The further pictures of an MPO are other views of its first one.
    if frames == 1 or image.format == "MPO":
        return
    if image.format == "TIFF":
        raise UnsupportedImage(f"TIFF of {frames} pages; {_ONE_PICTURE}")
    raise UnsupportedImage(f"animated {image.format}; {_ONE_PICTURE}")


_DECODERS: dict[str, Callable[[bytes, str, int], _Decoded]] = {
    "BMP": _bmp,
    "PNG": _png,
    "JPEG": _jpeg,
}
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
_MODES = {
    "L": "",
    "RGB": "",
    "1": "1-bit",
    "P": "palette",
    "PA": "palette",
    "LA": "alpha",
    "RGBA": "alpha",
    "RGBX": "32-bit",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
}


def _check_whole(image: Image.Image) -> None:
    """Pillow leaves black what no strip of a TIFF covers."""
    areas = ((x2 - x1) * (y2 - y1) for _, (x1, y1, x2, y2), *_ in image.tile)
    if image.format == "TIFF" and sum(areas) < image.width * image.height:
        raise UnreadableImage("damaged TIFF file: its strips do not cover it")


def _stored(content: bytes, image: Image.Image) -> str:
    """What is stored, in words that begin a kind of file; empty for plain 8 bits."""
    if image.format == "PNG" and content[24] == 16:
        return "16-bit"
    if image.format == "TIFF" and _tiff_bits(image) > 8:
        return "16-bit"
    if image.mode not in _MODES:
        raise UnsupportedImage(f"{image.format} of mode {image.mode}; {_CONVERT}")
    return _MODES[image.mode] or ("alpha" if "transparency" in image.info else "")


def _tiff_bits(image: Image.Image) -> int:
    tags = image.tag_v2
    bits = max(tags.get(_BITS, (1,)))
    if bits <= 8:
        return bits
    is_number = set(tags.get(_SAMPLE_FORMAT, (1,))) == {1}
    kind = tags.get(_PHOTOMETRIC)
    if bits > 16 or not is_number or kind not in _DEEP_KINDS:
        what = "whole numbers" if is_number else "signed numbers or fractions"
        raise UnsupportedImage(
            f"TIFF of {bits}-bit {what}, photometric interpretation {kind}; convert it "
            "to grey or RGB of 8 or 16 bits"
        )
    return bits


def _deep(content: bytes, image: Image.Image) -> np.ndarray:
    """uint16 values, grey or RGB, over black where transparent; a TIFF upright."""
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise UnreadableImage(f"damaged {image.format} file of 16 bits")
    if values.ndim == 3:
        alpha = values[..., 3:].astype(np.float64) / 65535
        values = values[..., 2::-1]
        if alpha.size:
            values = np.rint(values * alpha).astype(np.uint16)
    from_white = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0
    return 65535 - values if from_white else values


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Grey or RGB, over black where transparent."""
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _grey_if_equal(values: np.ndarray) -> np.ndarray:
    return values[..., 0] if values.ndim == 3 and is_grey(values) else values


def _opened(content: bytes, format: str, max_pixels: int) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=[format])
    except Image.DecompressionBombError:
        raise UnsupportedImage(
            _too_large("more than 178 million", max_pixels)
        ) from None
    _check_size(*image.size, max_pixels)
    return image


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise UnreadableImage(f"the header promises {width} x {height} pixels")
    if max(width, height) > MAX_SIDE:
        raise UnsupportedImage(f"a side of more than {MAX_SIDE:,} pixels; {_CONVERT}")
    if width * height > max_pixels:
        raise UnsupportedImage(_too_large(f"{width} x {height}", max_pixels))


def _too_large(size: str, max_pixels: int) -> str:
    return (
        f"{size} pixels are above the cap of {max_pixels:,}; scale it down, or raise "
        "the cap with --max-pixels"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
