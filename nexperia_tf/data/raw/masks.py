"""Masks beside pictures: which files are masks, of which picture, and their boxes.

A mask is a file below a folder of `FOLDERS`, or one beside its picture that has the
picture's name with one of `SUFFIXES`, or with another ending where it looks like a mask
(`a.png` beside `a.jpg`). What it marks becomes one box for each connected part; a mask
is never a picture of a class.

A mask is turned as its picture's EXIF tag says, unless it says of itself how it is
turned, or has the shape of the upright picture already.
"""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import cv2
import numpy as np

from nexperia_tf import errors
from nexperia_tf.data import images, manifest
from nexperia_tf.data.raw import classes, listing, raw_folder

BESIDE = "masks"  # as what is left out says
FOLDERS = ("masks", "ground_truth", "groundtruth", "ground-truth")
SUFFIXES = ("_mask", "_gt", "_label")
# These, and names with a suffix, may be something else: what is in them decides.
_UNSURE_FOLDERS = ("mask", "gt")
_LOOKED_AT = 8  # files in which that is looked for
_FEW = 16  # grey levels of a mask, or distance of a blurred one's from black and white
_CLEAR = 0.95  # share of its pixels that are so near
_PICTURE_FOLDERS = ("images", "image", "imgs", "img", "pictures", "data")
_MARKED_IN_JPEG = 128  # which blurs a mask; elsewhere all that is not 0 is marked


class Problem(Exception):
    """A mask cannot be used; the message says in one line why."""


@dataclasses.dataclass(frozen=True)
class Mask:
    """What a mask marks.

    Attributes:
        boxes: `[x1, y1, x2, y2]` corners of each connected part, in its own pixels.
        size: its width and height.
    """

    boxes: list[list[int]]
    size: tuple[int, int]


def among(found: listing.Listing) -> frozenset[str]:
    """The files that are masks, by their name and that of their folder."""
    masks = set()
    for folder in found.folders:
        inside, own = found.below(folder), folder.rpartition("/")[2].lower()
        unsure = own in _UNSURE_FOLDERS and _look_like_masks(found, inside)
        if own in FOLDERS or unsure:
            masks.update(inside)
    stems = {os.path.splitext(name)[0] for name in found.files}
    beside = [name for name in found.files if _without_suffix(name) in stems]
    masks.update(beside if _look_like_masks(found, beside) else ())
    return frozenset(masks.union(_of_other_endings(found)))


def _of_other_endings(found: listing.Listing) -> Iterator[str]:
    """Files whose ending, in their folder, is that of masks: each has its picture."""
    endings = collections.defaultdict(dict)
    for name in found.files:
        stem, ending = os.path.splitext(name)
        endings[stem][ending.lower()] = name
    held = collections.defaultdict(list)
    for stem, names in endings.items():
        for ending in names:
            held[stem.rpartition("/")[0], ending].append(stem)
    for (_, ending), stems in held.items():
        if all(len(endings[stem]) == 2 for stem in stems):
            masks, pictures = [], []
            for stem in stems:
                for other, name in endings[stem].items():
                    (masks if other == ending else pictures).append(name)
            if _look_like_masks(found, masks) and not _look_like_masks(found, pictures):
                yield from masks


def of_pictures(
    masks: Collection[str], pictures: Iterable[str]
) -> tuple[dict[str, str], list[str]]:
    """The picture of each mask, and the masks that fit none.

    A mask has its picture's name, or that with a suffix. Its folders are the picture's
    but for those of splits, masks and images, or as far as it has any.

    Raises:
        errors.BadInput: a mask fits two pictures.
    """
    fits, lost = {}, []
    for mask, hits in _hits(masks, pictures):
        if len(hits) > 1:
            raise errors.BadInput(
                f"{mask}: this mask fits two pictures, {hits[0]} and {hits[1]}; put it "
                "into a folder that is named as its picture's."
            )
        if hits:
            fits[mask] = hits[0]
        else:
            lost.append(mask)
    return fits, lost


def _hits(
    masks: Iterable[str], pictures: Iterable[str]
) -> Iterator[tuple[str, list[str]]]:
    """The pictures that each mask may belong to, the masks sorted."""
    by_stem = collections.defaultdict(list)
    for name in pictures:
        by_stem[_stem(name)].append(name)
    for mask in sorted(masks):
        stems = {_stem(mask), _stem(_without_suffix(mask))} - {""}
        near = [name for stem in sorted(stems) for name in by_stem[stem]]
        yield mask, _nearest(mask, near)


def set_apart(found: listing.Listing) -> listing.Listing:
    """A folder whose pictures are scored: masks of them are left out, by `BESIDE`.

    What looks like a mask and fits no picture stays.
    """
    masks = among(found).difference(found.problems)
    pictures = [name for name in found.files if name not in masks]
    beside = {mask for mask, hits in _hits(masks, pictures) if hits}
    return dataclasses.replace(
        found,
        files=[name for name in found.files if name not in beside],
        skipped={**found.skipped, **dict.fromkeys(beside, BESIDE)},
    )


def read(found: listing.Listing, fits: Mapping[str, str]) -> Iterator[Mask | Problem]:
    """What each mask marks, or why it cannot be read.

    Args:
        found: the folder.
        fits: the picture of each mask.
    """

    def one(pair: tuple[str, str]) -> Mask | Problem:
        return _read(*map(found.path, pair))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        yield from pool.map(one, fits.items())


def add(
    folder: raw_folder.RawFolder, found: listing.Listing, masks: Collection[str]
) -> None:
    """Gives the rows the boxes of their masks; a mask without use becomes a row.

    Raises:
        errors.BadInput: a mask fits two pictures.
    """
    rows = {row.path: row for row in folder.rows}
    masks = [name for name in masks if name not in {*rows, *found.problems}]
    fits, lost = of_pictures(masks, rows)
    problems = dict.fromkeys(lost, "is a mask that fits no picture")
    for name, mask in zip(fits, read(found, fits)):
        if isinstance(mask, Problem):
            problems[name] = str(mask)
            continue
        rows[fits[name]].boxes += mask.boxes
        folder.mask_sizes[fits[name]] = mask.size
        folder.has_boxes |= bool(mask.boxes)
        folder.masks.append(name)
    for name, why in problems.items():
        reason = manifest.NOT_LISTED if name in lost else "unreadable"
        row = manifest.Row(image_id="", path=name, dropped_because=reason)
        folder.messages[name] = why
        folder.rows.append(row)


def fit(rows: Iterable[manifest.Row], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Scales the boxes of masks that are larger or smaller than their picture.

    Args:
        rows: rows with the size of their picture.
        sizes: width and height of the mask, by the picture's path.
    """
    for row in rows:
        size = sizes.get(row.path)
        if size and row.width and size != (row.width, row.height):
            across, down = row.width / size[0], row.height / size[1]
            row.boxes = [
                [x1 * across, y1 * down, x2 * across, y2 * down]
                for x1, y1, x2, y2 in row.boxes
            ]


def _nearest(mask: str, pictures: Sequence[str]) -> list[str]:
    """The pictures whose folders are most like the mask's, of those that can be it."""
    own, own_without = _folders(mask), _folders(mask, splits=False)
    levels: tuple = (
        lambda name: _folders(name) == own,
        lambda name: _folders(name, splits=False) == own_without,
        lambda name: _is_part(own_without, _folders(name, splits=False)),
    )
    hits = ([name for name in pictures if fits(name)] for fits in levels)
    return next(filter(None, hits), [])


def _is_part(few: tuple[str, ...], many: tuple[str, ...]) -> bool:
    """Whether some folders are the first or the last of others."""
    return few in (many[: len(few)], many[len(many) - len(few) :])


def _folders(name: str, *, splits: bool = True) -> tuple[str, ...]:
    """The folders of a file but for those that say masks or images, or which split."""
    left_out = {*FOLDERS, *_UNSURE_FOLDERS, *_PICTURE_FOLDERS}
    left_out |= set() if splits else classes.SPLIT_NAMES.keys()
    return tuple(part for part in name.lower().split("/")[:-1] if part not in left_out)


def _stem(name: str) -> str:
    return os.path.splitext(name.rpartition("/")[2])[0].lower()


def _without_suffix(name: str) -> str:
    """The path without ending of the picture that a suffix makes this the mask of."""
    stem = os.path.splitext(name)[0]
    suffix = next((s for s in SUFFIXES if stem.lower().endswith(s)), "")
    return stem[: -len(suffix)] if suffix else ""


def _look_like_masks(found: listing.Listing, names: Sequence[str]) -> bool:
    """Whether these files show few grey levels, or hardly any but black and white."""
    step = -(-len(names) // _LOOKED_AT) or 1
    return bool(names) and all(_is_flat(found.path(name)) for name in names[::step])


def _is_flat(path: pathlib.Path) -> bool:
    try:
        grey = images.grey(images.load(path.read_bytes()).pixels)
    except (OSError, images.UnreadableImage, images.UnsupportedImage):
        return False
    clear = np.mean((grey < _FEW) | (grey > 255 - _FEW))
    return np.unique(grey).size <= _FEW or bool(clear > _CLEAR)


def _read(path: pathlib.Path, picture_of: pathlib.Path) -> Mask | Problem:
    try:
        content = path.read_bytes()
        picture = images.load(content)
    except (OSError, images.UnreadableImage, images.UnsupportedImage) as error:
        return Problem(f"is a mask that cannot be read: {error}")
    values = picture.native if picture.native.ndim == 2 else picture.native.max(axis=2)
    marked = values >= (_MARKED_IN_JPEG if picture.format == "JPEG" else 1)
    if images.turn_of(content)[0] == 1:
        marked = images.turned(marked, _turn(picture_of, marked.shape))
    marked = np.ascontiguousarray(marked, np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(marked)
    boxes = [[x, y, x + w, y + h] for x, y, w, h, _ in parts[1:].tolist()]
    height, width = marked.shape
    return Mask(boxes, (width, height))


def _turn(picture: pathlib.Path, shape: tuple[int, int]) -> int:
    """The EXIF orientation of a picture that a mask of this shape has to follow."""
    try:
        turn, is_high = images.turn_of(picture.read_bytes())
    except OSError:
        return 1
    height, width = shape
    is_upright = height != width and (height > width) == is_high
    return 1 if turn in images.SIDEWAYS and is_upright else turn
