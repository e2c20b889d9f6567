"""Clean photographs as TFDS records: built once for each content, read by name."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import logging
import os
import pathlib
import shutil
import typing
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import rich.console
import tensorflow as tf
import tensorflow_datasets as tfds
from rich import progress
from tensorflow_datasets.core.utils import gcs_utils

import nexperia_tf
from nexperia_tf import errors, files, labels, locks
from nexperia_tf.data import manifest
from nexperia_tf.data.measure import scan_cache
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import decisions, kept_splits
from nexperia_tf.data.raw import layouts
from nexperia_tf.sample import command as sample

SCHEMA = "1.0.0"  # raised with every change of what a record holds
SAMPLE = "sample"
SAMPLE_DEVICES = 3400
SPLITS = (*manifest.SPLITS, manifest.UNLABELLED)
SOURCE = "source.json"  # beside the records: what they were made from

SCREEN = rich.console.Console(stderr=True)  # progress, apart from a command's answer

# TFDS asks a public bucket whether it has the dataset; these records are private.
gcs_utils._is_gcs_disabled = True


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a log line is more than TFDS's warning of its own code.

    Its PartialDecoding asks every feature for `dtype`, which TFDS has deprecated; seen
    in 4.9.10. To go when a later release reads some fields of a record without it.
    """
    return "`FeatureConnector.dtype` is deprecated" not in record.getMessage()


logging.getLogger("absl").addFilter(_is_news)


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
    def folder(self) -> pathlib.Path:
        """Where the record files lie."""
        return self.data_dir / self.name / SCHEMA


@dataclasses.dataclass(frozen=True)
class Example:
    """One device out of the records; `image` is empty where it was not asked for."""

    image_id: str
    label: int
    defect_type: str
    group: str
    lot: str
    machine: str
    boxes: list[list[float]]
    image: bytes = b""


def features() -> tfds.features.FeaturesDict:
    """What one record holds."""
    return tfds.features.FeaturesDict(
        {
            # The file's bytes as they are: TFDS decodes them for who loads by name,
            # this package takes the bytes and decodes them in preprocess.py.
            "image": tfds.features.Image(shape=(None, None, None)),
            "label": tfds.features.ClassLabel(names=labels.NAMES),  # -1: not labelled
            "image_id": tfds.features.Text(),
            "group": tfds.features.Text(),
            "lot": tfds.features.Text(),
            "machine": tfds.features.Text(),
            "defect_type": tfds.features.Text(),
            # x1, y1, x2, y2 in pixels of the raw photograph
            "boxes": tfds.features.Sequence(
                tfds.features.Tensor(shape=(4,), dtype=np.float32)
            ),
        }
    )


@dataclasses.dataclass(eq=False)
class Config(tfds.core.BuilderConfig):
    """A raw form, with the options of `prepare.prepare`."""

    layout: str | None = None
    unboxed: str | None = None
    good: str | None = None
    group: str | None = None
    calibration_share: float = 0.0

    def options(self) -> dict[str, str | float | None]:
        names = ("layout", "unboxed", "good", "group", "calibration_share")
        return {name: getattr(self, name) for name in names}


class Nexperia(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Prepares a raw folder and writes what passed as records."""

    VERSION = tfds.core.Version(SCHEMA)
    RELEASE_NOTES: typing.ClassVar = {SCHEMA: "First version."}
    BUILDER_CONFIGS: typing.ClassVar = [
        Config(name=SAMPLE, layout="hand_over", description="drawn look-alikes"),
        *(Config(name=n, layout=n, description=f"form {n}") for n in layouts.LAYOUTS),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Pass the raw folder as --manual_dir; config `sample` draws its own."
    )

    def __init__(
        self,
        *,
        raw: str | os.PathLike | None = None,
        prepared: str | os.PathLike | None = None,
        **options,
    ):
        """As in TFDS; `raw` and its `prepared` folder spare the build's first steps."""
        self._raw = raw and pathlib.Path(raw)
        self._prepared = prepared and pathlib.Path(prepared)
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Device photographs, good and defective.",
            features=features(),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(),
        )

    def download_and_prepare(self, *, download_config=None, **options) -> None:
        manual_dir = download_config and download_config.manual_dir
        if manual_dir and self.is_prepared():
            self._refuse_other_content(pathlib.Path(manual_dir))
        tfds.display_progress_bar(False)  # its bars have no total; ours below have
        try:
            super().download_and_prepare(download_config=download_config, **options)
        finally:
            tfds.display_progress_bar(True)

    def _refuse_other_content(self, raw: pathlib.Path) -> None:
        # By name and version alone TFDS would take the records for made already.
        if self.info.metadata.get("content") != content(raw, self.builder_config):
            raise errors.BadInput(
                f"{self.data_path}: holds records of another raw folder; "
                "pass --overwrite or another --data_dir."
            )

    def _split_generators(self, dl_manager) -> dict:
        if self._prepared is None:
            self._prepare_manual(dl_manager)
        rows = manifest.read(self._prepared / "manifest.csv")
        by_split = {s: [r for r in rows if r.used and r.split == s] for s in SPLITS}
        # TFDS refuses a split without examples.
        return {s: self._generate_examples(r) for s, r in by_split.items() if r}

    def _prepare_manual(self, dl_manager) -> None:
        root = pathlib.Path(self._data_dir_root)
        if self.builder_config.name == SAMPLE:
            self._raw = drawn_sample(root)
        else:
            self._raw = pathlib.Path(dl_manager.manual_dir)
        config = self.builder_config
        made_from = content(self._raw, config)
        base = root / "prepared"
        keep = _kept(base, self._raw, config)
        self._prepared = base / f"{config.name}-{_named(made_from, keep)[:12]}"
        with locks.held(self._prepared, busy="prepares this folder"):
            if not self._prepared.exists():
                _prepare(self._raw, self._prepared, config, keep)
        self.info.metadata["content"] = made_from

    def _generate_examples(self, rows: Sequence[manifest.Row]) -> Iterator[tuple]:
        for row in _track(rows, f"Writing {rows[0].split} records"):
            yield row.image_id, example(self._raw, row)


def example(raw: pathlib.Path, row: manifest.Row) -> dict:
    """The record of one row of the manifest.

    Raises:
        errors.BadInput: the file is not the one that was prepared.
    """
    image = (raw / row.path).read_bytes()
    if hashlib.sha256(image).hexdigest() != row.sha256:
        raise errors.BadInput(
            f"{raw / row.path}: changed since it was prepared; start again."
        )
    label = labels.NAMES.index(row.label) if row.label else labels.UNLABELLED
    texts = ("image_id", "group", "lot", "machine", "defect_type")
    record = {name: getattr(row, name) for name in texts}
    return {"image": image, "label": label, "boxes": row.boxes, **record}


def build(
    data: str | os.PathLike,
    *,
    data_dir: str | os.PathLike = "data",
    layout: str | None = None,
    unboxed: str | None = None,
    good: str | None = None,
    group: str | None = None,
    calibration_share: float = 0.0,
    keep_splits: str | os.PathLike = kept_splits.AUTO,
    init: str | os.PathLike = "",
) -> Dataset:
    """The records of `data`, made on the way when they are not there yet.

    Args:
        data: "sample", the path of a raw folder, or "LAYOUT:PATH".
        data_dir: where sample, manifests and records are kept; one folder for each
            content and set of options, written beside and renamed when whole.
        layout: raw form, detected by default.
        unboxed: what becomes of defects without a box, "drop" or "keep".
        good: which class is good, for form `folder`.
        group: the column that must not be torn by the split.
        calibration_share: of the labelled devices, cut from train as split calibration.
        keep_splits: run, prepared or data folder whose pictures keep their splits;
            `auto` takes those in `data_dir` of the same raw folder: of `init`, else
            the newest with the same calibration share, else the newest; `none` deals
            anew.
        init: run folder that is to be learned on from.

    Raises:
        errors.BadInput: no such folder, or nothing in it that can be used.
    """
    data_dir = pathlib.Path(data_dir)
    if str(data) == SAMPLE:
        raw = drawn_sample(data_dir)
        layout = layout or "hand_over"
        config, name = SAMPLE, f"sample-v{sample.VERSION}"
    else:
        raw, layout = _raw_folder(str(data), layout, data_dir)
        config, name = layout, raw.resolve().name
    options = Config(
        config,
        layout=layout,
        unboxed=unboxed,
        good=good,
        group=group,
        calibration_share=calibration_share,
    )
    folder = _built(data_dir, name, raw, options, keep_splits, init)
    return Dataset(f"nexperia/{config}", folder, folder / "prepared")


def of_manifest(path: str | os.PathLike, data_dir: str | os.PathLike) -> Dataset | None:
    """The records in `data_dir` that were made of this very manifest, if any."""
    digest = files.sha256(path)
    for found in sorted(pathlib.Path(data_dir).glob("*/prepared/manifest.csv")):
        if files.sha256(found) == digest:
            folder = found.parents[1]
            names = [f.parent.name for f in folder.glob(f"nexperia/*/{SCHEMA}")]
            return Dataset(f"nexperia/{names[0]}", folder, found.parent)
    return None


def drawn_sample(data_dir: pathlib.Path) -> pathlib.Path:
    """The sample's raw folder, drawn when it is not there yet."""
    raw = data_dir / f"sample-v{sample.VERSION}" / "raw"
    if not raw.exists():
        shown = functools.partial(_track, title="Drawing look-alike devices")
        with locks.held(raw, busy="draws the sample"):
            if not raw.exists():  # by now
                with _unless_another_was_quicker(raw):
                    sample.draw(raw, devices=SAMPLE_DEVICES, seed=0, progress=shown)
    return raw


@contextlib.contextmanager
def _unless_another_was_quicker(folder: pathlib.Path) -> Iterator[None]:
    """Passes over the error of publishing what a process beside has just published.

    Locks keep it from that, where a disk knows them.
    """
    try:
        yield
    except OSError:
        if not folder.exists():
            raise


def _track(items: Iterable, title: str) -> Iterable:
    return progress.track(items, title, transient=True, console=SCREEN)


def _raw_folder(
    data: str, layout: str | None, data_dir: pathlib.Path
) -> tuple[pathlib.Path, str]:
    prefix, _, rest = data.partition(":")
    if prefix in layouts.LAYOUTS:
        data, layout = rest, prefix
    raw = pathlib.Path(data)
    if not raw.is_dir():
        raise errors.BadInput(
            f"{raw}: no such folder; give a raw folder, LAYOUT:PATH or `sample`."
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
    config: Config,
    keep_splits: str | os.PathLike,
    init: str | os.PathLike,
) -> pathlib.Path:
    """The folder with the records of `raw`, made if no earlier call has."""
    keep = kept_splits.named(keep_splits)
    if keep_splits == kept_splits.AUTO:
        keep = kept_splits.of_init(init, raw)
    stamp = _stamp(raw, config)
    if stamp and (folder := _made(data_dir, "stamp", stamp, keep, keep_splits, init)):
        return folder
    made_from = content(raw, config)
    # Whoever waited finds it made; which splits it keeps is settled by one at a time.
    with locks.held(data_dir / f"{name}-{made_from[:12]}", busy="builds these records"):
        folder = _made(data_dir, "content", made_from, keep, keep_splits, init)
        if folder is None:
            if keep_splits == kept_splits.AUTO:
                keep = _kept(data_dir, raw, config, init)
            folder = data_dir / f"{name}-{_named(made_from, keep)[:12]}"
        if not folder.exists():
            with (
                _unless_another_was_quicker(folder),
                files.new_folder(folder) as beside,
            ):
                _prepare(raw, beside / "prepared", config, keep)
                _write(raw, beside, config.name)
        _note(folder / SOURCE, made_from, stamp, keep)
    return folder


def _note(
    source: pathlib.Path, made_from: str, stamp: str, keep: kept_splits.Kept | None
) -> None:
    """Writes by what the next call sees, without reading it all, that it is made."""
    made = {"schema": SCHEMA, "content": made_from, "stamp": stamp}
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


def _kept(
    folder: pathlib.Path,
    raw: pathlib.Path,
    config: Config,
    init: str | os.PathLike = "",
) -> kept_splits.Kept | None:
    """The splits of the preparation of `raw` in `folder` that fits best.

    Where `init` was made of another one, in another folder, its own list is taken.
    """
    asked = config.options() | {"seed": 0}
    found = kept_splits.find(kept_splits.beside(folder), raw, asked, init=init)
    own = kept_splits.of_init(init, raw)
    same = own is None or (found is not None and found.sha256 == own.sha256)
    return found if same else own


def _named(content: str, keep: kept_splits.Kept | None) -> str:
    """What a folder is named after: the content, and the splits it keeps."""
    if keep is None:
        return content
    return hashlib.sha256(f"{content} {keep.sha256}".encode()).hexdigest()


def _prepare(
    raw: pathlib.Path,
    out: pathlib.Path,
    config: Config,
    keep: kept_splits.Kept | None,
) -> None:
    with prepare.progress_bar() as shown:
        prepare.prepare(
            raw,
            out,
            keep_splits=keep or kept_splits.NONE,
            progress=shown,
            **config.options(),
        )


def _write(raw: pathlib.Path, folder: pathlib.Path, config: str) -> None:
    prepared = folder / "prepared"
    builder = Nexperia(data_dir=folder, config=config, raw=raw, prepared=prepared)
    download = tfds.download.DownloadConfig(
        try_download_gcs=False, compute_stats=tfds.download.ComputeStatsMode.SKIP
    )
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS speaks of downloads
        builder.download_and_prepare(download_config=download)
    shutil.rmtree(folder / "downloads")  # nothing was


def content(raw: pathlib.Path, config: Config) -> str:
    """Hex SHA-256 over every file below `raw` and all that decides how it is used."""
    paths = _read_by_prepare(raw)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return _digest(config, zip(paths, pool.map(files.sha256, paths.values())))


def _stamp(raw: pathlib.Path, config: Config) -> str:
    """Stands for `content` until a file changes; empty when that cannot be told.

    Of each file it takes size, times of content and of name, and inode, of what a link
    leads to: a swap under equal size and time is seen. Windows keeps no time of the
    name's change, so all is read there.
    """
    if os.name == "nt":
        return ""
    stamps = {n: scan_cache.stamp(path) for n, path in _read_by_prepare(raw).items()}
    if not all(stamps.values()):
        return ""
    return _digest(config, [str(raw.resolve()), *stamps.items()])


def _digest(config: Config, parts: Iterable) -> str:
    code = [nexperia_tf.__version__, SCHEMA, manifest.SCHEMA]
    decided = [*code, config.name, config.options()]
    return hashlib.sha256(json.dumps([decided, *parts]).encode()).hexdigest()


def _read_by_prepare(raw: pathlib.Path) -> dict[str, pathlib.Path]:
    paths = {path.relative_to(raw).as_posix(): path for path in _files_below(raw)}
    beside = raw.resolve().parent / decisions.NAME
    if beside.is_file():
        paths[f"../{decisions.NAME}"] = beside
    return dict(sorted(paths.items()))


def _files_below(raw: pathlib.Path) -> Iterator[pathlib.Path]:
    """All files, also in folders that are links, but not around in a circle."""
    for parent, folders, names in os.walk(raw, followlinks=True):
        here = pathlib.Path(parent)
        above = here.resolve()
        folders[:] = [f for f in folders if not above.is_relative_to(_real(here / f))]
        yield from (path for name in names if (path := here / name).is_file())


def _real(path: pathlib.Path) -> pathlib.Path:
    return path.resolve() if path.is_symlink() else path


def split_sizes(dataset: Dataset) -> dict[str, int]:
    """Images in each split; only splits that have images are named."""
    return {s: info.num_examples for s, info in _builder(dataset).info.splits.items()}


def channels(dataset: Dataset) -> int:
    """1 when every image in the records is grey, else 3."""
    rows = manifest.read(dataset.prepared / "manifest.csv")
    return 1 if all(row.mode == "L" for row in rows if row.used) else 3


def load(dataset: Dataset, split: str, *, only: Sequence[str] = ()) -> tf.data.Dataset:
    """Records of one split, always in the same order.

    Args:
        dataset: the records.
        split: which of its splits.
        only: fields to read, all by default; the fewer, the faster.

    Yields:
        dicts as `features` names them; `image` is a scalar string, the file's bytes.

    Raises:
        errors.BadInput: no image is in that split.
    """
    builder = _builder(dataset)
    if split not in builder.info.splits:
        there = ", ".join(f"{s} ({n})" for s, n in split_sizes(dataset).items())
        raise errors.BadInput(
            f"{dataset.folder}: no images in split {split!r}; there are {there}."
        )
    decoders = {"image": tfds.decode.SkipDecoding()}
    if only:
        decoders = {name: decoders[name] for name in only if name in decoders}
        fields = {name: builder.info.features[name] for name in only}
        decoders = tfds.decode.PartialDecoding(fields, decoders=decoders)
    return builder.as_dataset(
        split=split,
        decoders=decoders,
        read_config=tfds.ReadConfig(try_autocache=False),
    )


def metadata(dataset: Dataset, split: str) -> dict[str, np.ndarray]:
    """What predictions say of the devices of a split, in the order of `load`.

    Returns:
        image_id, label (int, -1 for unlabelled), group, lot, machine and defect_type,
        each an array of shape `(devices,)`.

    Raises:
        errors.BadInput: no image is in that split.
    """
    names = ("image_id", "label", "group", "lot", "machine", "defect_type")
    devices = load(dataset, split).map(lambda record: [record[n] for n in names])
    columns = zip(*devices.as_numpy_iterator())
    return {
        name: np.array([v.decode() if isinstance(v, bytes) else v for v in values])
        for name, values in zip(names, columns)
    }


def examples(
    dataset: Dataset, split: str, image_ids: Iterable[str]
) -> dict[str, Example]:
    """Devices with their images, by image_id, for galleries.

    Raises:
        errors.BadInput: one of them is not in the split.
    """
    wanted = set(image_ids)
    found = {}
    for record in load(dataset, split):
        image_id = record["image_id"].numpy().decode()
        if image_id in wanted:
            found[image_id] = _example(record)
        if len(found) == len(wanted):
            return found
    missing = min(wanted - set(found))
    raise errors.BadInput(f"{dataset.folder}: no image {missing!r} in split {split!r}.")


def _example(record: dict[str, tf.Tensor]) -> Example:
    texts = ("image_id", "defect_type", "group", "lot", "machine")
    return Example(
        label=int(record["label"]),
        boxes=record["boxes"].numpy().tolist(),
        image=record["image"].numpy() if "image" in record else b"",
        **{name: record[name].numpy().decode() for name in texts},
    )


def _builder(dataset: Dataset) -> tfds.core.DatasetBuilder:
    return tfds.builder_from_directory(dataset.folder)
