"""Zip files that promise more than they hold: looked at before anything is unpacked.

Models (.keras), tables of features (.npz) and forests (.skops) are such files. A few
bytes in them can stand for gigabytes.
"""

import math
import os
import pathlib
import zipfile
from collections.abc import Callable, Collection, Mapping

import numpy as np

from nexperia_tf import errors, files

MOST = 20  # times the size of the file; what these files hold packs to a half at best
SMALL = 64 << 20  # bytes that may be unpacked from any file


def check(
    path: str | os.PathLike, *, names: Collection[str] | None = None
) -> dict[str, int]:
    """Holds a zip file to what it may hold.

    Args:
        path: the file.
        names: all of its members; None takes any that stay below its folder.

    Returns:
        The size of each member, unpacked, in bytes.

    Raises:
        errors.BadInput: it is no zip file, has other members or one twice, or would
            unpack to far more than its own size.
    """
    path = pathlib.Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except FileNotFoundError:
        raise errors.BadInput(f"{path}: no such file.") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise errors.BadInput(f"{path}: is no zip file ({error}).") from None
    sizes = {member.filename: member.file_size for member in members}
    strange = [name for name in sizes if _leaves(name)]
    if names is not None:
        strange += [name for name in sizes if name not in names]
        if missing := sorted(set(names) - set(sizes)):
            raise errors.BadInput(f"{path}: holds no {missing[0]}; it is damaged.")
    if strange or len(sizes) < len(members):
        what = repr(strange[0]) if strange else "one member twice"
        raise errors.BadInput(f"{path}: holds {what}; it is not unpacked.")
    total = sum(sizes.values())
    if total > max(SMALL, MOST * path.stat().st_size):
        raise errors.BadInput(
            f"{path}: {path.stat().st_size:,} bytes would unpack to {total:,}; it is "
            "not unpacked."
        )
    return sizes


def check_arrays(
    path: str | os.PathLike, *, names: Collection[str] | None = None
) -> None:
    """Refuses an .npz whose arrays would take more memory than they have bytes in it.

    Args:
        path: the file.
        names: as of `check`.

    Raises:
        ValueError: an array promises more than it holds, or holds other things.
        errors.BadInput: as `check` raises it.
    """
    sizes = check(path, names=names)
    with zipfile.ZipFile(path) as archive:
        for name, size in sizes.items():
            with archive.open(name) as file:
                version = np.lib.format.read_magic(file)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }.get(version)
                if read is None:
                    raise ValueError(f"{name} is of version {version}")
                shape, _, kind = read(file)
            if kind.hasobject or math.prod(shape) * kind.itemsize > size:
                raise ValueError(f"{name} promises more than it holds")


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, object]) -> None:
    """Publishes arrays and numbers as one .npz.

    Raises:
        OSError: the disk is full or the place not writable; nothing is left behind.
    """
    with files.new_file(path) as file:
        np.savez(file, **arrays)


def read_arrays(
    path: str | os.PathLike, names: Collection[str]
) -> dict[str, np.ndarray]:
    """All arrays of a .npz file of a run, by name.

    Raises:
        errors.BadInput: no such file, it is damaged, or holds others.
    """
    try:
        check_arrays(path, names=[f"{name}.npy" for name in names])
        # np.load leaves a damaged file that it opened itself open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except errors.BadInput:
        raise
    except Exception as error:  # of zip and of NumPy; they raise many kinds
        what = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise errors.BadInput(
            f"{path}: cannot be read ({what}); restore it or train again."
        ) from None


def _leaves(name: str) -> bool:
    """Whether a member would be written outside of the folder it is unpacked to."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or ":" in parts[0]


def kept_by_run(folder: str | os.PathLike, name: str, read: Callable):
    """What a run keeps in a file; None where it is of an older version.

    Args:
        folder: of the run.
        name: of the file.
        read: gives what the file at a path holds.

    Raises:
        errors.BadInput: the file differs from what training wrote.
    """
    path = pathlib.Path(folder) / name
    if not path.is_file():
        return None
    files.verify_manifest(folder, only=name)
    return read(path)
