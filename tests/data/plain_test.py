"""What stands in records is decoded alike by all; what does not is written anew."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import preprocess
from nexperia_tf.data import images, plain

SEEDS = range(240)  # of mutants; each is one file, always the same


def _encoded(pixels: np.ndarray, format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


def _pixels(random: np.random.Generator) -> np.ndarray:
    sides = random.integers(1, 40, 2)
    shape = (*sides, 3) if random.random() < 0.5 else tuple(sides)
    smooth = np.cumsum(random.normal(0, 9, shape), axis=0) + 128
    return np.clip(smooth, 0, 255).astype(np.uint8)


def _mutant(seed: int) -> bytes:
    """A BMP, PNG or JPEG in which some bytes were changed, lost, added or repeated."""
    random = np.random.default_rng(seed)
    format = ("BMP", "PNG", "JPEG")[seed % 3]
    options = {"progressive": True} if format == "JPEG" and seed % 2 else {}
    content = bytearray(_encoded(_pixels(random), format, **options))
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(0, len(content)))
        change = random.integers(0, 5)
        if change < 2:
            content[place] = random.integers(0, 256)
        elif change == 2:
            content[place] ^= 1 << int(random.integers(0, 8))
        elif change == 3:
            content += random.bytes(random.integers(1, 9))
        else:
            del content[place : place + int(random.integers(1, 4))]
    return bytes(content)


@pytest.mark.filterwarnings("ignore")  # TensorFlow's note on each damaged JPEG
def test_what_is_accepted_once_is_accepted_everywhere_with_the_same_pixels():
    accepted = kept = 0
    for seed in SEEDS:
        content = _mutant(seed)
        try:
            picture = images.load(content)
        except (images.UnreadableImage, images.UnsupportedImage):
            continue
        accepted += 1
        held = images.canonical(content)
        kept += held == content
        channels = 1 if picture.mode == "L" else 3
        decoded = preprocess.decode(held, channels).numpy()
        assert np.array_equal(decoded, np.atleast_3d(picture.pixels)), seed
        size = max(decoded.shape)
        trained = preprocess.batch([held], size, channels)[0]
        assert np.array_equal(trained, preprocess.letterbox(decoded, size)), seed
    assert accepted > 60 and 0 < kept < accepted


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def _png(*, before: bytes = b"", rows: bytes | None = None) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 0))
    rows = zlib.compress(bytes(15)) if rows is None else rows
    return (
        plain.PNG_MAGIC + header + before + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")
    )


PNG = {  # whether its own bytes can stand in records
    "ordinary": (_png(), True),
    "with a comment": (_png(before=_chunk(b"tEXt", b"a\0b")), True),
    "with an unknown chunk that may be left out": (
        _png(before=_chunk(b"abCd", b"")),
        False,
    ),
    "without the checksum of its rows": (
        _png(rows=zlib.compress(bytes(15))[:-4]),
        False,
    ),
    "with more rows than it says": (_png(rows=zlib.compress(bytes(20))), False),
    "with bytes behind its end": (_png() + b"\0", False),
}


@pytest.mark.parametrize("kind", PNG)
def test_only_a_png_that_all_read_alike_stands_as_it_is(kind):
    content, stands = PNG[kind]
    picture = images.load(content)
    held = images.canonical(content)
    assert (held == content) == stands
    np.testing.assert_array_equal(preprocess.decode(held, 1)[..., 0], picture.pixels)


@pytest.mark.parametrize("extra", [1, 2, 40, 400])
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_behind_the_last_row_of_a_bmp_do_not_stand_in_records(extra, channels):
    shape = (48, 47) if channels == 1 else (48, 47, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    content = _encoded(pixels, "BMP")
    np.testing.assert_array_equal(images.load(content + bytes(extra)).pixels, pixels)
    assert images.canonical(content + bytes(extra)) == content


@pytest.mark.parametrize("size", [108, 124])
def test_a_bmp_with_a_longer_header_and_a_profile_is_read(size):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    content = bytearray(_encoded(pixels, "BMP"))
    longer = content[:54] + bytes(size - 40) + content[54:]
    struct.pack_into("<II", longer, 10, 14 + size, size)
    held = images.canonical(bytes(longer) + bytes(400))
    np.testing.assert_array_equal(preprocess.decode(held, 3), pixels)
    np.testing.assert_array_equal(images.load(bytes(longer)).pixels, pixels)


def test_the_marks_of_a_jpeg_are_walked_to_its_end():
    content = _encoded(np.full((9, 9), 7, np.uint8), "JPEG")
    assert plain.jpeg_end(content) == len(content)
    assert plain.jpeg_end(content + b"\xff\xd9") == len(content)
    assert plain.jpeg_end(content[:-2]) is None
    assert [marker for marker, _ in plain.segments(content)][-1] == 0xD9


def test_a_jpeg_that_decodes_with_a_warning_is_written_anew():
    content = bytearray(_encoded(_pixels(np.random.default_rng(8)), "JPEG"))
    scan = content.index(b"\xff\xda")
    content[scan + 14 : scan + 18] = b"\x55\xaa\x55\xaa"
    picture = images.load(bytes(content))
    held = images.canonical(bytes(content))
    assert held.startswith(plain.PNG_MAGIC)
    np.testing.assert_array_equal(images.load(held).pixels, picture.pixels)
