"""Clean photographs as TFDS records."""

import hashlib
import os
import pathlib
import typing
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from nexperia_tf import errors, files, labels, locks
from nexperia_tf.data import images, manifest, progress
from nexperia_tf.data.measure import depth
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.raw import file_names, layouts
from nexperia_tf.data.records import origin

SPLITS = (*manifest.SPLITS, manifest.UNLABELLED)


def features() -> tfds.features.FeaturesDict:
    """What one record holds."""
    return tfds.features.FeaturesDict(
        {
            # The file's bytes where all decoders read them alike, else a PNG of its
            # pixels. TFDS decodes them for who loads by name, this package takes the
            # bytes and decodes them in preprocess.py.
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


class Nexperia(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Prepares a raw folder and writes what passed as records."""

    VERSION = tfds.core.Version(origin.SCHEMA)
    RELEASE_NOTES: typing.ClassVar = {
        "1.0.0": "First version.",
        origin.SCHEMA: "Pictures that are not plain 8-bit files are kept as PNG.",
    }
    BUILDER_CONFIGS: typing.ClassVar = [
        origin.Config(
            name=origin.SAMPLE, layout="hand_over", description="drawn look-alikes"
        ),
        *(
            origin.Config(name=n, layout=n, description=f"layout {n}")
            for n in layouts.LAYOUTS
        ),
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
        if self.info.metadata.get("content") != origin.content(
            raw, self.builder_config
        ):
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
        reading = _reading(self._prepared)
        return {
            s: self._generate_examples(r, reading) for s, r in by_split.items() if r
        }

    def _prepare_manual(self, dl_manager) -> None:
        root = pathlib.Path(self.data_dir_root)
        if self.builder_config.name == origin.SAMPLE:
            self._raw = origin.drawn_sample(root)
        else:
            self._raw = pathlib.Path(dl_manager.manual_dir)
        config = self.builder_config
        made_from = origin.content(self._raw, config)
        base = root / "prepared"
        keep = origin.kept(base, self._raw, config)
        self._prepared = base / f"{config.name}-{origin.named(made_from, keep)[:12]}"
        with locks.held(self._prepared, busy="prepares this folder"):
            if not self._prepared.exists():
                origin.write_prepared(self._raw, self._prepared, config, keep)
        self.info.metadata["content"] = made_from

    def _generate_examples(
        self, rows: Sequence[manifest.Row], reading: Mapping
    ) -> Iterator[tuple]:
        for row in progress.track(rows, f"Writing {rows[0].split} records"):
            yield row.image_id, example(self._raw, row, **reading)


def _reading(prepared: pathlib.Path) -> dict:
    """How a preparation has pictures read, from its summary."""
    summary = files.read_json(prepared / prepare.SUMMARY)
    most = summary.get("options", {}).get("max_pixels")
    return {
        "depth_range": depth.of_summary(summary),
        "max_pixels": most or images.MAX_PIXELS,
    }


def example(raw: pathlib.Path, row: manifest.Row, **reading) -> dict:
    """The record of one row of the manifest.

    Args:
        raw: folder that the row's path starts from.
        row: of the manifest.
        reading: the depth range and the most pixels, as `images.canonical` takes them.

    Raises:
        errors.BadInput: the file is not the one that was prepared.
    """
    image = file_names.on_disk(raw, row.path).read_bytes()
    if hashlib.sha256(image).hexdigest() != row.sha256:
        raise errors.BadInput(
            f"{raw / row.path}: changed since it was prepared; start again."
        )
    label = labels.NAMES.index(row.label) if row.label else labels.UNLABELLED
    texts = ("image_id", "group", "lot", "machine", "defect_type")
    record = {name: getattr(row, name) for name in texts}
    canonical = images.canonical(image, **reading)
    return {"image": canonical, "label": label, "boxes": row.boxes, **record}
