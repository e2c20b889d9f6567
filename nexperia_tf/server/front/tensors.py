"""Pictures out of TensorFlow's tensor messages and verdicts into them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf.library_internals import serving_protos as protos
from nexperia_tf.server import asking, refusals
from nexperia_tf.server.front import json_form, signatures
from nexperia_tf.server.models import child

_TYPES = protos.types_pb2
_Tensor = protos.tensor_pb2.TensorProto


def pictures(inputs: Mapping[str, _Tensor], signature: str) -> list[child.Picture]:
    """The pictures of a request.

    Raises:
        refusals.Refused: it has other inputs than the signature, or of another kind.
    """
    signature, name = signatures.input_of(signature)
    if set(inputs) != {name}:
        raise _wrong(
            f"input size does not match signature: {len(inputs)}!=1 len({{{name}}}). "
            f"Sent extra: {{{','.join(sorted(set(inputs) - {name}))}}}. Missing but "
            f"required: {{{','.join({name} - set(inputs))}}}."
        )
    tensor = inputs[name]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if signature == signatures.BYTES:
        return _files(tensor, shape)
    return _pixels(tensor, shape)


def _files(tensor: _Tensor, shape: list[int]) -> list[child.Picture]:
    if tensor.dtype != _TYPES.DT_STRING or len(shape) != 1:
        raise _wrong("image_bytes: strings of shape [N] are expected")
    values = list(tensor.string_val)
    if len(values) == 1:  # as TensorFlow packs equal values
        values *= shape[0]
    if len(values) != shape[0]:
        raise _wrong(f"image_bytes: {len(values)} values for shape {shape}")
    return [child.Picture(value) for value in values]


def _pixels(tensor: _Tensor, shape: list[int]) -> list[child.Picture]:
    """Pixels as bytes, or one after the other as `int_val`, the last one repeated."""
    if tensor.dtype != _TYPES.DT_UINT8 or len(shape) != 4 or min(shape) < 0:
        raise _wrong("image_pixels: uint8 of shape [N,height,width,channels] expected")
    if not shape[0]:
        return []
    size = math.prod(shape)
    content = tensor.tensor_content
    if not content and 0 < len(tensor.int_val) <= size:
        values = list(tensor.int_val)
        if min(values) < 0 or max(values) > 255:
            raise _wrong("image_pixels: a value is not of expected type: uint8")
        if size > len(values):
            _refuse_huge(size)
        content = np.pad(
            np.array(values, np.uint8), (0, size - len(values)), "edge"
        ).tobytes()
    if not size or len(content) != size:
        raise _wrong(f"image_pixels: {len(content)} values for shape {shape}")
    one = size // shape[0]
    starts = range(0, size, one)
    return [child.Picture(content[s : s + one], tuple(shape[1:])) for s in starts]


def _refuse_huge(size: int) -> None:
    """A short message may stand for as many values as it likes."""
    most = 1 << 28
    if size > most:
        raise _wrong(f"image_pixels: {size} values; at most {most} are taken")


def outputs(judged: asking.Judged) -> dict[str, _Tensor]:
    """Score, label and what else there is, as tensors by name.

    A picture that cannot be read has score NaN, label "" and a problem.
    """
    rows = json_form.rows_of(judged)
    scores = [math.nan if row["score"] is None else row["score"] for row in rows]
    found = {"score": _floats(scores), "label": _texts([row["label"] for row in rows])}
    for name in ("problem", "verdict"):
        if any(name in row for row in rows):
            found[name] = _texts([row.get(name, "") for row in rows])
    for name in {name: None for more in judged.more for name in more}:
        given = [np.float32(more[name]) for more in judged.more if name in more]
        blank = np.full_like(given[0], math.nan)
        found[name] = _array([more.get(name, blank) for more in judged.more])
    return found


def _floats(values: Sequence[float]) -> _Tensor:
    return _array(np.array(values, np.float32))


def _array(values: Sequence) -> _Tensor:
    array = np.asarray(values, np.float32)
    tensor = _Tensor(dtype=_TYPES.DT_FLOAT, float_val=array.ravel().tolist())
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def _texts(values: Sequence[str]) -> _Tensor:
    tensor = _Tensor(dtype=_TYPES.DT_STRING, string_val=[v.encode() for v in values])
    tensor.tensor_shape.dim.add(size=len(values))
    return tensor


def _wrong(message: str) -> refusals.Refused:
    return refusals.Refused(refusals.INVALID_ARGUMENT, message)
