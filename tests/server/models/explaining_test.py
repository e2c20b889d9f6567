"""Look-alikes, as the process of a model finds them for one picture."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import files
from nexperia_tf.runs import neighbours
from nexperia_tf.server.models import explaining
from nexperia_tf.serving import export

PICTURES = 8


@pytest.fixture(scope="module")
def canvases():
    return np.random.default_rng(0).integers(0, 256, (PICTURES, 32, 32, 1), np.uint8)


@pytest.fixture
def version(publish_tiny, tmp_path):
    return publish_tiny(tmp_path / "line")


def _take_along(version, features, thumbnails) -> None:
    count = len(features)
    names = np.array([f"lot1/{i}" for i in range(count)])
    kept = neighbours.Neighbours(
        image_id=names,
        label=(np.arange(count) % 2).astype(np.int8),
        features=features.astype(np.float16),
        pixel_sha256=names,
        phash=names,
        thumbnails=thumbnails,
    )
    neighbours.write(version / neighbours.EXPORTED, kept)
    files.write_manifest(version)


def test_a_training_picture_is_most_like_itself(version, canvases):
    served = export.load(version)
    features = served.features(canvases).numpy()
    _take_along(version, features, canvases)
    found = explaining.Explainer(export.load(version)).alike(canvases[5])
    assert found["why_none"] == "" and len(found["pictures"]) == explaining.COUNT
    first, second, *_ = found["pictures"]
    assert (first["name"], first["label"]) == ("lot1/5", "defect")
    assert first["likeness"] == pytest.approx(1, abs=1e-4)
    assert first["likeness"] >= second["likeness"]
    shown = Image.open(io.BytesIO(base64.b64decode(first["png"])))
    np.testing.assert_array_equal(np.asarray(shown), canvases[5, ..., 0])


def test_features_are_those_of_the_layer_before_the_logit(version, canvases):
    """The logit is their product with its weights, and a constant."""
    served = export.load(version)
    features = served.features(canvases).numpy()
    wanted = (features.shape[1], 1)
    (kernel,) = [w for w in served._loaded.variables_read if w.shape == wanted]
    logits = served.logit(canvases).numpy()
    offsets = logits - (features @ kernel.numpy())[:, 0]
    np.testing.assert_allclose(offsets, offsets[0], atol=1e-4 * np.ptp(logits))


def test_where_there_are_none_it_says_why(version, canvases):
    served = export.load(version)
    found = explaining.Explainer(served).alike(canvases[0])
    assert found["pictures"] == [] and "no training pictures lie" in found["why_none"]
    _take_along(version, np.ones((PICTURES, 3)), canvases)  # of another network
    found = explaining.Explainer(served).alike(canvases[0])
    assert found["pictures"] == [] and "cannot be compared" in found["why_none"]
    (version / neighbours.EXPORTED).write_bytes(b"PK")
    found = explaining.Explainer(served).alike(canvases[0])
    assert found["pictures"] == [] and "is no zip file" in found["why_none"]


def test_an_older_model_cannot_compare(version, canvases, monkeypatch):
    monkeypatch.setattr(export.Served, "features", None)
    found = explaining.Explainer(export.load(version)).alike(canvases[0])
    assert "does not say by what to compare" in found["why_none"]
