"""Asks SavedModels through TensorFlow's C API, without TensorFlow's Python.

    python c_api.py LIBRARY JOBS

LIBRARY is libtensorflow_cc of a wheel: its loader is the one TensorFlow Serving runs.
JOBS is that of session.py, with the graph's names of what is fed and fetched.
"""

import base64
import concurrent.futures
import ctypes
import json
import math
import sys

FLOAT, UINT8, STRING = 1, 4, 7  # TF_DataType
STRING_SIZE = 24  # of a TF_TString
THREADS = 4


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def library(path):
    """The C API, with the return types of what returns more than an int."""
    tf = ctypes.CDLL(path)
    tf.TF_Message.restype = ctypes.c_char_p
    tf.TF_StringGetSize.restype = ctypes.c_size_t
    tf.TF_Dim.restype = ctypes.c_int64
    for name in (
        *("NewStatus", "NewGraph", "NewSessionOptions", "LoadSessionFromSavedModel"),
        *("GraphOperationByName", "AllocateTensor", "TensorData"),
        "StringGetDataPointer",
    ):
        getattr(tf, f"TF_{name}").restype = ctypes.c_void_p
    return tf


def nested(values):
    """Lists of lists of numbers."""
    return [nested(v) if hasattr(v, "__len__") else v for v in values]


class Failed(Exception):
    """A status other than TF_OK."""


class Model:
    """A SavedModel, loaded by TF_LoadSessionFromSavedModel."""

    def __init__(self, tf, folder):
        self.tf = tf
        self.graph = ctypes.c_void_p(tf.TF_NewGraph())
        options = ctypes.c_void_p(tf.TF_NewSessionOptions())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = ctypes.c_void_p(
            self.checked(
                tf.TF_LoadSessionFromSavedModel,
                *(options, None, folder.encode(), tags, 1, self.graph, None),
            )
        )

    def checked(self, function, *arguments):
        status = ctypes.c_void_p(self.tf.TF_NewStatus())
        value = function(*arguments, status)
        if self.tf.TF_GetCode(status):
            raise Failed(self.tf.TF_Message(status).decode())
        self.tf.TF_DeleteStatus(status)
        return value

    def output(self, name):
        operation, _, index = name.partition(":")
        found = self.tf.TF_GraphOperationByName(self.graph, operation.encode())
        assert found, f"the graph has no {name}"
        return Output(found, int(index))

    def tensor(self, request):
        if "strings" in request:
            texts = [base64.b64decode(text) for text in request["strings"]]
            value, data = self.allocated(STRING, [len(texts)], STRING_SIZE)
            for i, text in enumerate(texts):
                place = ctypes.c_void_p(data + i * STRING_SIZE)
                self.tf.TF_StringInit(place)
                self.tf.TF_StringCopy(place, text, ctypes.c_size_t(len(text)))
            return value
        value, data = self.allocated(UINT8, request["shape"], 1)
        content = base64.b64decode(request["pixels"])
        if content:
            ctypes.memmove(data, content, len(content))
        return value

    def allocated(self, kind, shape, size):
        dims = (ctypes.c_int64 * len(shape))(*shape)
        length = ctypes.c_size_t(math.prod(shape) * size)
        value = self.tf.TF_AllocateTensor(kind, dims, len(shape), length)
        value = ctypes.c_void_p(value)
        return value, self.tf.TF_TensorData(value)

    def ask(self, request):
        names = sorted(request["fetch"])
        wanted = [self.output(request["fetch"][name]) for name in names]
        found = (ctypes.c_void_p * len(names))()
        self.checked(
            self.tf.TF_SessionRun,
            *(self.session, None),
            *((Output * 1)(self.output(request["feed"])),),
            *((ctypes.c_void_p * 1)(self.tensor(request).value), 1),
            *((Output * len(names))(*wanted), found, len(names)),
            *(None, 0, None),
        )
        values = (self.listed(ctypes.c_void_p(value)) for value in found)
        return dict(zip(names, values))

    def listed(self, value):
        many = self.tf.TF_NumDims(value)
        count, *more = (self.tf.TF_Dim(value, i) for i in range(many))
        data, kind = self.tf.TF_TensorData(value), self.tf.TF_TensorType(value)
        if kind == FLOAT:
            rows = ctypes.c_float
            for size in reversed([count, *more]):
                rows = rows * size
            return nested(rows.from_address(data)) if count else []
        assert kind == STRING and not more
        return [self.text(data + i * STRING_SIZE) for i in range(count)]

    def text(self, place):
        place = ctypes.c_void_p(place)
        size = self.tf.TF_StringGetSize(place)
        return ctypes.string_at(self.tf.TF_StringGetDataPointer(place), size).decode()


def answers(tf, job):
    model = Model(tf, job["folder"])
    with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(model.ask, job["requests"] * THREADS))
    many = len(job["requests"])
    assert all(found[i] == found[i % many] for i in range(len(found)))
    for request in job.get("refused", []):
        try:
            model.ask(request)
        except Failed:
            continue
        raise AssertionError("what cannot be decoded was answered")
    assert model.ask(job["requests"][0]) == found[0]  # a refusal hurts nobody else
    return found[:many]


if __name__ == "__main__":
    with open(sys.argv[2]) as file:
        jobs = json.load(file)
    tf = library(sys.argv[1])
    print(json.dumps([answers(tf, job) for job in jobs]))
    assert not {"tensorflow", "numpy", "nexperia_tf"} & set(sys.modules)
