"""File names: what a device's says, and how any is written in tables."""

import pathlib
import re

_LOT = r"(?P<lot>[A-Z0-9]{12})_(?P<sub>\d{2})"
_PLACE = r"(?P<track>[12])_(?P<sequence>\d{1,4})_(?P<position>[1-4])"
_COPY = r"(?: - Copy(?: \(\d+\))?)?"
_DATE = r"(?:(?P<date>\d{8})_)?"
NAMES = {
    "pass": (
        rf"{_DATE}{_LOT}-(?P<code>[A-Z0-9]{{3}})-ITISA(?P<machine>\d{{2,3}})-{_PLACE}"
    ),
    "defect": rf"{_DATE}{_LOT}-APG_ITIS_H(?P<machine>\d{{2,3}})_{_PLACE}",
    "short": rf"{_DATE}{_LOT}_{_PLACE}",
    "no_lot": rf"{_DATE}{_PLACE.replace('{1,4}', '+')}",
}
_PATTERNS = {kind: re.compile(pattern + _COPY) for kind, pattern in NAMES.items()}


def parse(stem: str) -> dict[str, str]:
    """The fields of a device's file name; `pattern` is `other` for a foreign name.

    >>> parse("WEE939001B0A_14-APG_ITIS_H20_1_374_4")["lot"]
    'WEE939001B0A'
    >>> parse("1_374_4")
    {'pattern': 'no_lot', 'track': '1', 'sequence': '374', 'position': '4'}
    >>> parse("cell0001")
    {'pattern': 'other'}
    """
    for kind, pattern in _PATTERNS.items():
        match = pattern.fullmatch(stem)
        if match:
            fields = {k: v for k, v in match.groupdict().items() if v is not None}
            return {"pattern": kind, **fields}
    return {"pattern": "other"}


# What stands for a byte of a name that is not UTF-8, or for a control character.
_ESCAPES = r"25|[01][0-9A-F]|7F|[89A-F][0-9A-F]"
_ESCAPED = re.compile(rf"%({_ESCAPES})")
_TO_ESCAPE = re.compile(rf"%(?={_ESCAPES})|[\x00-\x1f\x7f\udc80-\udcff]")


def as_text(name: str) -> str:
    """The form of a file's name or path in tables: UTF-8 without control characters.

    A byte that is not UTF-8, or a control character, becomes `%` with two hexadecimal
    digits; `%` becomes `%25` where it would read as one of these. All other names stay
    as they are. `from_text` gives the name back.

    >>> as_text("Pr\\udcfcfung.png"), as_text("50% my%20photo.png"), as_text("a%FC")
    ('Pr%FCfung.png', '50% my%20photo.png', 'a%25FC')
    """
    return _TO_ESCAPE.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", name)


def from_text(text: str) -> str:
    """The name, as the file system gives it, that `as_text` wrote as `text`.

    >>> from_text("Pr%FCfung.png"), from_text("a%25FC")
    ('Pr\\udcfcfung.png', 'a%FC')
    """
    return _ESCAPED.sub(lambda match: _character(int(match[1], 16)), text)


def _character(byte: int) -> str:
    return chr(0xDC00 + byte) if byte >= 0x80 else chr(byte)


def on_disk(folder: pathlib.Path, text: str) -> pathlib.Path:
    """The file or folder below `folder` that a table calls `text`."""
    return folder / from_text(text)
