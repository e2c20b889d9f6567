"""Folds and bags of a data set's training lots, as raw folders of layout `folder`.

Pictures are linked, not copied, where the file system can. Validation and test are
those of the data set, but that a fold's test part is the lots it leaves out.
"""

import os
import pathlib
import shutil

import numpy as np

from nexperia_tf import bounds, files
from nexperia_tf.data import images, manifest
from nexperia_tf.data.prepare import splits
from nexperia_tf.data.records import reading, store
from nexperia_tf.study import plan

TABLE = "labels.csv"
PICTURES = "pictures"
HEADER = ("path", "label", "group", "lot", "machine", "defect_type", "split")


def make(
    dataset: store.Dataset, out: pathlib.Path, part: plan.Part, *, count: int
) -> None:
    """Makes a fold or bag below `out`, unless it is there.

    Args:
        dataset: what it is made of.
        out: the folder of all folds and bags.
        part: which of them.
        count: how many folds there are.
    """
    folder = out / part.name
    if folder.exists():
        return
    rows = [r for r in manifest.read(dataset.prepared / "manifest.csv") if r.used]
    rows = [row for row in rows if row.label]
    if part.kind == plan.FOLD:
        split = _fold(rows, part.number, count)
    else:
        split = _bag(rows, part.number)
    pictures = _pictures(dataset, out / PICTURES)
    with files.new_folder(folder) as partial:
        _write(partial, rows, split, pictures)


def _fold(rows: list[manifest.Row], number: int, count: int) -> dict[str, str]:
    """Splits by image_id: fold `number` of the training lots becomes the test part."""
    train = [row for row in rows if row.split == "train"]
    split = {row.image_id: row.split for row in rows if row.split == "validation"}
    for row, fold in zip(train, splits.folds(train, count)):
        split[row.image_id] = "test" if fold == str(number) else "train"
    return split


def _bag(rows: list[manifest.Row], seed: int) -> dict[str, str]:
    """Splits by image_id: training lots drawn with replacement, about 63 % of them.

    A lot that was drawn twice is there once: copies would be dropped as duplicates.
    """
    lots = sorted({row.group for row in rows if row.split == "train"})
    drawn = set(np.random.default_rng(seed).choice(lots, len(lots)))
    return {
        row.image_id: row.split
        for row in rows
        if row.split != "train" or row.group in drawn
    }


def _pictures(dataset: store.Dataset, folder: pathlib.Path) -> dict[str, str]:
    """Writes each labelled picture once; its path below `folder` by image_id."""
    kept = folder / "pictures.json"
    if kept.is_file():
        return files.read_json(kept)
    paths = {}
    for split in (s for s in manifest.SPLITS if s in reading.split_sizes(dataset)):
        records = reading.load(dataset, split, only=["image_id", "image"])
        for record in records.as_numpy_iterator():
            name = record["image_id"].decode()
            content = record["image"]
            picture = images.load(content, max_pixels=bounds.MOST_PIXELS)
            paths[name] = f"{name}.{picture.format.lower()}"
            (folder / paths[name]).parent.mkdir(parents=True, exist_ok=True)
            (folder / paths[name]).write_bytes(content)
    files.write_json(kept, paths)
    return paths


def _write(
    folder: pathlib.Path,
    rows: list[manifest.Row],
    split: dict[str, str],
    pictures: dict[str, str],
) -> None:
    lines = []
    for row in rows:
        if row.image_id not in split:
            continue
        path = pictures[row.image_id]
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        _link(folder.parent / PICTURES / path, folder / path)
        known = (row.group, row.lot, row.machine, row.defect_type)
        lines.append((path, row.label, *known, split[row.image_id]))
    files.write_csv(folder / TABLE, HEADER, lines)


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy(source, target)
