"""BMP rows read in place, against Pillow's decoder."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from nexperia_tf import bmp


def saved(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "BMP")
    return file.getvalue()


PICTURES = st.one_of(
    arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))
    ),
)


@given(PICTURES)
def test_rows_of_any_size_are_those_that_pillow_wrote(pixels):
    content = saved(Image.fromarray(pixels))
    np.testing.assert_array_equal(bmp.rows(content, bmp.header(content)), pixels)


def test_a_file_whose_top_row_comes_first_is_not_turned_over():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    content = bytearray(saved(Image.fromarray(pixels)))
    struct.pack_into("<i", content, 22, -3)  # height below 0: rows from the top
    rows = bmp.rows(bytes(content), bmp.header(bytes(content)))
    np.testing.assert_array_equal(rows, pixels[::-1])


@pytest.mark.parametrize("missing", [1, 5, 12])
def test_a_file_that_ends_within_its_rows_is_refused(missing):
    content = saved(Image.fromarray(np.zeros((3, 4), np.uint8)))[:-missing]
    with pytest.raises(ValueError, match="pixel rows are missing"):
        bmp.rows(content, bmp.header(content))


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (Image.new("1", (8, 8)), "1 bits per pixel"),
        (Image.new("P", (8, 8)), "palette other than plain grey"),
    ],
)
def test_what_needs_a_decoder_says_why(picture, words):
    if picture.mode == "P":
        picture.putpalette([200, 10, 10] * 256)
    with pytest.raises(bmp.NotPlain, match=words):
        bmp.header(saved(picture))


def test_a_compressed_file_needs_a_decoder():
    content = bytearray(saved(Image.new("L", (4, 4))))
    struct.pack_into("<I", content, 30, 1)  # RLE8
    with pytest.raises(bmp.NotPlain, match="compressed"):
        bmp.header(bytes(content))
