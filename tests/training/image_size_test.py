import re

import pytest

from nexperia_tf import sizes
from nexperia_tf.data import manifest
from nexperia_tf.training import image_size


def rows(*shapes, boxes=()):
    """A training picture of each `(height, width)`, with the same boxes on each."""
    return [
        manifest.Row(f"{i}", path="", height=height, width=width, boxes=list(boxes))
        for i, (height, width) in enumerate(shapes)
    ]


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(267, 275)] * 5, (224, 224)),  # drawn devices
        ([(300, 300)] * 5, (224, 224)),  # solar cells
        ([(400, 500)] * 5, (224, 224)),  # 1 : 1.25
        ([(400, 520)] * 5, (192, 256)),
        ([(500, 1250)] * 5, (128, 352)),
        ([(1250, 500)] * 5, (352, 128)),
        ([(60, 4000)] * 5, (128, 448)),  # no longer than 4 : 1
        ([(500, 1250)] * 5 + [(500, 500)] * 2, (128, 352)),
        ([(500, 1250)] * 4 + [(1250, 500)] * 3, (224, 224)),  # both ways
    ],
)
def test_the_shape_of_most_pictures_is_taken_where_all_gain_by_it(shapes, size):
    found = image_size.chosen(sizes.AUTO, rows(*shapes))
    assert found == size
    assert found.area == pytest.approx(image_size.AREA, rel=0.15)
    assert image_size.chosen(64, rows(*shapes)) == (64, 64)
    assert image_size.chosen("320x128", rows(*shapes)) == (320, 128)


def test_bars_and_a_better_shape_are_said():
    strips = rows(*[(500, 1250)] * 3)
    said = image_size.described(sizes.Size(224, 224), strips)
    assert said == (
        "pictures are shown at 224x224, 60 % of it bars; --image-size 128x352 would "
        "show them 1.4 times as large."
    )
    said = image_size.described(sizes.Size(128, 352), strips)
    assert said == "pictures are shown at 128x352, 9 % of it bars."
    assert image_size.suggested(sizes.Size(100, 100), rows((300, 300))) == (100, 100)


@pytest.mark.parametrize("given", [64, "64x160", "128x352", "96x96"])
def test_the_suggested_size_shows_the_smallest_boxes(given):
    some = rows(*[(500, 1250)] * 3, boxes=[[0, 0, 20, 300], [0, 0, 90, 90]])
    size = sizes.Size.of(given)
    said = image_size.described(size, some)
    assert said.startswith(f"warning: pictures are shown at {size}, ")
    narrow = float(re.search(r"boxes at most ([\d.]+) pixels narrow", said)[1])
    assert narrow < image_size.SMALLEST_BOX and said.count("\n") == 0
    wanted = image_size.suggested(size, some)
    assert f"--image-size {wanted} would show them " in said
    again = image_size.described(wanted, some)
    assert not again.startswith("warning") and "--image-size" not in again
    assert not any(side % sizes.STEP for side in wanted)


def test_a_box_too_small_for_any_size_asks_for_the_largest():
    speck = rows((3000, 3000), boxes=[[0, 0, 1, 1]])
    wanted = image_size.suggested(sizes.Size(224, 224), speck)
    assert wanted == (sizes.MOST, sizes.MOST)
    assert image_size.suggested(wanted, speck) == wanted
