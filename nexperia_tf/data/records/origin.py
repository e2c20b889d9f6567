"""The raw folder behind records: what is in it, and its preparation."""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator

import tensorflow_datasets as tfds

from nexperia_tf import files, locks, version
from nexperia_tf.data import manifest, progress
from nexperia_tf.data.measure import depth, scan_cache
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import decisions, kept_splits
from nexperia_tf.data.raw import listing
from nexperia_tf.sample import command as sample

SCHEMA = "1.1.0"  # raised with every change of what a record holds
SAMPLE = "sample"
SAMPLE_DEVICES = 3400


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
    """A layout of raw folders, with the options of `prepare.prepare`."""

    layout: str | None = None
    unboxed: str | None = None
    good: str | None = None
    group: str | None = None
    calibration_share: float = 0.0
    depth_range: tuple[float, float] | None = None
    max_pixels: int | None = None

    def options(self) -> dict[str, object]:
        names = ("layout", "unboxed", "good", "group", "calibration_share")
        return {n: getattr(self, n) for n in (*names, "depth_range", "max_pixels")}

    def to_prepare(self) -> prepare.Options:
        """The same for `prepare.prepare`; which splits stay is said apart."""
        stated = {name: value for name, value in self.options().items() if value}
        return prepare.options_of(keep_splits=kept_splits.NONE, **stated)


def drawn_sample(data_dir: pathlib.Path) -> pathlib.Path:
    """The sample's raw folder, drawn when it is not there yet."""
    raw = data_dir / f"sample-v{sample.VERSION}" / "raw"
    if not raw.exists():
        with locks.held(raw, busy="draws the sample"):
            if not raw.exists():  # by now
                with (
                    unless_another_was_quicker(raw),
                    progress.reporting() as on_progress,
                ):
                    sample.draw(
                        raw, devices=SAMPLE_DEVICES, seed=0, on_progress=on_progress
                    )
    return raw


def content(raw: pathlib.Path, config: Config) -> str:
    """Hex SHA-256 over all files that count in `raw`, and how they are used."""
    found = listing.files(raw)
    paths = _read_by_prepare(found)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        digests = zip(paths, pool.map(_sha256, paths.values()))
        return _digest(config, [*digests, *found.problems.items()])


def stamp(raw: pathlib.Path, config: Config) -> str:
    """Stands for `content` until a file changes; empty when that cannot be known.

    Of each file it takes size, times of content and of name, and inode, of what a link
    leads to: a swap under equal size and time is seen. Windows keeps no time of the
    name's change, so all is read there.
    """
    if os.name == "nt":
        return ""
    found = listing.files(raw)
    stamps = {n: scan_cache.stamp(path) for n, path in _read_by_prepare(found).items()}
    if not all(stamps.values()):
        return ""
    parts = [str(raw.resolve()), *stamps.items(), *found.problems.items()]
    return _digest(config, parts)


def code() -> list[object]:
    """What of this package decides what records hold."""
    return [version.__version__, SCHEMA, manifest.SCHEMA]


def _digest(config: Config, parts: Iterable) -> str:
    decided = [*code(), config.name, config.options()]
    return hashlib.sha256(json.dumps([decided, *parts]).encode()).hexdigest()


def _sha256(path: pathlib.Path) -> str:
    try:
        return files.sha256(path)
    except OSError as error:  # a row with this as its reason
        return f"cannot be opened: {error.strerror}"


def _read_by_prepare(found: listing.Listing) -> dict[str, pathlib.Path]:
    """The pictures, the tables and texts beside them, and decisions.csv, by path."""
    texts = (name for name, why in found.skipped.items() if why == listing.TEXTS)
    paths = {name: found.path(name) for name in (*found.files, *texts)}
    raw = found.folder
    next_to_it = raw.resolve().parent / decisions.NAME
    if next_to_it.is_file():
        paths[f"../{decisions.NAME}"] = next_to_it
    return dict(sorted(paths.items()))


def kept(
    folder: pathlib.Path,
    raw: pathlib.Path,
    config: Config,
    init: str | os.PathLike = "",
) -> kept_splits.Kept | None:
    """The splits of the preparation of `raw` in `folder` that fits best.

    Where `init` was made of another one, in another folder, its own list is taken.
    """
    asked = config.options() | {"seed": 0}
    found = kept_splits.find(kept_splits.neighbours(folder), raw, asked, init=init)
    own = kept_splits.of_init(init, raw)
    same = own is None or (found is not None and found.sha256 == own.sha256)
    return found if same else own


def named(content: str, keep: kept_splits.Kept | None) -> str:
    """What a folder is named after: the content, and the splits it keeps."""
    if keep is None:
        return content
    return hashlib.sha256(f"{content} {keep.sha256}".encode()).hexdigest()


def write_prepared(
    raw: pathlib.Path,
    out: pathlib.Path,
    config: Config,
    keep: kept_splits.Kept | None,
    *,
    seen_by: depth.Model | None = None,
) -> None:
    """Prepares `raw` as a config says, and shows how far each step is."""
    with progress.reporting() as on_progress:
        prepare.prepare(
            raw,
            out,
            config.to_prepare(),
            keep=keep,
            seen_by=seen_by,
            on_progress=on_progress,
        )


@contextlib.contextmanager
def unless_another_was_quicker(folder: pathlib.Path) -> Iterator[None]:
    """Passes over the error of publishing what a process beside it has just published.

    Locks keep it from that, where a disk knows them.
    """
    try:
        yield
    except OSError:
        if not folder.exists():
            raise
