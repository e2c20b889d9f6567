"""Lot, machine, track and position, as a device's file name holds them."""

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
