"""BMP pictures read where they lie: rows of plain numbers need no decoder."""

import dataclasses
import struct

import numpy as np

MAGIC = b"BM"
_GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3, axis=1)


class NotPlain(ValueError):
    """No uncompressed 8-bit grey or RGB; says what it is instead."""


@dataclasses.dataclass(frozen=True)
class Header:
    """Where the rows of a plain BMP start and what they hold; sides in pixels."""

    start: int
    width: int
    height: int
    channels: int
    upwards: bool

    @property
    def stride(self) -> int:
        """Bytes from one row to the next: rows fill up to whole groups of four."""
        return (self.width * self.channels + 3) // 4 * 4

    @property
    def end(self) -> int:
        """Where the last row ends."""
        return self.start + self.stride * self.height


def header(content: bytes) -> Header:
    """The header of a BMP file.

    Raises:
        NotPlain: its pixels are of another kind.
        struct.error: the file ends before its header does.
    """
    start, size, width, height, _, bits, compression = struct.unpack_from(
        "<IIiiHHI", content, 10
    )
    if size < 40:
        raise NotPlain("BMP with an OS/2 header")
    if bits not in (8, 24):
        raise NotPlain(f"BMP with {bits} bits per pixel")
    if compression != 0:
        raise NotPlain("compressed BMP")
    if bits == 8 and not _is_grey(content[14 + size : start]):
        raise NotPlain("BMP with a palette other than plain grey")
    # Rows that start within the header are rows that are missing.
    start = start if start >= 14 + size else len(content)
    return Header(start, width, abs(height), bits // 8, upwards=height > 0)


def rows(content: bytes, header: Header) -> np.ndarray:
    """The pixels, upright, as a read-only view of the file's bytes.

    Returns:
        uint8 array of shape `(height, width)` for grey, else `(height, width, 3)`.

    Raises:
        ValueError: the file ends before its rows do.
    """
    size = header.end - header.start
    if not 0 < size <= len(content) - header.start:
        raise ValueError("pixel rows are missing")
    pixels = np.frombuffer(content, np.uint8, size, header.start)
    pixels = pixels.reshape(header.height, header.stride)
    pixels = pixels[:, : header.width * header.channels]
    if header.upwards:
        pixels = pixels[::-1]
    if header.channels == 3:
        return pixels.reshape(header.height, header.width, 3)[..., ::-1]
    return pixels


def _is_grey(palette: bytes) -> bool:
    levels = np.frombuffer(palette, np.uint8, len(palette) // 4 * 4).reshape(-1, 4)
    levels = levels[:256, :3]
    return np.array_equal(levels, _GREYS[: len(levels)])
