"""Which files are masks, how they are turned, and who leaves them out."""

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.data import images
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.raw import layouts, listing, masks

MARK = (4, 3, 12, 9)  # x1, y1, x2, y2 in the picture as it is stored
SIZE = (48, 40)


def _save(path, pixels, turn=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(path, **({"exif": exif} if turn != 1 else {}))


def _mask():
    pixels = np.zeros(SIZE[::-1], np.uint8)
    x1, y1, x2, y2 = MARK
    pixels[y1:y2, x1:x2] = 255
    return pixels


@pytest.fixture
def raw(tmp_path):
    """A folder with a mask; `raw(turn=6, mask=pixels)` gives the picture's boxes."""

    def boxes(*, turn, mask=None, own_turn=1, form="jpg"):
        noise = np.random.default_rng(0)
        shown = noise.integers(90, 140, SIZE[::-1], np.uint8) + _mask() // 3
        _save(tmp_path / "crack" / f"7.{form}", shown, turn)
        _save(tmp_path / "good" / "1.png", noise.integers(0, 255, (9, 9), np.uint8))
        _save(tmp_path / "masks" / "7.png", _mask() if mask is None else mask, own_turn)
        rows = layouts.scan(tmp_path).rows
        return next(row.boxes for row in rows if row.path.startswith("crack"))

    return boxes


def _brightest(path, box):
    """Whether nothing outside a box is as bright as what is in it, on average."""
    x1, y1, x2, y2 = box
    pixels = images.load(path.read_bytes()).pixels.astype(float)
    inside = np.zeros(pixels.shape, bool)
    inside[y1:y2, x1:x2] = True
    return pixels[inside].mean() > pixels[~inside].mean() + 60


@pytest.mark.parametrize("form", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("turn", range(10))
def test_a_mask_is_turned_as_its_picture_is(raw, tmp_path, turn, form):
    (box,) = raw(turn=turn, form=form)
    assert _brightest(tmp_path / "crack" / f"7.{form}", box)


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_a_mask_of_the_upright_pictures_shape_is_upright(raw, tmp_path, turn):
    (box,) = raw(turn=turn, mask=images.turned(_mask(), turn))
    assert _brightest(tmp_path / "crack" / "7.jpg", box)


def test_a_mask_that_is_turned_by_its_own_tag_is_not_turned_twice(raw, tmp_path):
    (box,) = raw(turn=3, own_turn=3)
    assert _brightest(tmp_path / "crack" / "7.jpg", box)


def test_a_smaller_mask_of_a_turned_picture_is_turned_and_scaled(raw, tmp_path):
    assert raw(turn=6, mask=_mask()[::2, ::2])
    out = tmp_path.parent / "prepared"
    for i in range(40):
        noise = np.random.default_rng(i).integers(0, 255, (9, 9), np.uint8)
        _save(tmp_path / ("good" if i % 2 else "crack") / f"more{i}.png", noise)
    rows = prepare.prepare(tmp_path, out, prepare.options_of(workers=1))
    (box,) = next(row.boxes for row in rows if row.path == "crack/7.jpg")
    assert _brightest(tmp_path / "crack" / "7.jpg", np.rint(box).astype(int))


def test_who_scores_pictures_leaves_their_masks_out_and_counts_them(raw, tmp_path):
    raw(turn=1)
    _save(tmp_path / "masks" / "nobody.png", _mask())
    found = masks.set_apart(listing.files(tmp_path))
    assert found.named == ["crack/7.jpg", "good/1.png", "masks/nobody.png"]
    assert found.left_out == {"masks": 1}
