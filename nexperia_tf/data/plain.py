"""Which files' own bytes can stand in records: those that every decoder reads alike.

TensorFlow, OpenCV and Pillow agree on a whole, ordinary 8-bit BMP, PNG or JPEG. On
others they do not: bytes after a BMP's last row, a checksum cut off, damage within a
JPEG, which one decoder refuses and the next fills in. Here only what is known to be
read alike passes; for all else records hold the pixels as a new PNG
(`images.canonical`). TensorFlow is not needed to tell.
"""

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from nexperia_tf import bmp

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
# Chunks that change no pixel in any decoder.
_HARMLESS = {b"pHYs", b"tEXt", b"tIME", b"gAMA", b"cHRM", b"sRGB"}
# In the coded data of a JPEG 0xff is followed by 0, a restart mark or another 0xff.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_END = 0xD9
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; Huffman codes
_OTHER_FRAMES = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ADOBE = 0xEE


def is_plain(content: bytes, pixels: np.ndarray) -> bool:
    """Whether TensorFlow's and OpenCV's decoders give `pixels` for these very bytes.

    Args:
        content: the file, of any format.
        pixels: uint8 array that `images.load` made of it.
    """
    if content.startswith(bmp.MAGIC):
        return _plain_bmp(content)
    if content.startswith(PNG_MAGIC):
        return _plain_png(content)
    if content.startswith(b"\xff\xd8\xff"):
        return _plain_jpeg(content, pixels)
    return False


def without_trailer(content: bytes) -> bytes:
    """The file up to its picture's end, where it is a BMP or a JPEG with more behind.

    Cameras and programs write padding, colour profiles and further pictures there.
    """
    stop = None
    if content.startswith(bmp.MAGIC):
        with contextlib.suppress(bmp.NotPlain, struct.error):
            stop = bmp.header(content).end
    elif content.startswith(b"\xff\xd8\xff"):
        stop = jpeg_end(content)
    return content if stop is None else content[:stop]


def _plain_bmp(content: bytes) -> bool:
    """No byte is missing, none is behind the last row, and all greys have a level."""
    try:
        header = bmp.header(content)
        size, planes = struct.unpack_from("<I8xH", content, 14)
    except (bmp.NotPlain, struct.error):
        return False
    palette = 1024 if header.channels == 1 else 0
    return (
        size in (40, 108, 124)
        and planes == 1
        and header.start == 14 + size + palette
        and len(content) == header.end
    )


def _plain_png(content: bytes) -> bool:
    """Whole chunks of known kinds, and exactly the rows that the header promises."""
    parts, kinds = [], []
    try:
        for kind, data in _chunks(content):
            kinds.append(kind)
            if kind == b"IDAT":
                parts.append(data)
            elif kind not in (b"IHDR", b"IEND", *_HARMLESS):
                return False
        width, height, *rest = struct.unpack(">IIBBBBB", content[16:29])
    except (struct.error, ValueError):
        return False
    first = kinds.index(b"IDAT") if parts else 0
    in_order = kinds[first : first + len(parts)] == [b"IDAT"] * len(parts)
    once = kinds[0] == b"IHDR" and kinds[-1] == b"IEND" and kinds.count(b"IHDR") == 1
    if not (parts and in_order and once and rest[0] == 8 and rest[1] in (0, 2)):
        return False
    row = 1 + width * (3 if rest[1] == 2 else 1)
    return not any(rest[2:]) and _holds_rows(b"".join(parts), height, row)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk; ValueError where a checksum or the end is wrong."""
    place, kind = len(PNG_MAGIC), b""
    while kind != b"IEND":
        size, kind = struct.unpack_from(">I4s", content, place)
        data = content[place + 8 : place + 8 + size]
        (check,) = struct.unpack_from(">I", content, place + 8 + size)
        if check != zlib.crc32(kind + data) or (kind == b"IHDR" and size != 13):
            raise ValueError("damaged chunk")
        yield kind, data
        place += 12 + size
    if place != len(content):
        raise ValueError("bytes behind the end")


def _holds_rows(deflated: bytes, height: int, row: int) -> bool:
    """Whether this inflates to so many rows, whole and with known filters."""
    inflate = zlib.decompressobj()
    try:
        rows = inflate.decompress(deflated, height * row + 1)
    except zlib.error:
        return False
    if len(rows) != height * row or not inflate.eof or inflate.unused_data:
        return False
    # The window may be smaller than is said, and some decoders trust what is said.
    filters = np.frombuffer(rows, np.uint8)[::row]
    return bool(filters.max() <= 4) and deflated[0] & 15 == 8


def _plain_jpeg(content: bytes, pixels: np.ndarray) -> bool:
    """An ordinary frame, nothing behind its end, and decoded without a warning."""
    import simplejpeg

    if not _ordinary_frame(content) or jpeg_end(content) != len(content):
        return False
    colorspace = "GRAY" if pixels.ndim == 2 else "RGB"
    try:
        decoded = simplejpeg.decode_jpeg(content, colorspace, strict=True)
    except ValueError:
        return False
    return np.array_equal(decoded.squeeze(-1) if pixels.ndim == 2 else decoded, pixels)


def _ordinary_frame(content: bytes) -> bool:
    frames = []
    for marker, data in segments(content):
        if marker in _OTHER_FRAMES:
            return False
        if marker == _ADOBE and data.startswith(b"Adobe") and data[11:12] != b"\x01":
            return False  # not luma and chroma
        if marker in _FRAMES:
            frames.append(data)
    if len(frames) != 1 or len(frames[0]) < 6 or frames[0][0] != 8:
        return False
    channels, ids = frames[0][5], frames[0][6::3]
    return (channels, ids) in ((1, ids[:1]), (3, b"\x01\x02\x03"), (3, b"\x00\x01\x02"))


def segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and data of each segment of a JPEG, up to the first that is damaged.

    The last one is (0xd9, b"") where the file has its end marker. What may stand behind
    it, such as the next picture of an MPO, is not looked at.
    """
    for marker, start, stop in _segments(content):
        yield marker, content[start:stop]


def jpeg_end(content: bytes) -> int | None:
    """The number of bytes up to the end marker of a JPEG; None where it has none."""
    last = None
    for marker, _, stop in _segments(content):
        last = stop if marker == _END else None
    return last


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    place = 2
    while found := _MARKER.search(content, place):
        marker, start = content[found.start() + 1], found.end()
        if marker == _END:
            yield marker, start, start
            return
        if marker == 1 or len(content) < start + 2:  # without data, or cut off
            place = start
            continue
        stop = start + int.from_bytes(content[start : start + 2])
        yield marker, start + 2, stop
        place = stop
