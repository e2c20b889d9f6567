"""One row of the manifest as one record."""

import hashlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, labels
from nexperia_tf.data import images, manifest
from nexperia_tf.data.records import builder, origin


def row_of(path, raw, **known):
    digest = hashlib.sha256((raw / path).read_bytes()).hexdigest()
    return manifest.Row(path.rpartition(".")[0], path=path, sha256=digest, **known)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)


@pytest.mark.parametrize("form", ["BMP", "PNG", "JPEG"])
def test_an_ordinary_file_is_its_own_bytes(tmp_path, noise, form):
    Image.fromarray(noise).save(tmp_path / "a.x", form)
    row = row_of("a.x", tmp_path, label="defect", group="g", boxes=[[1, 2, 3, 4]])
    record = builder.example(tmp_path, row)
    assert record["image"] == (tmp_path / "a.x").read_bytes()
    assert record["label"] == labels.NAMES.index("defect")
    assert (record["image_id"], record["group"]) == ("a", "g")
    assert record["boxes"] == [[1, 2, 3, 4]]


def test_a_deep_file_is_a_png_of_8_bits_of_the_range(tmp_path, noise):
    deep = noise.astype(np.uint16) * 100
    cv2.imwrite(str(tmp_path / "a.tif"), deep)
    row = row_of("a.tif", tmp_path, label="good")
    record = builder.example(tmp_path, row, depth_range=(5000.0, 15000.0))
    expected = np.clip((deep - 5000.0) * 255 / 10000, 0, 255)
    with Image.open(io.BytesIO(record["image"])) as image:
        assert image.format == "PNG"
        np.testing.assert_allclose(np.asarray(image), expected, atol=0.5)


def test_what_has_no_label_is_marked_so(tmp_path, noise):
    Image.fromarray(noise).save(tmp_path / "a.png")
    record = builder.example(tmp_path, row_of("a.png", tmp_path))
    assert record["label"] == labels.UNLABELLED


def test_a_file_that_changed_since_is_refused_by_name(tmp_path, noise):
    Image.fromarray(noise).save(tmp_path / "a.png")
    row = row_of("a.png", tmp_path, label="good")
    Image.fromarray(noise[::-1]).save(tmp_path / "a.png")
    with pytest.raises(errors.BadInput, match=r"a\.png: changed since it was prepared"):
        builder.example(tmp_path, row)


def test_a_picture_above_the_cap_makes_no_record(tmp_path, noise):
    Image.fromarray(noise).save(tmp_path / "a.png")
    row = row_of("a.png", tmp_path, label="good")
    with pytest.raises(images.UnsupportedImage, match="above the cap of 500"):
        builder.example(tmp_path, row, max_pixels=500)


def test_each_layout_and_the_sample_is_a_config():
    names = [config.name for config in builder.Nexperia.BUILDER_CONFIGS]
    assert names == ["sample", "second_stage", "first_stage", "hand_over", "folder"]
    assert builder.Nexperia.VERSION == origin.SCHEMA in builder.Nexperia.RELEASE_NOTES
    record = {"image", "label", "image_id", "group", "lot", "machine", "defect_type"}
    assert builder.features().keys() == {*record, "boxes"}
