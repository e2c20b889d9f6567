"""The process of one version of a model: it alone imports TensorFlow.

It gets batches of pictures, looks at each by the rule of `nexperia predict`, scores
those that can be read in one go and answers for all. While the network works on one
batch, threads decode the next. It ends when the server's end of the connection closes.
"""

import concurrent.futures
import os
import queue
import signal
import threading
import typing
from collections.abc import Callable, Sequence
from multiprocessing import connection

import numpy as np

from nexperia_tf import command, errors
from nexperia_tf.server.models import explaining, frames

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

# Keys of messages.
ID, ITEMS, ANSWERS, FAILED, READY = "id", "items", "answers", "failed", "ready"
SHAPE = "shape"  # of an item that is pixels, uint8; other items are a file's bytes
SCORE, LABEL, PROBLEM = "score", "label", "problem"
MORE, UNFAMILIAR = "more", "unfamiliar"  # further outputs by name, and one of them
NUMBERS = "numbers"  # of a picture, where the model has others to compare with
EXPLAINED = "explained"  # of an item: its look-alikes are wanted, too
ALIKE = "alike"  # in an answer: look-alikes, as `Explainer.alike` gives them
# Letterboxed pixels, what is wrong with them, and their numbers.
_Canvas = tuple[np.ndarray | None, str, list[float] | None]


def run(asked: connection.Connection, version: str, max_pixels: int) -> None:
    """Loads a version, says so and answers until the connection closes."""
    # What ends a whole group of processes ends the server, which lets its last batches
    # be answered and then closes the connection.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    try:
        served = _loaded(version)
        look, explain = _look(served, max_pixels), explaining.Explainer(served)
        _score(served, [np.zeros((*served.image_size, _channels(served)), np.uint8)])
        ready, blobs = _introduced(served)
    except errors.BadInput as error:
        frames.send(asked, {FAILED: str(error)})
        return
    try:
        frames.send(asked, {READY: ready}, blobs)
        _answer(asked, served, look, explain)
    except (EOFError, OSError):  # the server has closed it, or ended
        return


def _loaded(version: str) -> "export.Served":
    # Two versions share a GPU while one takes over from the other.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    command.import_tensorflow()
    from nexperia_tf.serving import export

    return export.load(version)


def _channels(served: "export.Served") -> int:
    return served.facts["channels"]


def _introduced(served: "export.Served") -> tuple[dict, list[bytes]]:
    """What the server needs to know of the model, and its signatures in one message."""
    facts = {
        "threshold": served.calibration.threshold,
        "reject_from": served.calibration.reject_from,
        "channels": _channels(served),
        "image_size": list(served.image_size),
    }
    return facts, [_signatures(served)]


def _signatures(served: "export.Served") -> bytes:
    """A serialised `SignatureDefMap`, as TensorFlow Serving gives it."""
    from tensorflow_serving.apis import get_model_metadata_pb2

    from nexperia_tf.serving import servable

    found = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures(served.folder).items():
        found.signature_def[name].CopyFrom(signature)
    return found.SerializeToString()


def _look(served: "export.Served", max_pixels: int) -> Callable[[dict, bytes], _Canvas]:
    """A function from an item to its letterboxed pixels, or none and the problem."""
    from nexperia_tf import preprocess
    from nexperia_tf.drift import measure, reference
    from nexperia_tf.serving import scoring

    measured = (served.folder / reference.EXPORTED).is_file()
    canvas_of = scoring.canvases(served, max_pixels)
    channels, size = _channels(served), served.image_size

    def look(item: dict, blob: bytes) -> _Canvas:
        canvas, problem = boxed(item, blob)
        if problem or not measured:
            return canvas, problem, None
        return canvas, "", [round(float(n), 5) for n in measure.of_canvas(canvas)]

    def boxed(item: dict, blob: bytes) -> tuple[np.ndarray | None, str]:
        try:
            if SHAPE not in item:
                return canvas_of(blob)
            pixels = np.frombuffer(blob, np.uint8).reshape(item[SHAPE])
            if pixels.shape[-1] != channels:
                return None, f"has {pixels.shape[-1]} channels, the model {channels}"
            return preprocess.letterbox_pixels(pixels, size), ""
        except Exception as error:  # whatever it is, it is this picture's alone
            return None, f"cannot be decoded ({type(error).__name__}: {error})"

    return look


def _answer(
    asked: connection.Connection,
    served: "export.Served",
    look: Callable,
    explain: explaining.Explainer,
) -> None:
    """Answers batches in the order in which they come."""
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        reader = threading.Thread(
            target=_read, args=(asked, look, pool, waiting), daemon=True
        )
        reader.start()
        while (batch := waiting.get()) is not None:
            number, items, looked = batch
            canvases = [each.result() for each in looked]
            try:
                answers = _answers(served, canvases)
                for item, answer, (canvas, *_) in zip(items, answers, canvases):
                    if item.get(EXPLAINED) and canvas is not None:
                        answer[ALIKE] = explain.alike(canvas)
            except Exception as error:  # such as no memory for so large a batch
                failed = f"{type(error).__name__}: {error}"
                frames.send(asked, {ID: number, FAILED: failed})
            else:
                frames.send(asked, {ID: number, ANSWERS: answers})


def _read(
    asked: connection.Connection,
    look: Callable,
    pool: concurrent.futures.Executor,
    waiting: queue.SimpleQueue,
) -> None:
    """Has batches decoded as they come; the last thing put is None."""
    try:
        while True:
            header, blobs = frames.receive(asked)
            looked = [pool.submit(look, *each) for each in zip(header[ITEMS], blobs)]
            waiting.put((header[ID], header[ITEMS], looked))
    except (EOFError, OSError):
        waiting.put(None)


def _answers(served: "export.Served", canvases: Sequence[_Canvas]) -> list[dict]:
    found = [canvas for canvas, problem, _ in canvases if not problem]
    scored = iter(_score(served, found) if found else ())
    return [
        {PROBLEM: problem} if problem else next(scored) | _numbers(numbers)
        for _, problem, numbers in canvases
    ]


def _numbers(numbers: list[float] | None) -> dict:
    return {} if numbers is None else {NUMBERS: numbers}


def _score(served: "export.Served", canvases: list[np.ndarray]) -> list[dict]:
    """Score, label and whatever else the model gives, of each canvas."""
    from nexperia_tf.serving import servable

    signature = served.signature(servable.PIXELS)
    given = signature(image_pixels=_tensor(np.stack(canvases)))
    found = {name: values.numpy() for name, values in given.items()}
    scores, labels = found.pop(servable.SCORE), found.pop(servable.LABEL)
    return [
        {
            SCORE: float(score),
            LABEL: label.decode(),
            MORE: {name: values[i].tolist() for name, values in found.items()},
        }
        for i, (score, label) in enumerate(zip(scores, labels))
    ]


def _tensor(pixels: np.ndarray) -> object:
    import tensorflow as tf

    return tf.constant(pixels)
