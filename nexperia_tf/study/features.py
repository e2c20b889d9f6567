"""What a network sees in each device: the output of one stage as a table of numbers."""

import dataclasses
import math
import os
import shutil
import typing
import zipfile
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files, predictions, sizes
from nexperia_tf.data import archives, progress
from nexperia_tf.data.source import NOTHING, DataSource
from nexperia_tf.models import backbones
from nexperia_tf.runs import run_folders, training_pictures

if typing.TYPE_CHECKING:
    import keras

    from nexperia_tf.data.records import store

SCHEMA = 1  # of FACTS and of the arrays
FACTS = "features.json"
STAGES = ("stem", "stage1", "stage2", "stage3", "stage4", "features")
TEXT = ("image_id", *predictions.OPTIONAL)
GIGABYTE = 1e9


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Devices as a network sees them.

    Attributes:
        image_id: text array of shape `(devices,)`, unique names.
        label: int8 array of shape `(devices,)`, 1 for defect, 0 for good, -1 unknown.
        values: float32 array of shape `(devices, numbers)`.
        columns: group, lot, machine and defect_type, text arrays of shape `(devices,)`.
    """

    image_id: np.ndarray
    label: np.ndarray
    values: np.ndarray
    columns: Mapping[str, np.ndarray]

    def table(self, score: np.ndarray, *, source: str) -> predictions.Predictions:
        """The predictions table that gives these devices the scores of `(devices,)`."""
        return predictions.Predictions(
            self.image_id, self.label, score, self.columns, source
        )


def extract(
    model: "keras.Model",
    dataset: "store.Dataset",
    split: str,
    *,
    stage: str = "features",
    batch_size: Annotated[int, *bounds.BATCH] = 32,
    max_gigabytes: Annotated[float, *bounds.within(gt=0, le=1e6)] = 8.0,
) -> Features:
    """Runs the devices of a split through the network up to `stage`.

    Args:
        model: a classifier's flat graph.
        dataset: the records.
        split: train, validation, test or unlabelled.
        stage: one of STAGES; maps are flattened, row by row, channels last.
        batch_size: devices at once.
        max_gigabytes: refuse an array larger than this.

    Raises:
        errors.BadInput: no such stage or split, or the array would be too large.
    """
    import keras

    from nexperia_tf.data.input import batching, pictures
    from nexperia_tf.data.records import reading

    if stage not in STAGES:
        raise errors.BadInput(f"--stage {stage}: one of {', '.join(STAGES)}.")
    _, *sides, channels = model.input.shape
    part = keras.Model(model.input, model.get_layer(stage).output)
    numbers = math.prod(part.output.shape[1:])
    columns = reading.metadata(dataset, split)
    devices = len(columns["image_id"])
    _check_size(devices, numbers, max_gigabytes, f"{split}, {stage}")
    values = np.empty((devices, numbers), np.float32)
    shown = pictures.Pictures(sizes.Size(*sides), channels, cache="none")
    batches = batching.evaluation(dataset, split, shown, batch_size=batch_size)
    at = 0
    for batch in progress.track(
        batches,
        f"Computing {stage}, {split}",
        total=devices,
        size=lambda batch: len(batch["image"]),
    ):
        of_batch = np.asarray(part.predict_on_batch(batch["image"]))
        values[at : at + len(of_batch)] = of_batch.reshape(len(of_batch), numbers)
        at += len(of_batch)
    name, label = columns.pop("image_id"), columns.pop("label").astype(np.int8)
    return Features(name, label, values, columns)


def _check_size(devices: int, numbers: int, limit: float, what: str) -> None:
    size = devices * numbers * 4 / GIGABYTE
    if size > limit:
        raise errors.BadInput(
            f"{what}: {devices} devices of {numbers} numbers take {size:.1f} GB, more "
            f"than --max-gigabytes {limit:g}; choose a later stage, or raise it where "
            "memory allows."
        )


def write(path: str | os.PathLike, features: Features) -> None:
    """Writes one split as an .npz of plain arrays."""
    text = {name: features.columns[name] for name in predictions.OPTIONAL}
    with open(path, "wb") as file:
        np.savez(
            file,
            image_id=features.image_id,
            label=features.label,
            features=features.values,
            **text,
        )


def read(path: str | os.PathLike) -> Features:
    """Reads one split.

    Raises:
        errors.BadInput: no such file, it is damaged, or its arrays do not fit together.
    """
    try:
        archives.check_arrays(path)
        # np.load leaves a damaged file that it opened itself open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            values, label = arrays["features"], arrays["label"]
            text = {name: arrays[name] for name in TEXT}
    except FileNotFoundError:
        raise errors.BadInput(
            f"{path}: no such file; write it with nexperia features."
        ) from None
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise errors.BadInput(
            f"{path}: is no table of features ({error}); extract them again."
        ) from None
    names = text.pop("image_id")
    if values.ndim != 2 or not np.isfinite(values).all():
        raise errors.BadInput(
            f"{path}: features must be finite, one row a device. Received an array of "
            f"shape {values.shape}."
        )
    if not len(names) == len(label) == len(values) == len(set(names.tolist())):
        raise errors.BadInput(
            f"{path}: needs one row for each image_id. Received {len(names)} names, "
            f"{len(label)} labels and {len(values)} rows."
        )
    return Features(names, label, values, text)


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Writes a network's features, one .npz a split, for a forest or for looking at."""

    run: tyro.conf.Positional[str] = ""
    """Run folder whose model and records are taken; else --weights and --data."""

    out: str = ""
    """Folder to write; must not exist yet."""

    stage: Literal["stem", "stage1", "stage2", "stage3", "stage4", "features"] = (
        "features"
    )
    """Layer: stem to stage4 are maps, flattened; features is pooled."""

    split: tuple[
        Literal["train", "validation", "calibration", "test", "unlabelled"], ...
    ] = ("train", "validation", "calibration", "test")
    """Splits to write; those without images are left out."""

    weights: Annotated[str, *bounds.a_file("imagenet", "none")] = ""
    """Without RUN: imagenet, none (random) or a torch-style .safetensors file."""

    backbone: Annotated[str, *bounds.one_of(backbones.names)] = "resnext101_32x8d"
    """With --weights: the network."""

    source: DataSource = NOTHING
    """Pictures to look at: those of RUN, else the sample, where nothing is named."""

    image_size: Annotated[int | str, *bounds.IMAGE_SIZE] = 224
    """With --weights: canvas of the letterboxed pictures, the side of a square or
    HEIGHTxWIDTH, pixels."""

    batch_size: Annotated[int, *bounds.BATCH] = 32
    """Devices at once."""

    max_gigabytes: Annotated[float, *bounds.within(gt=0, le=1e6)] = 8.0
    """Refuse arrays larger than this."""


def main(arguments: Arguments) -> None:
    """Opens, extracts and writes all splits, or nothing."""
    if not arguments.out:
        raise errors.BadInput("--out: name the folder to write.")
    if bool(arguments.run) == bool(arguments.weights):
        raise errors.BadInput("RUN or --weights: name one of them.")
    if arguments.run:
        names = ("backbone", "image_size")
        bounds.check_unused(arguments, names, "with RUN, which has its own")
    files.refuse_existing(arguments.out)
    command.import_tensorflow()
    from nexperia_tf.data.records import reading

    model, dataset, facts = _opened(arguments)
    sizes = reading.split_sizes(dataset)
    splits = [split for split in arguments.split if split in sizes]
    with files.new_folder(arguments.out) as partial:
        for split in splits:
            features = extract(
                model,
                dataset,
                split,
                stage=arguments.stage,
                batch_size=arguments.batch_size,
                max_gigabytes=arguments.max_gigabytes,
            )
            write(partial / f"{split}.npz", features)
            print(
                f"{split}: {len(features.values)} devices, {features.values.shape[1]}"
            )
        facts |= {"schema": SCHEMA, "stage": arguments.stage, "splits": splits}
        files.write_json(partial / FACTS, facts)
        shutil.copyfile(
            dataset.prepared / "manifest.csv", partial / run_folders.PICTURES
        )
        training_set = (
            training_pictures.of_run(arguments.run)
            if arguments.run
            else training_pictures.TrainingSet()
        )
        training_pictures.write(partial / training_pictures.TRAINED_ON, training_set)
        files.write_manifest(partial)
    print(f"Features: {arguments.out}")


def _opened(
    arguments: Arguments,
) -> tuple["keras.Model", "store.Dataset", dict]:
    """Model, records, and what features.json says of them."""
    if arguments.run:
        run = run_folders.load(arguments.run).at(arguments.source)
        kept = ("backbone", "weights", "loss", "image_size", "seed")
        given = run.config.flat()
        facts = {name: given[name] for name in kept}
        return run.model(), run.dataset, {"run": run.name} | facts
    import keras

    from nexperia_tf.data.records import reading, store
    from nexperia_tf.models import classifier, pretrained

    dataset = store.build(arguments.source.over(DataSource()))
    keras.utils.set_random_seed(0)  # of random weights
    model = classifier.build(
        arguments.backbone,
        image_size=arguments.image_size,
        channels=reading.channels(dataset),
    )
    pretrained.load(model, arguments.weights, fixed=True)
    facts = {name: getattr(arguments, name) for name in ("backbone", "weights")}
    facts["image_size"] = sizes.Size.of(arguments.image_size).plain
    return model, dataset, facts
