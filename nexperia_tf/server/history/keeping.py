"""Which pictures are kept beside the history, and where.

A kept picture is a file of the folder `NAME.pictures` beside the history, by day, named
by its own hash: keeping it twice is keeping it once.
"""

import dataclasses
import io
import itertools
import pathlib

from PIL import Image

from nexperia_tf import errors, files
from nexperia_tf.data import images
from nexperia_tf.server.history import tables
from nexperia_tf.server.models import child

NONE, REJECTS, REVIEW, EVERY = "none", "rejects", "review", "every:"
_ENDINGS = {b"BM": ".bmp", b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"II": ".tif"}
_ENDINGS |= {b"MM": ".tif", b"RIFF": ".webp", b"GIF8": ".gif"}


@dataclasses.dataclass(frozen=True)
class Rule:
    """What is kept.

    Attributes:
        rejects: pictures of defects, and torn ones.
        review: pictures that a person has to look at, and torn ones.
        every: also each n-th picture; 0 for none.
    """

    rejects: bool = False
    review: bool = False
    every: int = 0

    @classmethod
    def of(cls, text: str) -> "Rule":
        """Reads `rejects`, `review`, `every:100`, `none`, or some with commas.

        >>> Rule.of("rejects,every:100")
        Rule(rejects=True, review=False, every=100)

        Raises:
            errors.BadInput: another word.
        """
        words = text.split(",")
        every = [word.removeprefix(EVERY) for word in words if word.startswith(EVERY)]
        known = all(w in (NONE, REJECTS, REVIEW) or w.startswith(EVERY) for w in words)
        numbers = all(each.isdecimal() and int(each) for each in every)
        if not known or not numbers or len(every) > 1 or (NONE in words and words[1:]):
            raise errors.BadInput(
                f"--keep {text}: rejects, review, every:N or none is expected, or "
                "several of the first three with commas."
            )
        return cls(REJECTS in words, REVIEW in words, int(every[0]) if every else 0)

    @property
    def none(self) -> bool:
        return self == Rule()


class Keeper:
    """Keeps the pictures that a rule names.

    Args:
        rule: which.
        folder: where.
    """

    def __init__(self, rule: Rule, folder: pathlib.Path):
        self._rule, self._folder = rule, folder
        self._seen = itertools.count(1)

    @property
    def rule(self) -> Rule:
        return self._rule

    @property
    def folder(self) -> pathlib.Path:
        return self._folder

    def wants(self, entry: tables.Entry, picture: child.Picture) -> bool:
        """Whether the picture of a verdict is to be kept; each one is asked once.

        A torn picture is one, too; what is none by its first bytes is never kept.
        """
        if entry.problem and not (picture.shape or images.is_known(picture.content)):
            return False
        nth = bool(self._rule.every) and next(self._seen) % self._rule.every == 0
        rejected = entry.label == "defect" or bool(entry.problem)
        doubtful = entry.verdict == "review" or bool(entry.problem)
        return (
            nth or (self._rule.rejects and rejected) or (self._rule.review and doubtful)
        )

    def keep(self, entry: tables.Entry, picture: child.Picture) -> tables.Entry:
        """Writes the picture; returns the verdict with the file's path in it.

        Pixels become a PNG.

        Raises:
            OSError: it cannot be written.
        """
        day = self._folder / entry.time[:10]
        day.mkdir(parents=True, exist_ok=True)
        drawn = picture.shape and picture.shape[2] in (1, 3)
        content = _png(picture) if drawn else picture.content
        name = f"{entry.picture_sha256}{_ending(content)}"
        if not (day / name).is_file():
            files.write_bytes(day / name, content)
        return dataclasses.replace(entry, kept_as=f"{day.name}/{name}")

    def remove(self, kept_as: str) -> None:
        """Removes a kept picture, and the folder of its day when it is empty."""
        path = self._folder / kept_as
        path.unlink(missing_ok=True)
        try:
            path.parent.rmdir()
        except OSError:  # it holds others
            return


def _png(picture: child.Picture) -> bytes:
    height, width, channels = picture.shape
    mode = "L" if channels == 1 else "RGB"
    file = io.BytesIO()
    Image.frombytes(mode, (width, height), picture.content).save(file, "PNG")
    return file.getvalue()


def _ending(content: bytes) -> str:
    found = (end for magic, end in _ENDINGS.items() if content.startswith(magic))
    return next(found, ".bin")
