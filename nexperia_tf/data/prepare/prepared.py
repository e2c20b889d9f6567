"""What a preparation finds out, step by step; its summary and report are made of it."""

import collections
import dataclasses
import pathlib

from nexperia_tf.data import images, manifest
from nexperia_tf.data.duplicates import search
from nexperia_tf.data.measure import depth
from nexperia_tf.data.prepare import (
    cleaning,
    decisions,
    kept_splits,
    label_leak,
)
from nexperia_tf.data.raw import raw_folder


@dataclasses.dataclass
class Prepared:
    """All that one run found out: what the summary and the report are made of.

    Attributes:
        raw: the raw folder.
        options: what decides whether a later preparation is of the same kind.
        folder: what it says about its images, with the rows.
        messages: the problem of each unreadable or unsupported file, by path.
        converted: how many pictures of each other kind are converted on reading.
        findings: copies and twins, without those a person denied.
        decided: what a person decided.
        rules: the cleaning rules that were applied.
        conflicts: clusters of copies with contradicting labels.
        kept: what became of pictures that were split before; None where none were.
        split_before: the split that leaks are counted against, by path.
        lacking: splits that lack a label, and why; else empty.
        repaired: images dropped because a copy or twin stands in another split.
        leak_probe: what the paperwork gives away.
        deep: paths of 16-bit pictures.
        depth_range: that of the 16-bit pictures that are used; None where none is.
        max_pixels: the most that a picture may have.
        seconds: time of each step.
    """

    raw: pathlib.Path
    folder: raw_folder.RawFolder
    options: dict[str, object] = dataclasses.field(default_factory=dict)
    messages: dict[str, str] = dataclasses.field(default_factory=dict)
    converted: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )
    findings: search.Findings | None = None
    decided: decisions.Decisions = dataclasses.field(
        default_factory=decisions.Decisions
    )
    rules: cleaning.Rules = dataclasses.field(default_factory=cleaning.Rules)
    conflicts: list[list[manifest.Row]] = dataclasses.field(default_factory=list)
    kept: kept_splits.Outcome | None = None
    split_before: dict[str, str] = dataclasses.field(default_factory=dict)
    lacking: str = ""
    repaired: int = 0
    leak_probe: label_leak.Probe | None = None
    deep: frozenset[str] = frozenset()
    depth_range: depth.Depth | None = None
    max_pixels: int = images.MAX_PIXELS
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def rows(self) -> list[manifest.Row]:
        return self.folder.rows

    @property
    def split_after(self) -> dict[str, str]:
        return {row.path: row.split for row in self.rows if row.split}
