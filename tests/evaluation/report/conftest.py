import dataclasses

import numpy as np
import pytest

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import page, results
from nexperia_tf.evaluation.subjects import Subject


def _table(n_defect=300, n_good=600, *, noise=1.0, seed=0, lots=True, name="p.csv"):
    """Scores of one set of devices; `seed` is the model, not the devices."""
    labels = np.repeat([1, 0], [n_defect, n_good])
    n = len(labels)
    random = np.random.default_rng(seed)
    signal = np.random.default_rng(42).normal(size=n) + 4.5 * labels - 2
    logits = signal + noise * random.normal(size=n)
    columns = {"defect_type": np.where(labels == 1, np.arange(n) % 2, 2)}
    columns["defect_type"] = np.array(["chip", "scratch", ""])[columns["defect_type"]]
    if lots:
        lot = [f"L{i % 7}" if i % 2 else f"M{i % 5}" for i in range(n)]
        columns |= {"lot": lot, "group": lot}
    return predictions.Predictions(
        image_id=[f"d{i}" for i in range(n)],
        label=labels,
        score=1 / (1 + np.exp(-1.5 * logits)),
        columns=columns,
        source=name,
    )


def _others(**options):
    """Scores of devices that no table of `_table` holds."""
    found = _table(seed=9, lots=False, **options)
    return dataclasses.replace(found, image_id=[f"c{n}" for n in found.image_id])


def _subject(name="a", **options):
    scored = _table(**options)
    # Each calibration device is its own group, and none is judged.
    calibration = _others(n_defect=700, n_good=700, name="validation.csv")
    return Subject(name=name, scored=scored, calibration=calibration)


@pytest.fixture(scope="session")
def table():
    """Draws scores of one set of devices."""
    return _table


@pytest.fixture(scope="session")
def others():
    """Draws scores of other devices."""
    return _others


@pytest.fixture(scope="session")
def subject():
    """Draws a run under evaluation."""
    return _subject


@pytest.fixture(scope="module")
def report():
    return page.report_of(
        [_subject()], results.Settings(), split="test", labels=None, notes=[]
    )


@pytest.fixture(scope="module")
def compared():
    subjects = [_subject("a"), _subject("b", seed=1), _subject("bad", noise=9, seed=2)]
    settings = results.Settings(golden=("d3", "d5"))
    facts = {"split": "test", "labels": None, "notes": []}
    return subjects, page.report_of(subjects, settings, **facts)
