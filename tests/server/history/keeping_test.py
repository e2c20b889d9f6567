"""Which pictures are kept."""

import dataclasses
import hashlib

import pytest
from PIL import Image

from nexperia_tf import errors
from nexperia_tf.server.history import keeping, tables
from nexperia_tf.server.models import child


def entry(label: str = "good", **changed) -> tables.Entry:
    plain = tables.Entry(
        time="2026-11-27T14:00:00.000000Z",
        station="s",
        source="rest",
        picture_sha256=hashlib.sha256(b"BM").hexdigest(),
        model="line",
        version=1,
        score=0.3,
        threshold=0.5,
        label=label,
        verdict=label,
    )
    return dataclasses.replace(plain, **changed)


UNREADABLE = entry("", problem="is torn", score=None)
DOUBTFUL = entry("good", verdict="review")


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("none", []),
        ("rejects", ["defect", "unreadable"]),
        ("review", ["doubtful", "unreadable"]),
        ("rejects,review", ["defect", "doubtful", "unreadable"]),
        ("every:2", ["defect", "unreadable"]),
    ],
)
def test_what_a_rule_names_is_kept(tmp_path, rule, kept):
    entries = {
        "good": entry(),
        "defect": entry("defect"),
        "doubtful": DOUBTFUL,
        "unreadable": UNREADABLE,
    }
    keeper = keeping.Keeper(keeping.Rule.of(rule), tmp_path)
    picture = child.Picture(b"BM")
    found = [name for name, each in entries.items() if keeper.wants(each, picture)]
    assert found == kept


@pytest.mark.parametrize("rule", ["rejects", "review", "every:1"])
def test_what_is_no_picture_is_not_kept(rule, tmp_path):
    keeper = keeping.Keeper(keeping.Rule.of(rule), tmp_path)
    for content, is_one in (
        (b"root:x:0:0:root:/root:/bin/sh", False),
        (b"", False),
        (b"\x89PNG\r\n\x1a\n, and no more", True),
    ):
        assert keeper.wants(UNREADABLE, child.Picture(content)) == is_one
    assert keeper.wants(UNREADABLE, child.Picture(b"????", (2, 2, 1)))


def test_a_picture_is_kept_under_its_hash_and_goes_with_its_verdict(tmp_path):
    keeper = keeping.Keeper(keeping.Rule.of("rejects"), tmp_path)
    picture = child.Picture(b"BM")
    kept = keeper.keep(entry(), picture)
    assert kept == keeper.keep(entry(), picture)
    assert (tmp_path / kept.kept_as).read_bytes() == b"BM"
    assert kept.kept_as == f"2026-11-27/{entry().picture_sha256}.bmp"
    keeper.remove(kept.kept_as)
    assert list(tmp_path.iterdir()) == []


def test_pixels_are_kept_as_a_png(tmp_path):
    for channels in (1, 3):
        content = bytes(range(6 * channels))
        picture = child.Picture(content, (2, 3, channels))
        keeper = keeping.Keeper(keeping.Rule.of("rejects"), tmp_path / str(channels))
        kept = keeper.keep(entry(), picture)
        with Image.open(tmp_path / str(channels) / kept.kept_as) as image:
            assert image.size == (3, 2) and image.tobytes() == content


@pytest.mark.parametrize("text", ["", "all", "every:0", "every:x", "none,rejects"])
def test_another_word_is_refused(text):
    with pytest.raises(errors.BadInput, match="rejects, review, every:N or none"):
        keeping.Rule.of(text)
