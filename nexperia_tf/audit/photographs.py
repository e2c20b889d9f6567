"""The pictures of manifest rows, from the records or from the raw folder."""

import collections
import pathlib
import typing
from collections.abc import Iterable

from nexperia_tf import files
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.raw import file_names

if typing.TYPE_CHECKING:
    from nexperia_tf.data.records import reading, store


def of_records(
    dataset: "store.Dataset", rows: Iterable[manifest.Row]
) -> dict[str, "reading.Example"]:
    """Used rows as their records hold them, by image_id."""
    from nexperia_tf.data.records import reading

    by_split = collections.defaultdict(set)
    for row in rows:
        by_split[row.split].add(row.image_id)
    found = {}
    for split, names in by_split.items():
        found |= reading.examples(dataset, split, names)
    return found


def contents(
    dataset: "store.Dataset", rows: Iterable[manifest.Row]
) -> dict[str, bytes]:
    """Encoded pictures by path; dropped ones from the raw folder, while it is there."""
    rows = list({row.path: row for row in rows}.values())
    used = of_records(dataset, [row for row in rows if row.used])
    raw = pathlib.Path(files.read_json(dataset.prepared / prepare.SUMMARY)["raw"])
    found = {}
    for row in rows:
        file = file_names.on_disk(raw, row.path)
        if row.used:
            found[row.path] = used[row.image_id].image
        elif file.is_file():
            found[row.path] = file.read_bytes()
    return found
