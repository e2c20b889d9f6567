"""Requests and answers in JSON, in the form and the words of TensorFlow Serving.

Its REST API and its util/json_tensor.cc are followed: `instances` (one after the other)
or `inputs` (by name), binary as `{"b64": ...}`, `predictions` or `outputs` back. What
it does not know: a picture that cannot be read has score null, label "" and a
`problem`, beside the verdicts of the others.
"""

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import errors
from nexperia_tf.server import asking, refusals
from nexperia_tf.server.front import signatures
from nexperia_tf.server.models import child

ROW, COLUMN = "instances", "inputs"
_TYPES = {
    type(None): "Null",
    bool: "Boolean",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


@dataclasses.dataclass(frozen=True)
class Request:
    """A predict request.

    Attributes:
        form: ROW or COLUMN; the answer has the same.
        pictures: in their order.
    """

    form: str
    pictures: Sequence[child.Picture]


def parse(body: bytes) -> Request:
    """Reads a request.

    Raises:
        refusals.Refused: it is none, or has an input that no model here takes.
    """
    asked = _object(body)
    signature = asked.get("signature_name", "")
    if not isinstance(signature, str):
        raise _wrong("'signature_name' key must be a string value.")
    signature, name = signatures.input_of(signature)
    if (ROW in asked) == (COLUMN in asked):
        if ROW not in asked:
            raise _wrong("Missing 'inputs' or 'instances' key")
        raise _wrong(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist"
        )
    form = ROW if ROW in asked else COLUMN
    values = (_rows if form == ROW else _columns)(asked[form], name)
    read = _file if signature == signatures.BYTES else _pixels
    pictures = []
    for item, value in enumerate(values):
        try:
            pictures.append(read(value))
        except ValueError as error:
            raise _wrong(
                f"Failed to process element: {item} of '{form}' list. Error: {error}"
            ) from None
    if len({picture.shape for picture in pictures}) > 1:
        shapes = sorted({picture.shape for picture in pictures})
        raise _wrong(f"Expecting shape {list(shapes[0])} but got: {list(shapes[1])}")
    return Request(form, pictures)


def _object(body: bytes) -> dict:
    if not body:
        raise _wrong("JSON Parse error: The document is empty")
    try:
        asked = json.loads(body)
    except json.JSONDecodeError as error:
        raise _wrong(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, too many digits, depth
        raise _wrong(f"JSON Parse error: {errors.cut(str(error))}") from None
    if not isinstance(asked, dict):
        raise _wrong(f"JSON Value: {_shown(asked)} Is not object")
    return asked


def _rows(value: object, name: str) -> list:
    """Values of `[{"image_bytes": v}, ...]` or `[v, ...]`."""
    if not isinstance(value, list):
        raise _wrong("Excepting 'instances' to be an list/array")
    if not value:
        raise _wrong("No values in 'instances' array")
    named = _is_named(value[0])
    found = []
    for item, each in enumerate(value):
        if _is_named(each) != named:
            kind = "object but got list" if named else "value/list but got object"
            raise _wrong(f"Expecting {kind} at item {item} of input list")
        if named and set(each) != {name}:
            raise _wrong(
                f"Failed to process element: {item} of 'instances' list. JSON object: "
                f"{_shown(each)} keys must be equal to: {name}"
            )
        found.append(each[name] if named else each)
    return found


def _columns(value: object, name: str) -> list:
    """Values of `{"image_bytes": [v, ...]}` or `[v, ...]`."""
    if _is_named(value):
        if name not in value:
            raise _wrong(f"Missing named input: {name} in 'inputs' object.")
        value = value[name]
    if not isinstance(value, list):
        raise _wrong(f"{name}: a list is expected, one value for each picture")
    return value


def _is_named(value: object) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def _file(value: object) -> child.Picture:
    if isinstance(value, str):
        return child.Picture(value.encode())
    if not isinstance(value, dict):
        kind = _TYPES.get(type(value), "Value")
        raise ValueError(
            f"JSON Value: {_shown(value)} Type: {kind} is not of expected type: string"
        )
    text = value.get("b64")
    if set(value) != {"b64"} or not isinstance(text, str):
        raise ValueError(
            f"JSON Value: {_shown(value)} not formatted correctly for base64 data"
        )
    try:
        return child.Picture(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError):
        raise ValueError("Unable to base64 decode") from None


def _pixels(value: object) -> child.Picture:
    try:
        found = np.array(value)
    except ValueError:  # lists of several lengths
        raise ValueError("Encountered list at unexpected size") from None
    if found.ndim != 3 or not found.size:
        raise ValueError(f"shape {list(found.shape)}: [height,width,channels] expected")
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() > 255:
        raise ValueError("values are not of expected type: uint8, from 0 to 255")
    return child.Picture(found.astype(np.uint8).tobytes(), tuple(found.shape))


def _wrong(message: str) -> refusals.Refused:
    return refusals.Refused(refusals.INVALID_ARGUMENT, message)


def _shown(value: object) -> str:
    return errors.cut(json.dumps(value))


def answer(judged: asking.Judged, form: str) -> dict:
    """What a client gets.

    Args:
        judged: the verdicts.
        form: that of the request.
    """
    rows = list(rows_of(judged))
    if form == ROW:
        return {"predictions": rows}
    names = list(dict.fromkeys(name for row in rows for name in row))
    empty = {"problem": "", "verdict": ""}
    columns = {n: [row.get(n, empty.get(n)) for row in rows] for n in names}
    return {"outputs": columns or {"score": [], "label": []}}


def rows_of(judged: asking.Judged) -> Sequence[Mapping]:
    """Score, label and what else there is of each picture."""
    rows = []
    for entry, more in zip(judged.entries, judged.more):
        row = {"label": entry.label, "score": entry.score}
        row |= more
        row |= {"problem": entry.problem} if entry.problem else {}
        if judged.with_verdict:
            row |= {"verdict": entry.verdict}
        rows.append(row)
    return rows


def refuse_if_unreadable(judged: asking.Judged) -> None:
    """A request of which nothing can be read is refused, as by other servers."""
    if judged.all_unreadable:
        problem = judged.entries[0].problem
        raise _wrong(f"no picture can be read: {problem}")
