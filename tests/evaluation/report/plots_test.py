import re

import numpy as np

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import plots


def test_scores_in_a_narrow_range_have_a_scale():
    scores = np.linspace(0.181, 0.209, 40)
    close = predictions.Predictions(
        image_id=[str(i) for i in range(40)], label=[0, 1] * 20, score=scores
    )
    ticks = re.findall(r">(0\.[0-9]+)<", plots.histogram(close, {}))
    assert len(ticks) >= plots.FEWEST_TICKS
