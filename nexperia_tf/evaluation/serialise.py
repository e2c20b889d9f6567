"""Results as JSON holds them: the last step before report.json and study.json.

A field is written under its own name, or under the one in its metadata as `json`, so
that a name can become plainer while the file keeps its keys. Metadata `written` is a
function of the dataclass: where it says False the key is left out. Of a mapping with
metadata `flat` the items stand in its place.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np


def plain(value):
    """Dataclasses, NumPy numbers and NaN as JSON knows them.

    >>> @dataclasses.dataclass
    ... class Point:
    ...     x: float
    ...     why: str = dataclasses.field(default="", metadata={"json": "reason"})
    >>> plain({"points": (Point(1.0), Point(math.nan, "unknown"))})
    {'points': [{'x': 1.0, 'reason': ''}, {'x': None, 'reason': 'unknown'}]}
    """
    if dataclasses.is_dataclass(value):
        return _of_dataclass(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _of_dataclass(value) -> dict:
    written = {}
    for field in dataclasses.fields(value):
        content = plain(getattr(value, field.name))
        if field.metadata.get("flat"):
            written |= content
        elif field.metadata.get("written", lambda _: True)(value):
            written[field.metadata.get("json", field.name)] = content
    return written
