"""Records on disk: built once for each content, found again by it."""

import contextlib
import dataclasses
import io
import os
import pathlib
import shutil
from collections.abc import Mapping

import tensorflow_datasets as tfds

from nexperia_tf import errors, files, locks
from nexperia_tf.data.measure import depth
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import kept_splits
from nexperia_tf.data.raw import file_names, layouts
from nexperia_tf.data.records import builder, folds, origin, prepared_folder
from nexperia_tf.data.source import DataSource
from nexperia_tf.sample import command as sample

SOURCE = "source.json"  # beside the records: what they were made from


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Records on disk.

    Attributes:
        name: as `tfds.load` takes it, such as "nexperia/sample".
        data_dir: as `tfds.load` takes it.
        prepared: folder of manifest.csv, duplicates.csv, summary.json, report.html.
    """

    name: str
    data_dir: pathlib.Path
    prepared: pathlib.Path

    @property
    def depth_range(self) -> tuple[float, float] | None:
        """What became black and white in 16-bit pictures; None where none is."""
        return depth.of_summary(files.read_json(self.prepared / prepare.SUMMARY))

    @property
    def folder(self) -> pathlib.Path:
        """Where the record files lie."""
        return self.data_dir / self.name / origin.SCHEMA


def build(
    source: DataSource,
    *,
    calibration_share: float = 0.0,
    keep_splits: str | os.PathLike = kept_splits.AUTO,
    init: str | os.PathLike = "",
    seen_by: depth.Model | None = None,
    fold: str = "",
) -> Dataset:
    """The records of some pictures, made on the way when they are not there yet.

    Args:
        source: which pictures; the cleaning and the splits of what `nexperia prepare`
            wrote stand, not the depth range. In its `data_dir` lies one folder for each
            content and set of options, written beside and renamed when whole.
        calibration_share: of the labelled devices, cut from train as split calibration.
        keep_splits: run, prepared or data folder whose pictures keep their splits;
            `auto` takes those in `data_dir` of the same raw folder: of `init`, else
            the newest with the same calibration share, else the newest; `none` deals
            anew.
        init: run folder that is to be learned on from.
        seen_by: the model that is to see the pictures, where there is one already; its
            depth range is taken where `source` names none.
        fold: such as 2/5: all labelled pictures are dealt to so many folds, and this
            one is the test split; kept in `data_dir`/folds.

    Raises:
        errors.BadInput: no such folder, nothing in it that can be used, or 16-bit
            pictures for a model that knows no range, before any record is made.
    """
    if seen_by and not source.depth_range:
        source = dataclasses.replace(source, depth_range=seen_by.depth_range)
    dataset = _of_source(source, calibration_share, keep_splits, init, seen_by)
    if seen_by and not source.depth_range and dataset.depth_range:
        seen_by.check(source.data)
    if fold:
        return _of_fold(dataset, folds.Fold.of(fold), fold_place(source.data_dir))
    return dataset


def fold_place(data_dir: str | os.PathLike) -> pathlib.Path:
    """Where the records of folds are kept."""
    return pathlib.Path(data_dir) / folds.PLACE


def _of_fold(dataset: Dataset, fold: folds.Fold, place: pathlib.Path) -> Dataset:
    found = prepared_folder.read(folds.prepared(dataset.prepared, fold, place))
    folder = _of_prepared(found, place)
    return Dataset(f"nexperia/{found.layout}", folder, folder / "prepared")


def _of_source(
    source: DataSource,
    calibration_share: float,
    keep_splits: str | os.PathLike,
    init: str | os.PathLike,
    seen_by: depth.Model | None,
) -> Dataset:
    data, data_dir = str(source.data), pathlib.Path(source.data_dir)
    asked = source.named() | {"calibration_share": calibration_share}
    if found := prepared_folder.read(data):
        given = asked.pop("depth_range")
        if found.depth and seen_by and not given:
            seen_by.check(data)
        is_kept = seen_by is not None and seen_by.keeps(given)
        found = found.seen_through(given, depth.RUN if is_kept else depth.GIVEN)
        _refuse_to_prepare_again(found, asked, keep_splits)
        folder = _of_prepared(found, data_dir)
        return Dataset(f"nexperia/{found.layout}", folder, folder / "prepared")
    if data == origin.SAMPLE:
        raw, layout = origin.drawn_sample(data_dir), "hand_over"
        config, name = origin.SAMPLE, f"sample-v{sample.VERSION}"
    else:
        raw, layout = _raw_folder(data, data_dir)
        config, name = layout, file_names.as_text(raw.resolve().name)
    options = origin.Config(config, layout=layout, **asked)
    folder = _built(data_dir, name, raw, options, keep_splits, init, seen_by)
    return Dataset(f"nexperia/{config}", folder, folder / "prepared")


def of_manifest(
    path: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    depth_range: tuple[float, float] | None = None,
) -> Dataset | None:
    """The records in `data_dir` that were made of this very manifest, if any.

    Args:
        path: the manifest.
        data_dir: where records are kept.
        depth_range: that of 16-bit pictures; None for that of the training split.
    """
    digest = files.sha256(path)
    for found in sorted(pathlib.Path(data_dir).glob("*/prepared/manifest.csv")):
        if files.sha256(found) == digest and _is_of_depth(found.parent, depth_range):
            folder = found.parents[1]
            # Records of an older version of this package are made anew.
            for records in folder.glob(f"nexperia/*/{origin.SCHEMA}"):
                return Dataset(f"nexperia/{records.parent.name}", folder, found.parent)
    return None


def _is_of_depth(
    prepared: pathlib.Path, depth_range: tuple[float, float] | None
) -> bool:
    summary = files.read_json(prepared / prepare.SUMMARY)
    stated = depth.of_summary(summary)
    if stated is None:  # all is 8 bit
        return True
    if depth_range is None:
        return summary["depth_range"]["from"] == depth.TRAINING
    return stated == depth_range


def _refuse_to_prepare_again(
    found: prepared_folder.PreparedFolder,
    asked: Mapping[str, object],
    keep_splits: str | os.PathLike,
) -> None:
    settled = keep_splits in (kept_splits.AUTO, kept_splits.NONE)
    if not settled and not kept_splits.is_of_run(found.folder, keep_splits):
        asked = {**asked, "keep_splits": keep_splits}
    for name, value in asked.items():
        if value and value != found.options.get(name):
            flag = f"--{name.replace('_', '-')}"
            raise errors.BadInput(
                f"{found.folder}: is prepared already; leave {flag} out here, or pass "
                f"it to nexperia prepare {found.raw}."
            )


def _of_prepared(
    found: prepared_folder.PreparedFolder, data_dir: pathlib.Path
) -> pathlib.Path:
    """The folder with the records of a prepared one, made if no earlier call has."""
    made_from = found.content
    name = file_names.as_text(found.folder.resolve().name)
    folder = data_dir / f"{name}-{made_from[:12]}"
    stamp = origin.stamp(found.raw, found.config)
    with locks.held(folder, busy="builds these records"):
        there = (folder / SOURCE).is_file()
        if there and stamp and files.read_json(folder / SOURCE).get("stamp") == stamp:
            return folder
        found.check()
        if not folder.exists():
            with (
                origin.unless_another_was_quicker(folder),
                files.new_folder(folder) as partial,
            ):
                found.copy(partial / "prepared")
                _write(found.raw, partial, found.layout)
        _note(folder / SOURCE, made_from, stamp, None)
    return folder


def _raw_folder(data: str, data_dir: pathlib.Path) -> tuple[pathlib.Path, str]:
    """The folder that `data` names, and its layout."""
    prefix, _, rest = data.partition(":")
    layout = prefix if prefix in layouts.LAYOUTS else ""
    raw = pathlib.Path(rest if layout else data)
    if not raw.is_dir():
        raise errors.BadInput(
            f"{raw}: no such folder; give a raw folder, LAYOUT:PATH, what nexperia "
            "prepare wrote, or `sample`."
        )
    if data_dir.resolve().is_relative_to(raw.resolve()):
        raise errors.BadInput(
            f"{data_dir}: lies in the raw folder {raw}; keep records elsewhere."
        )
    return raw, layout or layouts.detect(raw)


def _built(
    data_dir: pathlib.Path,
    name: str,
    raw: pathlib.Path,
    config: origin.Config,
    keep_splits: str | os.PathLike,
    init: str | os.PathLike,
    seen_by: depth.Model | None,
) -> pathlib.Path:
    """The folder with the records of `raw`, made if no earlier call has."""
    keep = kept_splits.named(keep_splits)
    if keep_splits == kept_splits.AUTO:
        keep = kept_splits.of_init(init, raw)
    stamp = origin.stamp(raw, config)
    if stamp and (folder := _made(data_dir, "stamp", stamp, keep, keep_splits, init)):
        return folder
    made_from = origin.content(raw, config)
    # Whoever waited finds it made; which splits it keeps is settled by one at a time.
    with locks.held(data_dir / f"{name}-{made_from[:12]}", busy="builds these records"):
        folder = _made(data_dir, "content", made_from, keep, keep_splits, init)
        if folder is None:
            if keep_splits == kept_splits.AUTO:
                keep = origin.kept(data_dir, raw, config, init)
            folder = data_dir / f"{name}-{origin.named(made_from, keep)[:12]}"
        if not folder.exists():
            with (
                origin.unless_another_was_quicker(folder),
                files.new_folder(folder) as partial,
            ):
                origin.write_prepared(
                    raw, partial / "prepared", config, keep, seen_by=seen_by
                )
                _write(raw, partial, config.name)
        _note(folder / SOURCE, made_from, stamp, keep)
    return folder


def _note(
    source: pathlib.Path, made_from: str, stamp: str, keep: kept_splits.Kept | None
) -> None:
    """Writes by what the next call sees, without reading it all, that it is made."""
    made = {"schema": origin.SCHEMA, "content": made_from, "stamp": stamp}
    if keep:
        made["kept_splits"] = keep.sha256
    files.write_json(
        source, (files.read_json(source) if source.exists() else {}) | made
    )


def _made(
    data_dir: pathlib.Path,
    key: str,
    value: str,
    keep: kept_splits.Kept | None,
    keep_splits: str | os.PathLike,
    init: str | os.PathLike,
) -> pathlib.Path | None:
    """The data folder of this content that keeps the splits that were named.

    That of the run `init` goes first, then the newest.
    """
    found = []
    for source in data_dir.glob(f"*/{SOURCE}"):
        facts = files.read_json(source)
        if facts.get(key) != value:
            continue
        prepared = source.parent / "prepared"
        fits = facts.get("kept_splits") == (keep.sha256 if keep else None)
        if keep_splits == kept_splits.AUTO and not fits:
            # Any splits will do, but for those of the run to be learned on from.
            fits = keep is None or kept_splits.agree(prepared, keep)
        if fits:
            made = files.read_json(prepared / prepare.SUMMARY).get("made", "")
            is_init = kept_splits.is_of_run(prepared, init)
            found.append((is_init, made, source.parent))
    return max(found)[-1] if found else None


def _write(raw: pathlib.Path, folder: pathlib.Path, config: str) -> None:
    prepared = folder / "prepared"
    made = builder.Nexperia(data_dir=folder, config=config, raw=raw, prepared=prepared)
    download = tfds.download.DownloadConfig(
        try_download_gcs=False, compute_stats=tfds.download.ComputeStatsMode.SKIP
    )
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS speaks of downloads
        made.download_and_prepare(download_config=download)
    shutil.rmtree(folder / "downloads")  # nothing was
