"""Drawn defects and their boxes."""

import numpy as np
import pytest

from nexperia_tf.sample import command as sample
from nexperia_tf.sample import defects, plan, visibility

MEDIAN_BOXES = {  # width and height over the real annotations
    "chipping": (79, 60),
    "foreign_material": (67, 34),
    "lead_defect": (53, 53),
    "lead_glue": (34, 32),
    "marking_defect": (166, 64),
    "scratch": (79, 72),
}


@pytest.mark.parametrize("look", visibility.LOOKS)
@pytest.mark.parametrize("defect_type", sorted(plan.PROPORTIONS))
def test_a_defect_changes_pixels_inside_its_box_only(defect_type, look):
    for index, level in enumerate(visibility.LOOKS[look].levels[defect_type]):
        clean, none = sample.device(2, index)
        pixels, box = sample.device(2, index, defect_type, level=level, look=look)
        assert none is None
        assert (pixels != clean).any()
        if defect_type in plan.UNBOXED_TYPES:
            assert box is None
            continue
        x1, y1, x2, y2 = box
        assert 0 <= x1 < x2 < 275 and 0 <= y1 < y2 < 267
        outside = pixels != clean
        assert outside[y1 : y2 + 1, x1 : x2 + 1].any()
        outside[y1 : y2 + 1, x1 : x2 + 1] = False
        assert not outside.any()


@pytest.mark.parametrize("look", visibility.LOOKS)
@pytest.mark.parametrize("defect_type", sorted(MEDIAN_BOXES))
def test_boxes_are_about_as_large_as_the_real_ones(defect_type, look):
    boxes = np.array(
        [sample.device(4, index, defect_type, look=look)[1] for index in range(40)],
        float,
    )
    sizes = np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    np.testing.assert_allclose(sizes, MEDIAN_BOXES[defect_type], rtol=0.45)


def test_every_defect_of_the_table_is_drawn_over_or_changes_the_look():
    assert set(defects.OVERLAYS) | set(defects.CHANGES) == set(plan.PROPORTIONS)
