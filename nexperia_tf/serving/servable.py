"""Checks that a server can load a SavedModel and answers as the model does.

`tf.saved_model.load` rebuilds Python objects and gives each function its variables.
A server has only the graph and the checkpoint: TensorFlow Serving, the C API,
saved_model_cli and TF1 programs load both into a session. `check` does the same.
"""

import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from nexperia_tf import labels, sizes
from nexperia_tf.library_internals import tensorflow_internals

BYTES = "serving_default"
PIXELS = "image_pixels"
# Names that clients write; in JSON, only a name in _bytes may carry base64.
INPUTS = {BYTES: "image_bytes", PIXELS: "image_pixels"}
SCORE, LABEL, MAP, UNFAMILIAR = "score", "label", "map", "unfamiliar"
OUTPUTS = {  # the last two are not all's
    SCORE: tf.float32,
    LABEL: tf.string,
    MAP: tf.float32,
    UNFAMILIAR: tf.float32,
}
WARMUP = pathlib.PurePosixPath("assets.extra/tf_serving_warmup_requests")
TAG = "serve"
# How far a score may be off: a server may fuse what is computed here one by one, and
# then rounds less often, to 24 bits or to 8.
TOLERANCE, TOLERANCE_IN_BFLOAT16 = 1e-5, 0.02
PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}  # ops that call the exporter


class Unservable(Exception):
    """A server would refuse the SavedModel or answer differently."""


def pictures(size: sizes.Size, channels: int) -> list[np.ndarray]:
    """A blank picture and noise of other shapes, uint8 `(height, width, channels)`."""
    rng = np.random.default_rng(0)
    height, width = size
    shapes = (height, width // 2 + 1), (height // 2 + 1, width + 8)
    noise = [rng.integers(0, 256, (*s, channels), np.uint8) for s in shapes]
    return [np.zeros((*size, channels), np.uint8), *noise]


def write_warmup(path: pathlib.Path, picture: np.ndarray) -> None:
    """Requests that a server runs before it is ready, one per signature."""
    # Imported in functions: loading a SavedModel does not need it.
    from tensorflow_serving.apis import prediction_log_pb2

    inputs = {
        BYTES: tf.make_tensor_proto([_png(picture)], tf.string),
        PIXELS: tf.make_tensor_proto(picture[np.newaxis]),
    }
    with tf.io.TFRecordWriter(str(path)) as records:
        for signature, tensor in inputs.items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            request.inputs[INPUTS[signature]].CopyFrom(tensor)
            records.write(log.SerializeToString())


def check(
    folder: pathlib.Path,
    shown: Sequence[np.ndarray],
    own: Mapping[str, np.ndarray],
    *,
    threshold: float,
    tolerance: float = TOLERANCE,
) -> None:
    """Loads a SavedModel as servers do and has it answer.

    Args:
        folder: the version, with its warm-up requests.
        shown: pictures, uint8 `(height, width, channels)`, the first that of the
            warm-up requests.
        own: the model's own answers, each of shape `(pictures, ...)`: `score` and,
            where it gives them, `map` and `unfamiliar`.
        threshold: lowest score of `defect`.
        tolerance: how far a score may be off.

    Raises:
        Unservable: it cannot be loaded, lacks what was promised, or errs;
            the message is one line.
    """
    try:
        _refuse_what_servers_lack(_read(folder))
        requests = list(_requests(folder, shown, own))
        # On the CPU: a GPU may have no memory left while a training runs on it.
        config = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
        with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
            ask = _asker(session, folder, {*own, LABEL})
            for what, signature, tensor, expected in requests:
                answer = ask(signature, tensor)
                _compare(what, answer, expected, threshold, tolerance)
    except Unservable:
        raise
    except Exception as error:  # whatever it is, a server would run into it, too
        raise Unservable(f"{type(error).__name__}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """The first informative line of a message; TensorFlow's have many."""
    lines = (line.strip() for line in str(error).splitlines())
    informative = (line for line in lines if line and not line.endswith((":", ">")))
    return next(informative, "without a message")


def _read(folder: pathlib.Path) -> tensorflow_internals.MetaGraphDef:
    saved = tensorflow_internals.SavedModel()
    saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    for graph in saved.meta_graphs:
        if list(graph.meta_info_def.tags) == [TAG]:
            return graph
    raise Unservable(f"no graph is tagged {TAG}")


def signatures(folder: pathlib.Path) -> Mapping[str, object]:
    """The `SignatureDef` of each signature that a SavedModel has, by name."""
    return _read(folder).signature_def


def _refuse_what_servers_lack(graph: tensorflow_internals.MetaGraphDef) -> None:
    functions = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(n for f in functions for n in f.node_def)]
    if names := sorted({node.op for node in nodes} & PYTHON):
        raise Unservable(f"it calls Python ({', '.join(names)})")
    for part in [*functions, *nodes]:
        # Servers without XLA cannot run it (tensorflow/serving, issues 2214 and 2217).
        if "_XlaMustCompile" in part.attr and part.attr["_XlaMustCompile"].b:
            raise Unservable("one of its functions is marked _XlaMustCompile")


def _requests(
    folder: pathlib.Path, shown: Sequence[np.ndarray], own: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str, object, dict[str, np.ndarray]]]:
    """Description, signature, tensor and expected answer, for each request."""
    from tensorflow_serving.apis import prediction_log_pb2

    def part(*which: int | None) -> dict[str, np.ndarray]:
        return {name: values[slice(*which)] for name, values in own.items()}

    for record in tf.data.TFRecordDataset(str(folder / WARMUP)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        name = log.predict_log.request.model_spec.signature_name
        (tensor,) = log.predict_log.request.inputs.values()
        yield f"{name}'s warm-up request", name, tf.make_ndarray(tensor), part(1)
    yield BYTES, BYTES, [_png(picture) for picture in shown], part(None)
    for i, picture in enumerate(shown):
        yield PIXELS, PIXELS, picture[np.newaxis], part(i, i + 1)
    for name, nothing in ((BYTES, []), (PIXELS, shown[0][np.newaxis][:0])):
        yield f"{name} without pictures", name, nothing, part(0)


def _asker(
    session: tf.compat.v1.Session, folder: pathlib.Path, given: set[str]
) -> Callable:
    """A function that sends a tensor to a signature; all must answer what is given."""
    wanted = {key: OUTPUTS[key] for key in OUTPUTS if key in given}
    log = tf.get_logger()
    level = log.level
    log.setLevel(logging.ERROR)  # hides the warning that sessions are deprecated
    try:
        graph = tf.compat.v1.saved_model.load(session, [TAG], str(folder))
    finally:
        log.setLevel(level)
    for name, fed in INPUTS.items():
        signature = graph.signature_def[name]
        outputs = {key: tensor.dtype for key, tensor in signature.outputs.items()}
        if list(signature.inputs) != [fed] or outputs != wanted:
            raise Unservable(f"signature {name} is not {fed} to {', '.join(wanted)}")

    def ask(name: str, tensor: object) -> dict[str, np.ndarray]:
        signature = graph.signature_def[name]
        fetched = {key: signature.outputs[key].name for key in wanted}
        return session.run(fetched, {signature.inputs[INPUTS[name]].name: tensor})

    return ask


def _compare(
    what: str,
    answer: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    threshold: float,
    tolerance: float,
) -> None:
    allowed = max(tolerance, _tolerance_of_devices())
    for name, right in expected.items():
        found = answer[name]
        # A distance has no upper end: noise lies twenty times as far as pictures do.
        share = 10 * allowed if name == UNFAMILIAR else 0
        if found.shape == right.shape and np.allclose(
            found, right, rtol=share, atol=allowed
        ):
            continue
        if name == MAP:
            raise Unservable(f"{what} is answered with another map")
        raise Unservable(
            f"{what} is answered with {found.tolist()}, not {right.tolist()}"
        )
    score = answer[SCORE]
    right = [labels.NAMES[int(s >= np.float32(threshold))].encode() for s in score]
    if answer[LABEL].tolist() != right:
        raise Unservable(
            f"{what} is answered with labels {answer[LABEL].tolist()}, not {right}"
        )


def _tolerance_of_devices() -> float:
    """How far a score may be off where kernels of GPU and CPU are compared."""
    return 1e-3 if tf.config.list_physical_devices("GPU") else 0.0


def _png(picture: np.ndarray) -> bytes:
    return tf.io.encode_png(picture).numpy()
