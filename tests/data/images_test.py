import contextlib
import io
import struct
import zlib

import cv2
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
        [b"", b"BM", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"P5", b"II*\0"]
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
    levels = np.frombuffer(content, np.uint8, 1024, 54).reshape(256, 4)
    content[54 : 54 + 1024] = levels[::-1].tobytes()  # inverted grey
    return bytes(content)


def _turned(format: str, orientation: int, pixels: np.ndarray, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _encoded(pixels, format, exif=exif, **options)


def _animated(format: str) -> bytes:
    frames = [Image.fromarray(255 - _pixels(3))]
    return _encoded(_pixels(3), format, save_all=True, append_images=frames)


GREY, COLOUR = _pixels(), _pixels(3)
_GREY, _COLOUR = Image.fromarray(GREY), Image.fromarray(COLOUR)
_FEW = _COLOUR.quantize(16)
CONVERTED = {  # the file, what it shows, and what it is called
    "inverted palette": (
        _palette_bmp(),
        255 - GREY,
        "palette BMP",
    ),
    "colour palette BMP": (
        _encoded(_FEW, "BMP"),
        np.asarray(_FEW.convert("RGB")),
        "palette BMP",
    ),
    "1-bit BMP": (
        _encoded(_GREY.convert("1"), "BMP"),
        np.asarray(_GREY.convert("1").convert("L")),
        "1-bit BMP",
    ),
    "32-bit BMP": (
        _encoded(_COLOUR.convert("RGBA"), "BMP"),
        COLOUR,
        "BMP with 32 bits per pixel",
    ),
    "1-bit PNG": (
        _encoded(_GREY.convert("1"), "PNG"),
        np.asarray(_GREY.convert("1").convert("L")),
        "1-bit PNG",
    ),
    "palette PNG": (
        _encoded(_FEW, "PNG"),
        np.asarray(_FEW.convert("RGB")),
        "palette PNG",
    ),
    "PNG with alpha": (_encoded(_COLOUR.convert("RGBA"), "PNG"), COLOUR, "alpha PNG"),
    "grey PNG stored as RGBA": (
        _encoded(_GREY.convert("RGBA"), "PNG"),
        GREY,
        "alpha PNG",
    ),
    "PNG with a transparent level": (
        _encoded(_GREY, "PNG", transparency=int(GREY[0, 0])),
        np.where(GREY[0, 0] == GREY, 0, GREY),
        "alpha PNG",
    ),
    "CMYK JPEG": (
        _encoded(Image.new("CMYK", (11, 13), (0, 0, 0, 128)), "JPEG"),
        np.full((13, 11), 127),
        "CMYK JPEG",
    ),
    "GIF": (_encoded(_GREY, "GIF"), GREY, "palette GIF"),
    "TIFF": (_encoded(_GREY, "TIFF"), GREY, "TIFF"),
    "packed TIFF": (_encoded(_COLOUR, "TIFF", compression="tiff_lzw"), COLOUR, "TIFF"),
    "WebP": (_encoded(_COLOUR, "WEBP", lossless=True), COLOUR, "WEBP"),
}


@pytest.mark.parametrize("kind", CONVERTED)
def test_other_kinds_are_converted(kind):
    content, shown, called = CONVERTED[kind]
    picture = images.load(content)
    np.testing.assert_array_equal(picture.pixels, shown)
    assert picture.converted == called
    assert picture.mode == ("L" if shown.ndim == 2 else "RGB")
    assert (picture.width, picture.height) == (11, 13)
    _check_records_hold(content, picture.pixels)


def _check_records_hold(content: bytes, pixels: np.ndarray, depth_range=None) -> None:
    """What records hold is decoded alike by TensorFlow and in training."""
    from nexperia_tf import preprocess

    held = images.canonical(content, depth_range)
    channels = 1 if pixels.ndim == 2 else 3
    decoded = preprocess.decode(held, channels).numpy()
    np.testing.assert_array_equal(decoded.squeeze(), pixels.squeeze())
    size = max(pixels.shape[:2])
    trained = preprocess.batch([held], size, channels)[0]
    np.testing.assert_array_equal(trained, preprocess.letterbox(decoded, size))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_stand_as_their_exif_tag_says(format, orientation):
    # The rows and columns that EXIF says are top and left, for values 1 to 8.
    upright = {
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.swapaxes(0, 1),
        6: np.rot90(COLOUR, -1),
        7: np.rot90(COLOUR, 2).swapaxes(0, 1),
        8: np.rot90(COLOUR),
    }.get(orientation, COLOUR)
    if format == "TIFF":
        tag = {"tiffinfo": {0x0112: orientation}}
        content = _encoded(COLOUR, "TIFF", **tag)
    else:
        lossless = {"lossless": True} if format == "WEBP" else {}
        content = _turned(format, orientation, COLOUR, **lossless)
    picture = images.load(content)
    assert picture.pixels.shape == upright.shape
    limit = 40 if format == "JPEG" else 0
    difference = np.abs(np.int32(picture.pixels) - upright)
    assert np.median(difference) <= limit
    _check_records_hold(content, picture.pixels)


def _deep(channels: int, format: str, values: np.ndarray | None = None) -> bytes:
    if values is None:
        values = _deep_values(channels)
    values = values if channels == 1 else values[..., ::-1]
    return cv2.imencode(format, values)[1].tobytes()


def _deep_values(channels: int) -> np.ndarray:
    shape = (13, 11) if channels == 1 else (13, 11, 3)
    return np.random.default_rng(1).integers(0, 1 << 16, shape).astype(np.uint16)


@pytest.mark.parametrize("format", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_become_8_by_a_range(format, channels):
    content, values = _deep(channels, format), _deep_values(channels)
    picture = images.load(content, (1000.0, 9000.0))
    np.testing.assert_array_equal(picture.native, values)
    expected = np.clip((values - 1000.0) / 8000 * 255, 0, 255)
    np.testing.assert_allclose(picture.pixels, expected, atol=0.5 + 1e-9)
    assert picture.depth == 16 and picture.converted.startswith("16-bit")
    _check_records_hold(content, picture.pixels, (1000.0, 9000.0))


def test_16_bits_without_a_range_are_stretched_to_be_seen():
    values = np.linspace(500, 900, 143).reshape(13, 11).astype(np.uint16)
    pixels = images.load(_deep(1, ".png", values)).pixels
    assert pixels.min() == 0 and pixels.max() == 255
    flat = images.load(_deep(1, ".png", np.full_like(values, 700))).pixels
    assert flat.min() == flat.max()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_16_bit_tiff_stands_as_one_of_8_bits_does(orientation):
    tag = {"tiffinfo": {0x0112: orientation}}
    deep = images.load(_encoded(GREY.astype(np.uint16) * 257, "TIFF", **tag))
    shallow = images.load(_encoded(GREY, "TIFF", **tag))
    np.testing.assert_array_equal(deep.native, shallow.pixels * np.uint16(257))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_that_counts_from_white_is_read_so(dtype):
    content = bytearray(_encoded(GREY.astype(dtype), "TIFF"))
    tag = content.index(struct.pack("<HHI", 0x0106, 3, 1))
    content[tag + 8] = 0
    white = dtype(np.iinfo(dtype).max)
    np.testing.assert_array_equal(images.load(bytes(content)).native, white - GREY)


@pytest.mark.parametrize("tail", [b"", bytes(2), b"..\xff\xda..\xff\xd9.."])
def test_a_jpeg_with_more_behind_its_end_is_whole(tail):
    content = _encoded(COLOUR, "JPEG")
    picture = images.load(content + tail)
    np.testing.assert_array_equal(picture.pixels, images.load(content).pixels)
    assert images.canonical(content + tail) == content


def test_of_an_mpo_the_first_picture_counts():
    content = _animated("MPO")
    picture = images.load(content)
    first = Image.open(io.BytesIO(content)).convert("RGB")
    np.testing.assert_array_equal(picture.pixels, np.asarray(first))
    assert picture.format == "MPO"
    _check_records_hold(content, picture.pixels)


REFUSED = {
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(40),
    "AVIF": b"\0\0\0\x18ftypavif" + bytes(40),
    r"video \(MP4\)": b"\0\0\0\x18ftypmp42" + bytes(40),
    r"video \(AVI\)": b"RIFF\0\0\0\0AVI " + bytes(40),
    "JPEG 2000": b"\0\0\0\x0cjP  " + bytes(40),
    "PGM": b"P5 3 3 255 " + bytes(9),
    "animated GIF": _animated("GIF"),
    "animated WEBP": _animated("WEBP"),
    "animated PNG": _animated("PNG"),
    "TIFF of 2 pages": _animated("TIFF"),
    "32-bit signed numbers or fractions": _encoded(GREY.astype(np.float32), "TIFF"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_read_is_named_with_the_way_out(kind):
    with pytest.raises(images.UnsupportedImage, match=f"(?s){kind}.*(convert|keep)"):
        images.load(REFUSED[kind])


def test_a_tiff_whose_rows_are_missing_is_damaged():
    content = bytearray(_encoded(GREY, "TIFF"))
    tag = content.index(struct.pack("<HHI", 0x0101, 4, 1))
    struct.pack_into("<I", content, tag + 8, 130)  # of which one strip has 13 rows
    with pytest.raises(images.UnreadableImage):
        images.load(bytes(content))


def test_no_side_is_longer_than_decoders_take():
    with pytest.raises(images.UnsupportedImage, match="a side of more than 1,000,000"):
        images.load(_encoded(np.zeros((1, 1_000_001), np.uint8), "PNG"))


def test_the_cap_can_be_raised():
    with pytest.raises(images.UnsupportedImage, match="cap of 142; .*--max-pixels"):
        images.load(_encoded(GREY, "PNG"), max_pixels=142)
    assert images.load(_encoded(GREY, "PNG"), max_pixels=143).width == 11


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
