import io
import struct
import zlib

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies
from PIL import Image

from nexperia_tf import preprocess, sizes

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (26, 27), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (26, 27, 3), dtype=np.uint8)


def _encoded(pixels, format, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize("format", ["BMP", "PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_pixels_are_kept(format, pixels):
    channels = 1 if pixels.ndim == 2 else 3
    decoded = preprocess.decode(tf.constant(_encoded(pixels, format)), channels)
    np.testing.assert_array_equal(decoded.numpy().squeeze(), pixels)


@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_jpeg_equals_pillows_decoder(pixels):
    content = _encoded(pixels, "JPEG", quality=90)
    channels = 1 if pixels.ndim == 2 else 3
    decoded = preprocess.decode(tf.constant(content), channels).numpy().squeeze()
    expected = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    # Upsampling of colour differs by rounding; grey is the DCT alone.
    assert np.abs(decoded - expected).max() <= (0 if pixels.ndim == 2 else 2)


@pytest.mark.parametrize("format", ["BMP", "PNG"])
def test_grey_is_repeated_where_colour_is_asked_for(format):
    decoded = preprocess.decode(tf.constant(_encoded(GREY, format)), 3).numpy()
    np.testing.assert_array_equal(decoded, np.repeat(GREY[..., None], 3, axis=-1))


@pytest.mark.parametrize("format", ["BMP", "PNG"])
def test_grey_stored_as_rgb_is_the_same_grey(format):
    rgb = np.repeat(GREY[..., None], 3, axis=-1)
    decoded = preprocess.decode(tf.constant(_encoded(rgb, format)), 1).numpy()
    assert np.abs(decoded[..., 0].astype(int) - GREY).max() <= 1  # luma rounding


def test_what_is_no_picture_raises():
    with pytest.raises(tf.errors.InvalidArgumentError):
        preprocess.decode(tf.constant(b"no picture"), 1)


@pytest.mark.parametrize("shape", [(267, 275), (275, 267), (100, 400), (64, 64)])
def test_letterbox_keeps_the_whole_picture_in_proportion(shape):
    image = tf.fill((*shape, 1), tf.constant(200, tf.uint8))
    boxed = preprocess.letterbox(image, 96).numpy()[..., 0]
    scale, top, left = preprocess.letterbox_geometry(*shape, 96)
    inside = np.zeros((96, 96), bool)
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    inside[top : top + height, left : left + width] = True
    assert (boxed[inside] == 200).all()
    assert (boxed[~inside] == 0).all()
    assert max(height, width) == 96


CANVASES = strategies.tuples(strategies.integers(8, 128), strategies.integers(8, 128))
SIDES = strategies.tuples(strategies.integers(1, 400), strategies.integers(1, 400))


@hypothesis.given(sides=SIDES, canvas=CANVASES)
def test_a_letterboxed_picture_lies_within_its_canvas_in_proportion(sides, canvas):
    size = sizes.Size(*canvas)
    scale, top, left = preprocess.letterbox_geometry(*sides, size)
    height, width = preprocess.letterboxed(sides, size)
    assert 0 <= top <= size.height - height and 0 <= left <= size.width - width
    assert height == size.height or width == size.width  # it fills one side
    # To the nearest pixel, of which there is one at least.
    assert abs(height - max(1, sides[0] * scale)) <= 0.5 + 1e-3
    assert abs(width - max(1, sides[1] * scale)) <= 0.5 + 1e-3
    # In the middle.
    assert 0 <= size.height - height - 2 * top <= 1
    assert 0 <= size.width - width - 2 * left <= 1


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
    sides=SIDES, canvas=CANVASES, channels=strategies.sampled_from([1, 3])
)
def test_all_three_letterboxes_agree_on_any_rectangle(sides, canvas, channels):
    size = sizes.Size(*canvas)
    shape = sides if channels == 1 else (*sides, 3)
    pixels = np.random.default_rng(0).integers(100, 256, shape, dtype=np.uint8)
    image = pixels.reshape(*sides, channels)
    in_graph = preprocess.letterbox(tf.constant(image), size).numpy()
    assert in_graph.shape == (*size, channels)
    np.testing.assert_array_equal(preprocess.letterbox_pixels(image, size), in_graph)
    (trained,) = preprocess.batch([_encoded(pixels, "PNG")], size, channels)
    assert np.abs(trained.astype(int) - in_graph).max() <= 1
    # Pixels stay within what geometry says, and fill it.
    _, top, left = preprocess.letterbox_geometry(*sides, size)
    height, width = preprocess.letterboxed(sides, size)
    inside = np.zeros(size, bool)
    inside[top : top + height, left : left + width] = True
    assert (in_graph[inside] >= 100).all() and not in_graph[~inside].any()


@hypothesis.given(sides=SIDES, side=strategies.integers(8, 4096))
def test_a_number_is_a_square_whose_side_the_long_one_fills(sides, side):
    square = preprocess.letterbox_geometry(*sides, sizes.Size(side, side))
    assert preprocess.letterbox_geometry(*sides, side) == square
    assert square[0] == side / max(sides)
    inner = np.rint(np.float32(sides) * (np.float32(side) / max(sides)))
    expected = np.clip(inner.astype(int), 1, side)
    found = preprocess.letterboxed(sides, sizes.Size(side, side))
    np.testing.assert_array_equal(found, expected)


def test_letterbox_is_antialiased_like_pillow():
    smooth = np.asarray(
        Image.fromarray(GREY).resize((275, 267), Image.Resampling.BICUBIC)
    )
    boxed = preprocess.letterbox(tf.constant(smooth[..., None]), 96).numpy()[..., 0]
    expected = np.asarray(
        Image.fromarray(smooth).resize((96, 93), Image.Resampling.BILINEAR)
    )
    assert np.abs(boxed[1:94].astype(int) - expected).mean() < 0.5


def test_a_picture_of_the_right_size_is_left_alone():
    image = tf.constant(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    np.testing.assert_array_equal(preprocess.letterbox(image, 64), image)


def test_scaled_pixels_have_imagenets_statistics():
    scale, offset = preprocess.scale_and_offset(3)
    mean = np.array([0.485, 0.456, 0.406]) * 255
    np.testing.assert_allclose(mean * scale + offset, 0, atol=1e-6)
    std = np.array([0.229, 0.224, 0.225]) * 255
    np.testing.assert_allclose((mean + std) * scale + offset, 1, atol=1e-6)


@pytest.mark.parametrize("format", ["BMP", "PNG", "JPEG"])
@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((267, 275), 1),
        ((275, 267, 3), 3),
        ((267, 275), 3),  # grey among colour
        ((300, 40, 3), 1),  # colour among grey
        ((60, 64), 1),  # enlarged
        ((90, 96), 1),  # as it is
    ],
)
def test_a_batch_holds_the_pictures_one_by_one(format, shape, channels):
    pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    content = _encoded(pixels, format)
    together = preprocess.batch([content, content], 96, channels)
    alone = preprocess.letterbox(preprocess.decode(content, channels), 96).numpy()
    assert together.dtype == np.uint8 and together.shape == (2, 96, 96, channels)
    np.testing.assert_array_equal(*together)
    # Sums in another order now and then round to the next level.
    apart = np.abs(together[0].astype(int) - alone)
    assert apart.max() <= 1 and np.mean(apart) < 1e-3


def test_what_is_no_picture_raises_in_a_batch():
    with pytest.raises(tf.errors.InvalidArgumentError):
        preprocess.batch([_encoded(GREY, "PNG"), b"no picture"], 96, 1)


def test_pictures_of_other_shapes_keep_their_places_in_a_batch():
    shapes = [(40, 50), (40, 50), (96, 20), (30, 96), (40, 50)]
    contents = [
        _encoded(RNG.integers(0, 256, shape, dtype=np.uint8), format)
        for shape, format in zip(shapes, ["BMP", "PNG", "BMP", "PNG", "JPEG"])
    ]
    together = preprocess.batch(contents, 96, 3)
    for found, content in zip(together, contents):
        np.testing.assert_array_equal(found, *preprocess.batch([content], 96, 3))


def test_a_bmp_with_a_palette_is_decoded_as_one_by_one():
    content = bytearray(_encoded(GREY, "BMP"))
    content[54 : 54 + 1024] = content[54 : 54 + 1024][::-1]  # inverted grey
    content = bytes(content)
    alone = preprocess.letterbox(preprocess.decode(content, 1), 27)
    np.testing.assert_array_equal(*preprocess.batch([content], 27, 1), alone)


@pytest.mark.parametrize("format", ["BMP", "PNG"])
def test_what_is_cut_off_raises_in_a_batch(format):
    content = _encoded(GREY, format)
    with pytest.raises(tf.errors.InvalidArgumentError):
        preprocess.batch([content[: len(content) // 2]], 96, 1)


# (640, 190) and (192, 99) shrink to half a pixel: float32 says which way it is rounded.
SHAPES = [(1, 1), (2, 3), (1, 300), (300, 1), (80, 600), (60, 4000), (4000, 60)]
SHAPES += [(10, 40_000), (40_000, 10), (640, 190), (192, 99)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_shape_are_one_picture_to_training_and_tensorflow(
    shape, channels
):
    rng = np.random.default_rng(sum(shape))
    pixels = rng.integers(0, 256, (*shape, channels)).astype(np.uint8)
    content = _encoded(pixels.squeeze(-1) if channels == 1 else pixels, "PNG")
    (together,) = preprocess.batch([content], 96, channels)
    alone = preprocess.letterbox(preprocess.decode(content, channels), 96).numpy()
    apart = np.abs(together.astype(int) - alone)
    assert apart.max() <= 1 and np.mean(apart > 0) < 1e-2
    scale, top, left = preprocess.letterbox_geometry(*shape, 96)
    white = _encoded(np.full(shape, 255, np.uint8), "PNG")
    (boxed,) = preprocess.batch([white], 96, 1)
    rows, columns = np.nonzero(boxed[..., 0])
    assert (rows.min(), columns.min()) == (top, left)
    for side, places in zip(shape, (rows, columns)):
        assert abs(len(set(places)) - max(1, side * scale)) <= 0.51


@pytest.mark.parametrize("level", [0, 255])
def test_one_level_stays_one_level(level):
    for shape in SHAPES:
        content = _encoded(np.full(shape, level, np.uint8), "PNG")
        (boxed,) = preprocess.batch([content], 64, 1)
        assert set(np.unique(boxed)) <= {0, level}
        assert level in boxed


def _tensorflows(old: int, new: int) -> np.ndarray:
    """The matrix of TensorFlow's own resizing."""
    unit = tf.eye(old)[..., None]
    return tf.image.resize(unit, (new, old), antialias=True)[..., 0].numpy()


@pytest.mark.parametrize(
    ("old", "new"), [(300, 96), (275, 224), (7, 96), (1, 32), (1500, 1), (1999, 384)]
)
def test_the_band_of_a_resizing_is_tensorflows_bit_by_bit(old, new):
    expected, made = _tensorflows(old, new), np.zeros((new, old), np.float32)
    for rows, columns, weights in preprocess._resizing(old, new):
        made[rows, columns] = weights
    np.testing.assert_array_equal(made, expected)


def test_the_band_of_a_very_long_side_is_as_small_as_the_side():
    parts = preprocess._resizing(1_000_000, 64)
    assert sum(weights.nbytes for *_, weights in parts) < 100e6
    for _, _, weights in parts:
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-3)


def _promising(format, height, width):
    """A whole picture but for the sides that its header claims."""
    content = bytearray(_encoded(GREY, format))
    if format == "PNG":
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    elif format == "JPEG":
        start = content.index(b"\xff\xc0") + 5
        content[start : start + 4] = struct.pack(">HH", height, width)
    else:
        content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


@pytest.mark.parametrize("format", ["BMP", "PNG", "JPEG"])
@pytest.mark.parametrize("sides", [(60_000, 60_000), (5000, 5000)])
def test_a_header_that_promises_more_than_the_file_can_hold_is_refused(format, sides):
    content = _promising(format, *sides)
    with pytest.raises(tf.errors.InvalidArgumentError) as refused:
        preprocess.decode(tf.constant(content), 1)
    if format != "BMP":  # decode_bmp says it in its own words
        said = str(refused.value)
        assert "a header promises" in said and str(sides[0] * sides[1]) in said
    with pytest.raises(tf.errors.InvalidArgumentError):
        preprocess.batch([content], 32, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_letterboxing_an_array_is_letterboxing_a_tensor_to_the_last_bit(channels):
    rng = np.random.default_rng(0)
    shapes = [(32, 32), (1, 1), (24, 24), (48, 7), (5, 300), (97, 64), (33, 31)]
    for height, width in shapes:
        image = rng.integers(0, 256, (height, width, channels), np.uint8)
        for size in (32, 45):
            np.testing.assert_array_equal(
                preprocess.letterbox_pixels(image, size),
                preprocess.letterbox(tf.constant(image), size),
            )
