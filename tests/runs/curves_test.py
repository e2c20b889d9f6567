import csv

import numpy as np
import pytest
from PIL import Image

from nexperia_tf.runs import curves


@pytest.fixture
def drawn(tmp_path):
    """Draws a history with these columns; gives the picture's pixels."""

    def draw(rows: list[dict], kept=(1, "the only epoch")) -> np.ndarray:
        with open(tmp_path / "history.csv", "w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        curves.draw(tmp_path / "history.csv", tmp_path / "curves.png", kept=kept)
        return np.asarray(Image.open(tmp_path / "curves.png").convert("L"))

    return draw


def row(epoch: int, **figures) -> dict:
    names = [name for panel in curves.PANELS.values() for name in panel]
    return {"epoch": epoch} | dict.fromkeys(names, 0.5) | figures


def test_other_figures_and_another_epoch_draw_another_picture(drawn):
    rows = [row(1), row(2, val_auc=0.9), row(3)]
    first = drawn(rows, (2, "best of 3 epochs"))
    assert first.std() > 5
    np.testing.assert_array_equal(drawn(rows, (2, "best of 3 epochs")), first)
    assert (drawn(rows, (3, "best of 3 epochs")) != first).any()
    assert (drawn([row(1), row(2, val_auc=0.6), row(3)]) != first).any()


def test_a_history_of_an_older_version_lacks_a_curve_and_is_drawn(drawn):
    older = row(1)
    del older["val_partial_auc"]
    assert drawn([older]).std() > 5
