"""Any record of a split by its place; TFRecord files have no index."""

import functools
import mmap
import struct
from collections.abc import Callable, Iterable, Iterator

import google_crc32c
import numpy as np
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.data.records import reading, store

# https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details:
# length, its checksum, the content, its checksum.
_HEADER = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")
_MASK = 0xA282EAD8


class Images:
    """The encoded images of a split, each read when it is asked for.

    Args:
        dataset: the records.
        split: which of its splits.

    Raises:
        errors.BadInput: no image is in that split, or a file of it is cut short.
    """

    def __init__(self, dataset: store.Dataset, split: str):
        self._folder = dataset.data_dir
        self._paths = reading.files_of(dataset, split)
        self._files = [_mapped(path) for path in self._paths]
        places = [
            (number, *place)
            for number, content in enumerate(self._files)
            for place in _places(content, functools.partial(self._damaged, number))
        ]
        self._places = np.array(places, np.int64)  # (records, 3)

    def __len__(self) -> int:
        return len(self._places)

    def read(self, indices: Iterable[int]) -> list[bytes]:
        """The files' bytes of images, by their places in `reading.load`.

        Raises:
            errors.BadInput: a record is damaged.
        """
        return [self._image(*self._places[index].tolist()) for index in indices]

    def _image(self, number: int, start: int, length: int) -> bytes:
        content = self._files[number][start : start + length]
        (checksum,) = _CHECKSUM.unpack_from(self._files[number], start + length)
        if checksum != _masked(content):
            raise self._damaged(number, start - _HEADER.size)
        record = tf.train.Example.FromString(content)
        return record.features.feature["image"].bytes_list.value[0]

    def _damaged(self, number: int, at: int) -> errors.BadInput:
        return errors.BadInput(
            f"{self._paths[number]}: the record at byte {at} is damaged; delete "
            f"{self._folder} to have the records made again."
        )


def _mapped(path: str) -> mmap.mmap:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _places(content: mmap.mmap, damaged: Callable) -> Iterator[tuple[int, int]]:
    """Start and length of the content of each record in a file."""
    at = 0
    while at < len(content):
        start = at + _HEADER.size
        if start > len(content):
            raise damaged(at)
        length, checksum = _HEADER.unpack_from(content, at)
        end = start + length + _CHECKSUM.size
        if checksum != _masked(content[at : at + 8]) or end > len(content):
            raise damaged(at)
        yield start, length
        at = end


def _masked(content: bytes) -> int:
    """The CRC-32C of bytes in the form in which TFRecord files store it."""
    checksum = google_crc32c.value(content)
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return (rotated + _MASK) & 0xFFFFFFFF
