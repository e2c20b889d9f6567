import base64
import io
import types

import numpy as np
import PIL.Image
import pytest

from nexperia_tf import preprocess, sizes
from nexperia_tf.evaluation.report import gallery, results


def encoded(pixels, form="BMP"):
    content = io.BytesIO()
    PIL.Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def decoded(uri):
    kind, content = uri.split(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_grey_photograph_keeps_its_size_and_its_boxes():
    pixels = np.full((267, 275), 60, np.uint8)
    found = gallery.embed(encoded(pixels), boxes=[[10, 20, 40, 60]])
    assert (found.width, found.height) == (275, 267)
    assert found.boxes == ((10, 20, 30, 40),)
    assert found.heatmap is None
    assert decoded(found.photograph).shape == (267, 275, 3)
    assert decoded(found.photograph).mean() == pytest.approx(60, abs=1)


def test_a_large_photograph_is_shown_smaller_with_boxes_in_its_own_pixels():
    pixels = np.zeros((1000, 2000, 3), np.uint8)
    found = gallery.embed(encoded(pixels, "PNG"), boxes=[[0, 0, 2000, 1000]])
    assert (found.width, found.height) == (2000, 1000)
    assert decoded(found.photograph).shape == (160, 320, 3)


def test_heat_lies_where_the_letterbox_put_it():
    pixels = np.full((100, 200), 60, np.uint8)  # wide: the canvas is padded above
    heat = np.zeros((64, 64), np.float32)
    heat[16:32, 0:32] = 1  # the picture's upper left quarter
    found = gallery.embed(encoded(pixels), heatmap=heat)
    shown = decoded(found.heatmap).astype(int)
    warm = np.abs(shown - 60).sum(axis=-1) > 60
    assert warm[5:40, 5:90].all()
    assert not warm[60:, 110:].any()
    assert not found.blank
    assert gallery.embed(encoded(pixels), heatmap=np.zeros_like(heat)).blank


@pytest.mark.parametrize("size", [(96, 32), (32, 96), (64, 128)])
def test_heat_of_a_rectangle_lies_on_the_spot_of_the_photograph(size):
    pixels = np.full((300, 100), 60, np.uint8)
    scale, top, left = preprocess.letterbox_geometry(300, 100, sizes.Size(*size))
    heat = np.zeros(size, np.float32)
    # On the spot that reaches from a third to a half of its height, all its width.
    first, last = round(top + 100 * scale), round(top + 150 * scale)
    heat[first:last, left : left + max(1, round(100 * scale))] = 1
    shown = decoded(gallery.embed(encoded(pixels), heatmap=heat).heatmap).astype(int)
    warm = np.abs(shown - 60).sum(axis=-1) > 60
    margin = 2 + round(1 / scale)  # a pixel of the canvas
    assert warm[100 + margin : 150 - margin].all()
    assert not warm[: 100 - margin].any() and not warm[150 + margin :].any()


def test_every_shown_device_is_named_once():
    def devices(names):
        return tuple(results.Device(name, 0.5, True, 1, "") for name in names)

    def changed(names):
        return results.ChangedDevices(len(names), devices(names))

    worst = results.WorstDevices(devices("ab"), devices("c"))
    run = types.SimpleNamespace(worst=worst)
    pair = results.Changes(changed("bd"), changed("e"), changed("f"), changed("g"))
    assert gallery.shown([run, run], [pair]) == ["a", "b", "c", "d", "e"]
