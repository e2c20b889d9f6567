import pathlib

from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import prepared
from nexperia_tf.data.raw import raw_folder


def row(path, split):
    return manifest.Row(path, path, "good", "good", split=split)


def test_leaks_are_counted_between_the_splits_that_images_have_in_the_end():
    rows = [row("a.png", "train"), row("b.png", ""), row("c.png", "test")]
    folder = raw_folder.RawFolder("folder", rows)
    found = prepared.Prepared(pathlib.Path("raw"), folder)
    assert found.split_after == {"a.png": "train", "c.png": "test"}
    rows[2].split = ""  # dropped
    assert found.split_after == {"a.png": "train"}
