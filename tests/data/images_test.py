import contextlib
import io
import struct
import zlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from PIL import Image

from nexperia_tf.data import images


def _pixels(channels: int = 1, height: int = 13, width: int = 11) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def _encoded(image: np.ndarray | Image.Image, format: str, **options) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format", ["BMP", "PNG", "JPEG"])
def test_pixels_equal_those_of_the_one_decoder(format, channels):
    from nexperia_tf import preprocess

    content = _encoded(_pixels(channels), format)
    picture = images.load(content)
    decoded = preprocess.decode(content, channels).numpy()
    np.testing.assert_array_equal(picture.pixels, decoded.squeeze())
    assert (picture.format, picture.mode) == (format, "L" if channels == 1 else "RGB")
    assert (picture.width, picture.height) == (11, 13)


def test_a_bmp_stored_from_the_top_row_down_is_read_upright():
    content = bytearray(_encoded(_pixels(), "BMP"))
    upright = images.load(bytes(content)).pixels
    struct.pack_into("<i", content, 22, -13)
    np.testing.assert_array_equal(images.load(bytes(content)).pixels, upright[::-1])


@pytest.mark.parametrize("format", ["BMP", "PNG", "JPEG"])
def test_every_truncation_is_unreadable(format):
    content = _encoded(_pixels(), format)
    for length in range(len(content)):
        with pytest.raises(images.UnreadableImage):
            images.load(content[:length])


@hypothesis.given(
    head=strategies.sampled_from(
        [b"", b"BM", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"P5"]
    ),
    tail=strategies.binary(max_size=200),
)
def test_random_bytes_give_one_of_two_errors(head, tail):
    with pytest.raises((images.UnreadableImage, images.UnsupportedImage)) as error:
        images.load(head + tail)
    assert "\n" not in str(error.value) and str(error.value)


@hypothesis.given(
    place=strategies.integers(0, 10_000), value=strategies.integers(0, 255)
)
def test_one_changed_byte_never_escapes_as_another_error(place, value):
    for format in ("BMP", "PNG", "JPEG"):
        content = bytearray(_encoded(_pixels(), format))
        content[place % len(content)] = value
        with contextlib.suppress(images.UnreadableImage, images.UnsupportedImage):
            images.load(bytes(content))


def _palette_bmp() -> bytes:
    content = bytearray(_encoded(_pixels(), "BMP"))
    content[54 : 54 + 1024] = content[54 : 54 + 1024][::-1]  # inverted grey
    return bytes(content)


def _turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded(_pixels(3), "JPEG", exif=exif)


_GREY = Image.fromarray(_pixels())
_COLOUR = Image.fromarray(_pixels(3))
UNSUPPORTED = {
    "inverted palette": _palette_bmp(),
    "colour palette BMP": _encoded(_COLOUR.quantize(16), "BMP"),
    "1-bit BMP": _encoded(_GREY.convert("1"), "BMP"),
    "32-bit BMP": _encoded(_COLOUR.convert("RGBA"), "BMP"),
    "16-bit PNG": _encoded(_pixels().astype(np.uint16) * 257, "PNG"),
    "1-bit PNG": _encoded(_GREY.convert("1"), "PNG"),
    "palette PNG": _encoded(_COLOUR.quantize(16), "PNG"),
    "PNG with alpha": _encoded(_COLOUR.convert("RGBA"), "PNG"),
    "PNG with a transparent colour": _encoded(_GREY, "PNG", transparency=3),
    "CMYK JPEG": _encoded(_COLOUR.convert("CMYK"), "JPEG"),
    "turned JPEG": _turned_jpeg(),
    "GIF": _encoded(_GREY, "GIF"),
    "TIFF": _encoded(_GREY, "TIFF"),
    "WebP": _encoded(_COLOUR, "WEBP"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_other_kinds_are_refused_with_the_way_out(kind):
    with pytest.raises(images.UnsupportedImage, match="convert|rotate"):
        images.load(UNSUPPORTED[kind])


def _png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


def test_a_header_that_promises_too_much_is_refused_before_decoding():
    bmp = bytearray(_encoded(_pixels(), "BMP"))
    struct.pack_into("<ii", bmp, 18, 60_000, 60_000)
    jpeg = bytearray(_encoded(_pixels(), "JPEG"))
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, 60_000, 60_000)
    for content in (bytes(bmp), bytes(jpeg), _png_header(60_000, 60_000)):
        with pytest.raises(images.UnsupportedImage, match="cap of 64,000,000"):
            images.load(content)


def test_the_pixel_hash_is_the_same_in_every_lossless_file():
    grey = _pixels()
    same = [
        _encoded(grey, "BMP"),
        _encoded(grey, "PNG"),
        _encoded(np.stack([grey] * 3, axis=-1), "PNG"),
    ]
    hashes = {images.pixel_hash(images.load(content).pixels) for content in same}
    assert len(hashes) == 1
    changed = grey.copy()
    changed[5, 5] ^= 1
    assert images.pixel_hash(changed) not in hashes
    assert images.pixel_hash(grey.reshape(11, 13)) not in hashes
