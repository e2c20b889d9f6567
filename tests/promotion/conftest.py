"""Two models and labelled pictures that neither has learned from."""

import shutil

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import files
from nexperia_tf.runs import training_pictures

PICTURES = 96


def learned(version, *pixel_sha256, run="before"):
    """Has a version say which pictures it was trained on."""
    lines = [
        training_pictures.Line(each, training_pictures.PICTURE, run)
        for each in ("0" * 64, *pixel_sha256)
    ]
    training_pictures.write(
        version / training_pictures.EXPORTED,
        training_pictures.TrainingSet(tuple(lines)),
    )
    files.write_manifest(version)
    return version


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A folder of pictures of some noise under two lights."""
    random, place = np.random.default_rng(3), tmp_path_factory.mktemp("pictures")
    for number in range(PICTURES):
        pixels = random.integers(0, random.integers(2, 256), (36, 36), np.uint8)
        pixels[: random.integers(1, 36)] //= 2
        Image.fromarray(pixels).save(place / f"{number:03}.png")
    return place


@pytest.fixture(scope="session")
def published(publish_tiny, drawn, tmp_path_factory):
    """Three models: one, the same less sure of itself, and another network.

    `old` and `alike` give the same verdicts, half of the pictures each; `other` calls
    all of them good.
    """
    from nexperia_tf.serving import predict

    place = tmp_path_factory.mktemp("models")
    plain = publish_tiny(place / "plain")
    scores = np.array([row["score"] for row in predict.predict(plain, drawn)])
    middle = float(np.median(np.log(scores / (1 - scores))))
    old = {"temperature": 0.1, "offset": -10 * middle}
    alike = {"temperature": 0.2, "offset": -5 * middle}
    return {
        "old": learned(publish_tiny(place / "old", **old)),
        "alike": learned(publish_tiny(place / "alike", **alike)),
        "other": learned(publish_tiny(place / "other", seed=1, offset=-20.0)),
    }


@pytest.fixture(scope="session")
def pictures(published, drawn, tmp_path_factory):
    """The same pictures in a folder for each class, each where `old` puts it."""
    from nexperia_tf.serving import predict

    place = tmp_path_factory.mktemp("sorted")
    rows = list(predict.predict(published["old"], drawn))
    for row in rows:
        folder = place / ("good" if row["label"] == "good" else "crack")
        folder.mkdir(exist_ok=True)
        shutil.copy(drawn / row["path"], folder)
    assert sum(row["label"] == "good" for row in rows) == PICTURES // 2
    return place
