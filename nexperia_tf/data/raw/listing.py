"""Which files of a folder are looked at: the one rule for every command.

Every regular file is, whatever its name ends with; links are followed. Left out, by
name and with their count, are what computers write beside pictures (a dot in front,
`LEFT_OUT`, with all below a folder of such a name) and tables and texts (`SIDECARS`)
unless a picture stands in them. What cannot be looked at, such as a socket or a link to
nothing, has a problem in one line.
"""

import bisect
import collections
import dataclasses
import functools
import os
import pathlib
import stat
import unicodedata
from collections.abc import Mapping, Sequence

from nexperia_tf.data import images
from nexperia_tf.data.raw import file_names

SIDECARS = (".csv", ".txt", ".json", ".xml", ".md", ".html", ".db", ".ini", ".yaml")
LEFT_OUT = {  # lower-case name of a file or folder -> what it is called
    "@eadir": "@eaDir",
    "__macosx": "__MACOSX",
    ".ipynb_checkpoints": ".ipynb_checkpoints",
    "thumbs.db": "Thumbs.db",
    "desktop.ini": "desktop.ini",
}
HIDDEN, TEXTS = "hidden", "tables and texts"
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_MOST_VISITS = 64  # of one folder, by links


@dataclasses.dataclass(frozen=True)
class Listing:
    """What lies below a folder.

    Attributes:
        folder: the folder.
        files: POSIX paths below it of the files to look at, sorted; in the form of
            `file_names.as_text`, so `path(name)` finds the file.
        skipped: rule by path, of what is left out.
        problems: what cannot be looked at, path -> why, in one line.
    """

    folder: pathlib.Path
    files: Sequence[str]
    skipped: Mapping[str, str]
    problems: Mapping[str, str]

    @property
    def left_out(self) -> dict[str, int]:
        """How many files each rule leaves out."""
        return counts(self.skipped)

    @functools.cached_property
    def named(self) -> list[str]:
        """Files and problems, sorted: each is a row."""
        return sorted([*self.files, *self.problems])

    def path(self, name: str) -> pathlib.Path:
        """Where a file lies on the disk."""
        return file_names.on_disk(self.folder, name)

    def find(self, text: str) -> str | None:
        """The file or problem that a table written by hand means, or None.

        It may name what is left out otherwise, but nothing outside the folder. A name
        is found in either Unicode form of its accents, and as it is or as `as_text`.
        """
        written = pathlib.PurePosixPath(text.replace("\\", "/")).as_posix()
        names = (file_names.as_text(written), written)
        for name in (*names, self._composed.get(_compose(names[0]))):
            if name in self._known:
                return name
        if leaves(text):
            return None
        return next((name for name in names if _is_file(self.path(name))), None)

    @functools.cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.named)

    @functools.cached_property
    def _composed(self) -> dict[str, str]:
        return {_compose(name): name for name in self.named if not name.isascii()}

    def below(self, name: str) -> list[str]:
        """Files and problems below a folder; `""` is the whole."""
        if not name:
            return self.named
        # "0" is the character after "/".
        start = bisect.bisect_left(self.named, f"{name}/")
        return self.named[start : bisect.bisect_left(self.named, f"{name}0")]

    @functools.cached_property
    def folders(self) -> list[str]:
        """Every folder with a file or a problem somewhere below it, sorted."""
        found: set[str] = set()
        for name in self.named:
            while (name := name.rpartition("/")[0]) and name not in found:
                found.add(name)
        return sorted(found)

    def folders_in(self, name: str = "") -> list[str]:
        """Names of the folders right in a folder."""
        start = f"{name}/" if name else ""
        inside = (f[len(start) :] for f in self.folders if f.startswith(start))
        return [folder for folder in inside if "/" not in folder]


def _is_file(path: pathlib.Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no name that a file can have
        return False


def _compose(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def leaves(text: str) -> bool:
    """Whether a path is absolute or goes up somewhere, and so may leave its folder."""
    parts = text.replace("\\", "/").split("/")
    drive = bool(pathlib.PureWindowsPath(text).drive)
    return drive or not parts[0] or ".." in parts


def folders(raw: pathlib.Path) -> list[str]:
    """Names of the folders right in a folder, sorted, without those left out."""
    names = [e.name for e in _entries(raw) if _is_folder(e, follow_links=True)]
    return sorted(file_names.as_text(name) for name in names if not _rule(name))


def counts(skipped: Mapping[str, str]) -> dict[str, int]:
    """How many files each rule leaves out, sorted by rule."""
    return dict(sorted(collections.Counter(skipped.values()).items()))


def in_words(left_out: Mapping[str, int]) -> str:
    """One line on what was left out; empty where nothing was."""
    if not left_out:
        return ""
    shown = ", ".join(f"{rule} {count}" for rule, count in left_out.items())
    return f"left out as no pictures: {shown}"


def files(folder: str | os.PathLike) -> Listing:
    """Lists a folder with all below it.

    A link to a folder is followed unless it leads back to one that it lies in. Nothing
    is opened but tables and texts, of which the first bytes are read.
    """
    walk = _Walk(pathlib.Path(folder))
    walk.run()
    return Listing(walk.top, sorted(walk.files), walk.skipped, walk.problems)


@dataclasses.dataclass(frozen=True)
class _Folder:
    """A folder to list.

    Attributes:
        name: its path below the top.
        above: device and inode of those it lies in.
        rule: the one that leaves it out, or empty.
        linked: whether a link leads to it, or to one that it lies in.
    """

    name: str
    above: tuple[tuple[int, int], ...] = ()
    rule: str = ""
    linked: bool = False


class _Walk:
    """The state of one listing."""

    def __init__(self, top: pathlib.Path):
        self.top = top
        self.files: list[str] = []
        self.skipped: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self._visits: dict[tuple[int, int], int] = collections.Counter()

    def run(self) -> None:
        """Lists all, folder by folder: names may nest deeper than calls can.

        What no link leads to comes first, so that no visit by links stands in its way.
        """
        outside = tuple(_identity(path) for path in self.top.resolve().parents)
        todo = collections.deque([_Folder("", above=outside)])
        while todo:
            for folder in self._enter(todo.popleft()):
                (todo.append if folder.linked else todo.appendleft)(folder)

    def _enter(self, folder: _Folder) -> list[_Folder]:
        """Lists one folder; returns those in it."""
        path = file_names.on_disk(self.top, folder.name)
        try:
            here = _identity(path)
            if folder.linked and (why := self._again(here, folder.above)):
                self.problems[folder.name] = why
                return []
            found = _entries(path)
        except OSError as error:
            if not folder.rule:
                self.problems[folder.name or "."] = _cannot("folder", error)
            return []
        inside = (self._look(entry, folder) for entry in found)
        return [
            dataclasses.replace(child, above=(*folder.above, here))
            for child in inside
            if child
        ]

    def _again(self, here: tuple[int, int], above: Sequence[tuple[int, int]]) -> str:
        self._visits[here] += 1
        if here in above:
            return "is a link back to a folder that it lies in, and is not followed"
        if self._visits[here] > _MOST_VISITS:
            return f"is linked to more than {_MOST_VISITS} times, and is not followed"
        return ""

    def _look(self, entry: os.DirEntry, parent: _Folder) -> _Folder | None:
        """Files one entry where it belongs; returns a folder."""
        own = file_names.as_text(entry.name)
        name = f"{parent.name}/{own}" if parent.name else own
        rule = parent.rule or _rule(entry.name)
        if _is_folder(entry, follow_links=not rule):
            linked = parent.linked or entry.is_symlink()
            return _Folder(name, rule=rule, linked=linked)
        if rule:
            self.skipped[name] = rule
        elif why := _problem(entry):
            self.problems[name] = why
        elif own.lower().endswith(SIDECARS) and not _holds_picture(entry.path):
            self.skipped[name] = TEXTS
        else:
            self.files.append(name)
        return None


def is_skipped(name: str) -> bool:
    """Whether a file is left out by its path alone, whatever it holds.

    >>> is_skipped("lot7/@eaDir/0.png"), is_skipped("notes.txt"), is_skipped("0.png")
    (True, True, False)
    """
    return name.lower().endswith(SIDECARS) or any(map(_rule, name.split("/")))


def _identity(folder: pathlib.Path) -> tuple[int, int]:
    """The same by whatever name or link a folder is reached."""
    real = folder.stat()
    return real.st_dev, real.st_ino


def _entries(path: pathlib.Path) -> list[os.DirEntry]:
    with os.scandir(path) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry, *, follow_links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow_links)
    except OSError:  # a link around in a circle
        return False


def _rule(name: str) -> str:
    """The rule by which a file or folder is left out, or none."""
    known = LEFT_OUT.get(name.lower())
    return known or (HIDDEN if name.startswith(".") else "")


def _problem(entry: os.DirEntry) -> str:
    """Why an entry that is no folder is no file either; empty for a file."""
    try:
        if entry.is_file():
            return ""
        mode = entry.stat().st_mode
    except OSError as error:
        if entry.is_symlink():
            target = file_names.as_text(os.readlink(entry.path))
            return f"is a link to {target}, which cannot be opened ({error.strerror})"
        return _cannot("file", error)
    kind = _KINDS.get(stat.S_IFMT(mode), "no file")
    return f"is {kind}, which holds no picture"


def _holds_picture(path: str) -> bool:
    """Whether the first bytes are a picture's, whatever the name says."""
    try:
        with open(path, "rb") as file:
            start = file.read(32)
    except OSError:
        return True  # a file like others, that cannot be read
    # No text holds a zero byte, also one that begins with BM.
    return b"\0" in start and images.is_known(start)


def _cannot(what: str, error: OSError) -> str:
    return f"the {what} cannot be opened: {error.strerror}"
