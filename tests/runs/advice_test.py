import pytest

from nexperia_tf.data import manifest
from nexperia_tf.runs import advice, run_folders

BOX = [[1, 2, 5, 6]]


@pytest.mark.parametrize(
    "row, expected",
    [
        (manifest.Row("a", "a.bmp", label="defect", split="train", boxes=BOX), True),
        (manifest.Row("a", "a.bmp", label="defect", split="test", boxes=BOX), False),
        (manifest.Row("a", "a.bmp", label="defect", split="train"), False),
    ],
)
def test_boxes_count_that_a_run_has_learned_from(tmp_path, row, expected):
    assert not advice.has_boxes(tmp_path)  # an older run lists no pictures
    manifest.write(tmp_path / run_folders.PICTURES, [row])
    assert advice.has_boxes(tmp_path) == expected
