"""What `nexperia prepare RAW --out DIR` wrote, in place of a raw folder."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping

from nexperia_tf import errors, files
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.raw import file_names, layouts
from nexperia_tf.data.records import origin

MANIFEST = "manifest.csv"
_FILES = (MANIFEST, "duplicates.csv", "folds.csv", "report.html", prepare.SUMMARY)


@dataclasses.dataclass(frozen=True)
class PreparedFolder:
    """A manifest with its summary.

    Attributes:
        folder: where they lie.
        raw: the raw folder that the summary names.
        layout: that of the raw folder.
        options: what it was prepared with, by name: good, group, ...
        depth: what its summary is to say of 16-bit pictures; empty where none is.
    """

    folder: pathlib.Path
    raw: pathlib.Path
    layout: str
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    depth: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def config(self) -> origin.Config:
        return origin.Config(self.layout, layout=self.layout)

    @property
    def content(self) -> str:
        """Hex SHA-256 of the manifest, with all else that decides what records hold."""
        parts = [*origin.code(), str(self.raw), files.sha256(self.folder / MANIFEST)]
        if self.depth:
            parts += [self.depth["low"], self.depth["high"]]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def seen_through(
        self, depth_range: tuple[float, float] | None, source: str
    ) -> "PreparedFolder":
        """The same with another range for its 16-bit pictures, where it has such."""
        own = (self.depth.get("low"), self.depth.get("high"))
        if not self.depth or depth_range in (None, own):
            return self
        given = dict(zip(("low", "high"), depth_range)) | {"from": source}
        return dataclasses.replace(self, depth={**self.depth, **given})

    def copy(self, to: pathlib.Path) -> None:
        """The same files in another folder; the summary says the depth range."""
        to.mkdir()
        for name in _FILES:
            if (self.folder / name).is_file():
                files.write_bytes(to / name, (self.folder / name).read_bytes())
        facts = files.read_json(to / prepare.SUMMARY)
        if facts.get("depth_range", {}) != self.depth:
            facts["depth_range"] = self.depth
            files.write_json(to / prepare.SUMMARY, facts)

    def check(self) -> None:
        """Compares the raw folder with what was prepared; reads every picture.

        Raises:
            errors.BadInput: a picture is gone, new, changed or labelled otherwise.
        """
        again = f"; run nexperia prepare {self.raw} again."
        rows = {row.path: row for row in manifest.read(self.folder / MANIFEST)}
        read_by = {name: self.options.get(name) or "" for name in ("good", "group")}
        found = layouts.scan(self.raw, self.layout, **read_by)
        now = {row.path: row for row in found.rows}
        for path, row in rows.items():
            said = ""
            file = file_names.on_disk(self.raw, path)
            if path not in now or (row.sha256 and not file.is_file()):
                said = "is gone since"
            elif row.sha256 and files.sha256(file) != row.sha256:
                said = "has changed since"
            elif now[path].label_given != row.label_given:
                said = f"is labelled {now[path].label_given or 'nothing'}, unlike when"
            if said:
                raise errors.BadInput(
                    f"{self.raw / path}: {said} {self.folder} was prepared{again}"
                )
        if new := sorted(now.keys() - rows.keys()):
            raise errors.BadInput(
                f"{self.raw / new[0]}: is new since {self.folder} was prepared{again}"
            )


def read(folder: str | os.PathLike) -> PreparedFolder | None:
    """The prepared folder; None where it is none.

    Raises:
        errors.BadInput: its raw folder is gone.
    """
    folder = pathlib.Path(folder)
    if not all((folder / name).is_file() for name in (MANIFEST, prepare.SUMMARY)):
        return None
    facts = files.read_json(folder / prepare.SUMMARY)
    if not facts.keys() >= {"raw", "layout", "manifest_schema"}:
        return None  # a raw folder that happens to hold such names
    raw = pathlib.Path(facts["raw"])
    if not raw.is_dir():
        raise errors.BadInput(
            f"{folder}: was prepared from {raw}, which is gone; put it back, or run "
            "nexperia prepare on its pictures where they are now."
        )
    rule = facts.get("unboxed", {}).get("rule")
    options = facts.get("options", {}) | {"unboxed": rule}
    stated = facts.get("depth_range", {})
    return PreparedFolder(folder, raw, facts["layout"], options, stated)
