"""TensorFlow Serving's messages without TensorFlow, which no server's front needs.

tensorflow-serving-api imports `tensorflow.core`, plain protobuf messages, and with it
all of TensorFlow: 600 MB and five seconds. For that import a module that is only a
folder stands in TensorFlow's place; a later `import tensorflow` is the real one.
"""

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator


@contextlib.contextmanager
def _folder_alone(name: str) -> Iterator[None]:
    if name in sys.modules:
        yield
        return
    package = types.ModuleType(name)
    package.__path__ = list(
        importlib.util.find_spec(name).submodule_search_locations or ()
    )
    sys.modules[name] = package
    try:
        yield
    finally:
        del sys.modules[name]


with _folder_alone("tensorflow"):
    from tensorflow.core.framework import tensor_pb2, types_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

__all__ = [
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "model_management_pb2",
    "model_service_pb2_grpc",
    "predict_pb2",
    "prediction_service_pb2_grpc",
    "tensor_pb2",
    "types_pb2",
]
