"""Pictures that were split before keep their split when pictures are added.

Pictures are recognised by content, not by name: files may be moved, renamed and sorted
anew. New pictures follow the group, the twin or the copy they have among the old ones;
one that is tied to two splits would bridge them and is dropped. The rest is split anew.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from nexperia_tf import errors, files
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.duplicates import search
from nexperia_tf.data.raw import file_names

AUTO, NONE = "auto", "none"  # of --keep-splits, beside a folder
RUN_COPY = "pictures.csv"  # runs.PICTURES: the manifest of a run's records
ASKED_FOR = ("layout", "good", "group", "seed")  # what must agree to be found


@dataclasses.dataclass(frozen=True)
class Kept:
    """The splits of an earlier preparation.

    Attributes:
        source: the folder they were read from.
        rows: its pictures that were in a split.
        found: whether it was found automatically, not named by a person.
        init: whether it is the run of `--init`.
    """

    source: pathlib.Path
    rows: tuple[manifest.Row, ...]
    found: bool = False
    init: bool = False

    @functools.cached_property
    def sha256(self) -> str:
        """Of everything that determines what is kept; part of data folders' names."""
        lines = sorted((row.pixel_sha256, row.path, row.split) for row in self.rows)
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()

    def splits_of(self, rows: Iterable[manifest.Row]) -> dict[str, str]:
        """Splits, by path, that pictures had; new ones are not named.

        Of several files with the same content, as many count as old as were used
        before, those with the old names first: the others are new copies.
        """
        rows, split_of = list(rows), {}
        for content in ("pixel_sha256", "sha256"):
            had = _by(content, self.rows)
            for value, now in _by(content, rows).items():
                if had.get(value) and not any(r.path in split_of for r in now):
                    split_of |= _matched(had[value], now)
        return split_of


def _by(content: str, rows: Iterable[manifest.Row]) -> dict[str, list[manifest.Row]]:
    rows_by = collections.defaultdict(list)
    for row in rows:
        if getattr(row, content):
            rows_by[getattr(row, content)].append(row)
    return rows_by


def _matched(had: list[manifest.Row], now: list[manifest.Row]) -> dict[str, str]:
    """Splits by path of files that show what had splits before."""
    before = {row.path: row.split for row in had}
    same = {row.path: before[row.path] for row in now if row.path in before}
    moved = sorted(row.path for row in now if row.path not in same)
    free = sorted(path for path in before if path not in same)
    return same | {path: before[old] for path, old in zip(moved, free)}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Which old pictures keep their split, and which new ones follow or are dropped.

    Attributes:
        kept: the splits that were to be kept.
        old: splits by path of the pictures that keep theirs.
        followed: splits by path of new pictures that go with an old one.
        bridging: paths of new pictures that were dropped.
    """

    kept: Kept
    old: Mapping[str, str]
    followed: Mapping[str, str]
    bridging: Sequence[str]

    @property
    def settled(self) -> dict[str, str]:
        return {**self.old, **self.followed}


def named(keep: str | os.PathLike | Kept | None) -> Kept | None:
    """The splits that `--keep-splits` names; None where it names none.

    Raises:
        errors.BadInput: the folder holds no earlier splits.
    """
    if keep is None or isinstance(keep, Kept):
        return keep
    if str(keep) in (AUTO, NONE):
        return None
    return Kept(pathlib.Path(keep), _learned(rows_of(keep)))


def rows_of(folder: str | os.PathLike) -> list[manifest.Row]:
    """The manifest behind a run folder, a prepared folder or a data folder.

    Raises:
        errors.BadInput: it is none of them, or a run whose records are gone.
    """
    folder = pathlib.Path(folder)
    for name in (RUN_COPY, "manifest.csv", "prepared/manifest.csv"):
        if (folder / name).is_file():
            return manifest.read(folder / name)
    if (folder / "config.json").is_file():
        return _rows_of_older_run(folder)
    raise errors.BadInput(
        f"--keep-splits {folder}: holds no earlier splits; name a run folder, a "
        "prepared folder or a data folder, or pass none to split anew."
    )


def _rows_of_older_run(folder: pathlib.Path) -> list[manifest.Row]:
    """A run that kept no list of its pictures: the records that have its very splits.

    Raises:
        errors.BadInput: none has.
    """
    config = files.read_json(folder / "config.json")
    sizes = config.get("run", {}).get("splits")
    scored = {
        path.stem: {
            cells["image_id"] for _, cells in tables.read(path, ("image_id",))[1]
        }
        for path in sorted((folder / "predictions").glob("*.csv"))
    }
    data_dir = pathlib.Path(config.get("data_dir", "data"))
    for path in sorted(data_dir.glob("*/prepared/manifest.csv")):
        rows = manifest.read(path)
        counts = collections.Counter(row.split for row in rows if row.used)
        ids = {s: {r.image_id for r in rows if r.used and r.split == s} for s in scored}
        if dict(counts) == sizes and ids == scored:
            return rows
    raise errors.BadInput(
        f"{folder}: kept no list of its pictures, and no records in {data_dir} have "
        "its splits; name the prepared folder it was trained on."
    )


def neighbours(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders in `folder`, whole ones, that may be prepared or hold such a one."""
    return [
        path
        for pattern in ("*", "*/prepared")
        for path in folder.glob(pattern)
        if not path.relative_to(folder).parts[0].startswith(".")
    ]


def find(
    folders: Iterable[pathlib.Path],
    raw: pathlib.Path,
    options: Mapping[str, object],
    *,
    init: str | os.PathLike = "",
) -> Kept | None:
    """The earlier preparation of the same raw folder that fits best.

    That of the run `init` goes first, then those with the same calibration share; of
    equals the newest is taken.

    Args:
        folders: prepared folders, in any order.
        raw: the raw folder.
        options: those of `ASKED_FOR` decide whether a preparation is of the same kind.
        init: run folder of `--init`.
    """
    ranked = []
    for folder in folders:
        if (folder / "summary.json").is_file() and (folder / "manifest.csv").is_file():
            summary = files.read_json(folder / "summary.json")
            if _is_of(summary, folder, raw, options):
                rank = (is_of_run(folder, init), _shares(summary, options))
                ranked.append((*rank, summary.get("made", ""), str(folder), folder))
    if not ranked:
        return None
    folder = max(ranked)[-1]
    return Kept(folder, _learned(rows_of(folder)), found=True)


def of_init(run: str | os.PathLike, raw: pathlib.Path) -> Kept | None:
    """The splits of the run `--init` names, where it knows pictures of `raw`.

    They are recognised by path and content; renamed files are not searched for.
    """
    copy = pathlib.Path(run) / RUN_COPY if run else None
    if copy is None or not copy.is_file():
        return None
    rows = _learned(manifest.read(copy))
    if not any(_is_there(row, raw) for row in rows):
        return None
    return Kept(pathlib.Path(run), rows, found=True, init=True)


def _is_there(row: manifest.Row, raw: pathlib.Path) -> bool:
    path = file_names.on_disk(raw, row.path)
    return path.is_file() and files.sha256(path) == row.sha256


def agree(folder: pathlib.Path, kept: Kept) -> bool:
    """Whether no picture of a prepared folder has another split than in `kept`."""
    rows = manifest.read(folder / "manifest.csv")
    before = kept.splits_of(rows)
    return all(row.split == before.get(row.path, row.split) for row in rows if row.used)


def is_of_run(folder: pathlib.Path, run: str | os.PathLike) -> bool:
    """Whether a prepared folder holds the very manifest that a run learned from."""
    copy = pathlib.Path(run) / RUN_COPY if run else None
    if copy is None or not copy.is_file():
        return False
    return files.sha256(copy) == files.sha256(folder / "manifest.csv")


def _shares(summary: Mapping, options: Mapping) -> bool:
    """Whether a preparation was made with the calibration share of `options`."""
    share = options.get("calibration_share", 0.0)
    made = summary.get("options", {}).get("calibration_share")
    if made is None:  # older ones do not say
        return (share > 0) == (manifest.CALIBRATION in summary.get("splits", {}))
    return made == share


def _is_of(
    summary: Mapping, folder: pathlib.Path, raw: pathlib.Path, options: Mapping
) -> bool:
    """Whether a prepared folder was made of `raw` with such options."""
    if "raw" in summary:
        earlier = summary.get("options", {})
        alike = all(earlier.get(name) == options.get(name) for name in ASKED_FOR)
        return alike and summary["raw"] == str(raw.resolve())
    # Older ones say so by the name of their data folder alone.
    name = f"{re.escape(file_names.as_text(raw.resolve().name))}-[0-9a-f]{{12}}"
    same = bool(re.fullmatch(name, folder.resolve().parent.name))
    return same and not any(options.get(n) for n in ("good", "group", "seed"))


def _learned(rows: Iterable[manifest.Row]) -> tuple[manifest.Row, ...]:
    return tuple(row for row in rows if row.used and row.split in manifest.SPLITS)


def settle(
    rows: Sequence[manifest.Row],
    findings: search.Findings,
    kept: Kept,
    old: Mapping[str, str],
    *,
    spared: Collection[str] = (),
) -> Outcome:
    """Finds which new pictures follow old ones; drops those that would bridge splits.

    Args:
        rows: those whose split is not given.
        findings: pairs of copies and twins, and clusters.
        kept: the earlier splits.
        old: their splits by path, where they are still used.
        spared: paths that a person wants to keep.
    """
    known = {row.path: row for row in rows}
    old = {path: split for path, split in old.items() if known[path].used}
    ties = [
        tie
        for tie in [*((p.path_a, p.path_b) for p in findings.pairs), *_chains(findings)]
        if tie[0] in known and tie[1] in known
    ]
    home = _homes(rows, ties, old)

    def split_of(path: str) -> str:
        return old.get(path) or home.get(_node(known[path]), "")

    bridging = set()
    for tie in sorted({(min(tie), max(tie)) for tie in ties}):
        ends = [p for p in tie if _learnable(known[p]) and p not in bridging]
        if len(ends) < 2 or split_of(ends[0]) == split_of(ends[1]):
            continue
        new = [path for path in ends if path not in old and path not in spared]
        bridging.update(new[-1:])  # of two new ones the later
    for path in bridging:
        known[path].dropped_because = "bridges_splits"
    followed = {
        row.path: split_of(row.path)
        for row in rows
        if _learnable(row) and row.path not in old and split_of(row.path)
    }
    return Outcome(kept, old, followed, sorted(bridging))


def _chains(findings: search.Findings) -> Iterable[tuple[str, str]]:
    for cluster in findings.clusters:
        yield from itertools.pairwise(cluster)


def _learnable(row: manifest.Row) -> bool:
    return row.used and bool(row.label)


def _node(row: manifest.Row) -> str:
    """What goes to one split: a group; a picture that is not learned only itself."""
    is_grouped = _learnable(row) and row.group
    return f"group {row.group}" if is_grouped else f"path {row.path}"


def _homes(
    rows: Sequence[manifest.Row],
    ties: Sequence[tuple[str, str]],
    old: Mapping[str, str],
) -> dict[str, str]:
    """Split by node: of its old pictures, else of those it is tied to, nearest first.

    Pictures that are dropped or unlabelled pass on what they are tied to.
    """
    node = {row.path: _node(row) for row in rows}
    votes: dict[str, list[str]] = collections.defaultdict(list)
    for path, split in old.items():
        votes[node[path]].append(split)
    home: dict[str, str] = {}
    while votes:
        home |= {name: _most_common(given) for name, given in votes.items()}
        votes, firm = collections.defaultdict(list), collections.defaultdict(list)
        for tie in ties:
            for here, there in (tie, tie[::-1]):
                split = old.get(there) or home.get(node[there])
                if split and node[here] not in home:
                    votes[node[here]].append(split)
                    if there in old:
                        firm[node[here]].append(split)
        votes |= firm  # old pictures count before new ones
    return home


def _most_common(votes: Sequence[str]) -> str:
    counts = collections.Counter(votes)
    return max(manifest.SPLITS, key=lambda split: counts[split])


def numbers(outcome: Outcome | None) -> dict | None:
    """The part of summary.json about kept splits."""
    if outcome is None:
        return None
    return {
        "from": str(outcome.kept.source),
        "found": outcome.kept.found,
        "init": outcome.kept.init,
        "sha256": outcome.kept.sha256,
        "pictures": len(outcome.kept.rows),
        "kept": len(outcome.old),
        "followed": len(outcome.followed),
        "bridging": len(outcome.bridging),
        "calibration": list(outcome.old.values()).count(manifest.CALIBRATION),
    }


def in_words(kept: Mapping) -> str:
    """One line on the numbers of `kept_splits` in a summary.json."""
    where = "the run of --init" if kept.get("init") else "found beside the data"
    how = f" ({where}; --keep-splits none splits anew)"
    line = (
        f"splits kept from {kept['from']}{how if kept['found'] else ''}: "
        f"{kept['kept']} of its {kept['pictures']} pictures are here and keep theirs"
    )
    if n := kept["followed"]:
        new = "new one follows its" if n == 1 else "new ones follow their"
        line += f", {n} {new} group or twin"
    if n := kept["bridging"]:
        line += f", {n} would bridge two splits and {'is' if n == 1 else 'are'} dropped"
    if n := kept.get("calibration"):
        devices = "1 device" if n == 1 else f"{n} devices"
        line += (
            f"; a calibration split of {devices} comes with them (--keep-splits none "
            "leaves it out, --keep-splits FOLDER takes those of another preparation)"
        )
    return line
