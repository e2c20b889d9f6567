"""Which models lie in a folder, and which of their versions are whole."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from nexperia_tf import errors
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import version_folders

STILL = 10  # looks in which what is being copied changes


def models(folder: str | os.PathLike) -> dict[str, pathlib.Path]:
    """The models of a folder: name -> folder of its versions.

    Args:
        folder: a run, a folder of versions as `nexperia export` and `nexperia ensemble`
            write it, or a folder of such folders.

    Raises:
        errors.BadInput: there is none, or a run whose SavedModel is not what its
            calibration.json says.
    """
    top = pathlib.Path(folder)
    if not top.is_dir():
        raise errors.BadInput(f"{top}: no such folder; name one with exported models.")
    if (top / version_folders.GRAPH).is_file():
        raise errors.BadInput(
            f"{top}: is one version of a model; name the folder above it."
        )
    inside = [top] if _versions(top) else sorted(filter(pathlib.Path.is_dir, _in(top)))
    found = {
        run_folders.known_as(each): base for each in inside if (base := _versions(each))
    }
    if not found:
        raise errors.BadInput(
            f"{top}: holds no exported model; name a run folder or what nexperia "
            "export or nexperia ensemble wrote."
        )
    return found


def _in(top: pathlib.Path) -> Iterator[pathlib.Path]:
    return (each for each in top.iterdir() if not each.name.startswith("."))


def _versions(folder: pathlib.Path) -> pathlib.Path | None:
    """The folder of the versions of a run or of a folder of versions."""
    if (folder / run_folders.CONFIG).is_file():
        if differs := version_folders.disagreement(run_folders.load(folder)):
            raise errors.BadInput(differs)
        folder = folder / run_folders.SAVED_MODEL
    return folder if version_folders.versions(folder) else None


@dataclasses.dataclass
class _Looked:
    """What a version was found to be.

    Attributes:
        state: changes with its files.
        problem: what is wrong with it, or "".
        still: how many looks in a row have found the same state.
    """

    state: tuple
    problem: str
    still: int = 1


class Wholeness:
    """Which versions of a model are whole; what has not changed is not read again."""

    def __init__(self, base: pathlib.Path):
        self._base, self._there = base, []
        self._known: dict[pathlib.Path, _Looked] = {}

    def whole(self) -> dict[int, pathlib.Path]:
        """Number and folder of each version that its manifest vouches for."""
        self._there = version_folders.versions(self._base)
        return {int(path.name): path for path in self._there if not self.problem(path)}

    def damaged(self) -> dict[int, tuple[pathlib.Path, str]]:
        """Folder and problem of each version that is not whole and nobody changes."""
        looked = ((path, self._known.get(path)) for path in self._there)
        return {
            int(path.name): (path, known.problem)
            for path, known in looked
            if known and known.problem and known.still >= STILL
        }

    def problem(self, version: pathlib.Path) -> str:
        """What is wrong with a version, or "": half copied, damaged."""
        try:
            state = tuple(_state(version))
            known = self._known.get(version)
            if known and known.state == state:
                known.still += 1
            else:
                self._known[version] = known = _Looked(state, _problem(version))
        except OSError as error:  # it is being written or removed
            return f"{version}: {error.strerror}."
        return known.problem


def _state(version: pathlib.Path) -> Iterator[tuple]:
    """What changes when a file of a version does."""
    for folder, _, names in sorted(os.walk(version)):
        for name in sorted(names):
            found = os.stat(os.path.join(folder, name))
            yield folder, name, found.st_size, found.st_mtime_ns, found.st_ino


def _problem(version: pathlib.Path) -> str:
    try:
        if why := version_folders.unvouched(version):
            return why
        version_folders.facts(version)
    except errors.BadInput as error:
        return str(error)
    return ""
