"""A model.keras, looked at before Keras makes anything of it.

Its config is a program: it names classes and sizes, and Keras makes what it names. Only
layers of this package's networks are let through, and no more weights than the file
holds. Keras has limits of its own, but 4 GiB are let through by them.
"""

import io
import json
import math
import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping

from nexperia_tf import errors
from nexperia_tf.data import archives

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
LARGEST_CONFIG = 16 << 20  # bytes; of the deepest network it has one million
LARGEST_SIDE = 4096  # of a picture, as `--image-size` has it
LARGEST_WINDOW = 64  # pixels of a kernel, a stride or a border
MOST_TIMES = 20  # that an HDF5 file may hold more than its own size

# Of these networks, and of those that older versions kept.
_LAYERS = {
    *("Functional", "InputLayer", "Rescaling", "LayerNormalization", "ZeroPadding2D"),
    *("Conv2D", "Convolution", "BatchNormalization", "ReLU", "Activation", "Add"),
    *("MaxPooling2D", "GlobalAveragePooling2D", "Dense", "Identity"),
    "Reshape",  # of a map
}
_OTHERS = {"DTypePolicy", "__keras_tensor__", "__tuple__"}
_INITIALIZERS = {
    *("VarianceScaling", "HeNormal", "GlorotUniform", "GlorotNormal", "Zeros", "Ones"),
    *("RandomNormal", "Constant"),
}
_WINDOWS = ("kernel_size", "strides", "padding", "pool_size", "dilation_rate")


def check(path: str | os.PathLike) -> None:
    """Refuses a model.keras that is none of this package's networks.

    Raises:
        errors.BadInput: it is no such archive, would unpack to far more than its size,
            names a class that no network here has, or a size that its weights have not.
    """
    path = pathlib.Path(path)
    sizes = archives.check(path, names=MEMBERS)
    if sizes["config.json"] > LARGEST_CONFIG:
        raise errors.BadInput(
            f"{path}: its config.json has {sizes['config.json']:,} "
            f"bytes, of {LARGEST_CONFIG:,} at most."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            held = _weights_held(archive, path)
        _check_classes(config)
        needed = _weights_needed(config["config"]["layers"])
    except errors.BadInput as error:
        raise errors.BadInput(f"{path}: {error}") from None
    except Exception as error:  # of zip, JSON and HDF5, or where a key is missing
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise errors.BadInput(
            f"{path}: cannot be read as a model ({what}); restore it or train again."
        ) from None
    if needed > held:
        raise errors.BadInput(
            f"{path}: its layers have {needed:,} weights, but it holds {held:,}; "
            "restore it or train again."
        )


def _check_classes(config: object) -> None:
    for each in _dicts(config):
        name = each.get("class_name")
        if name is None:
            continue
        known = name in (_LAYERS | _OTHERS | _INITIALIZERS)
        module = str(each.get("module") or "keras").partition(".")[0]
        if not known or module not in ("keras", "nexperia_tf"):
            raise errors.BadInput(
                f"holds {name!r} of {each.get('module')!r}, which no network of this "
                "package has; it is not loaded."
            )


def _dicts(node: object) -> Iterator[Mapping]:
    """Every object of a JSON document."""
    rest = [node]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            yield node
            rest += node.values()
        elif isinstance(node, list):
            rest += node


def _weights_needed(layers: list[dict]) -> int:
    """How many numbers Keras would make for these layers of a functional model."""
    channels: dict[str, int] = {}
    total = 0
    for layer in layers:
        kind, told = layer["class_name"], layer["config"]
        for name in _WINDOWS:
            if _largest(told.get(name)) > LARGEST_WINDOW:
                raise errors.BadInput(f"{name} of {layer['name']} is {told[name]}.")
        if kind == "InputLayer":
            *sides, given = told["batch_shape"][1:]
            if _largest(sides) > LARGEST_SIDE or given not in (1, 3):
                raise errors.BadInput(
                    f"pictures of {told['batch_shape']} are no input."
                )
        else:
            before = _inputs(layer["inbound_nodes"])
            given = channels[before[0]]
        made = given
        if kind in ("Conv2D", "Convolution"):
            made = told["filters"]
            window = math.prod(told["kernel_size"])
            total += window * (given // told["groups"]) * made + made * told["use_bias"]
        elif kind == "Dense":
            made = told["units"]
            total += given * made + made * told["use_bias"]
        elif kind == "BatchNormalization":
            total += (2 + bool(told["center"]) + bool(told["scale"])) * given
        elif kind == "Functional":
            raise errors.BadInput("holds a model within the model; it is not loaded.")
        channels[layer["name"]] = made
    return total


def _inputs(nodes: object) -> list[str]:
    """Names of the layers that a layer follows."""
    return [
        each["config"]["keras_history"][0]
        for each in _dicts(nodes)
        if each.get("class_name") == "__keras_tensor__"
    ]


def _largest(value: object) -> float:
    """The largest number in nested lists; 0 of what holds none."""
    if isinstance(value, list):
        return max(map(_largest, value), default=0)
    return abs(value) if isinstance(value, int | float) else 0


def _weights_held(archive: zipfile.ZipFile, path: pathlib.Path) -> int:
    """How many numbers stand in an HDF5 file that has no more than its own bytes."""
    import h5py

    name, held, size = "model.weights.h5", 0, 0
    # Whole: to seek in a packed file is to unpack it again.
    with h5py.File(io.BytesIO(archive.read(name)), "r") as weights:
        for dataset in _datasets(weights):
            if dataset.dtype.kind not in "fiub" and dataset.dtype.kind != "V":
                raise errors.BadInput(f"{name}: {dataset.name} holds no numbers.")
            if dataset.external or dataset.is_virtual:
                raise errors.BadInput(f"{name}: {dataset.name} lies in other files.")
            held += dataset.size
            size += dataset.nbytes
    if size > MOST_TIMES * path.stat().st_size:
        raise errors.BadInput(f"{name}: would unpack to {size:,} bytes.")
    return held


def _datasets(weights) -> Iterator:
    """Every dataset of an HDF5 file, by hard links alone."""
    import h5py

    rest = [weights]
    while rest:
        group = rest.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise errors.BadInput(f"{group.name}/{name} is a link; not loaded.")
            found = group[name]
            if isinstance(found, h5py.Group):
                rest.append(found)
            else:
                yield found
