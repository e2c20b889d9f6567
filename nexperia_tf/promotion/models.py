"""The two models of a promotion: opened, told apart, with what each learned from."""

import dataclasses
import hashlib
import json
import pathlib
import typing

from nexperia_tf import errors, files
from nexperia_tf.data.prepare import kept_splits
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.serving import predict, version_folders

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

OF_ANSWERS = ("image_size", "channels", "depth_range", "combines", "bias", "members")
OF_CALIBRATION = ("temperature", "offset", "threshold", "reject_from")


@dataclasses.dataclass(frozen=True)
class Model:
    """A model that may be promoted, or is to be replaced.

    Attributes:
        name: how it was named.
        served: its SavedModel.
        run: its run folder; None where only a SavedModel is known.
        training_set: what it was trained on.
        chose: pixel hashes of the devices that chose its epoch or threshold; empty
            where only a SavedModel is known.
    """

    name: str
    served: "export.Served"
    run: run_folders.Run | None
    training_set: training_pictures.TrainingSet
    chose: frozenset[str]

    @property
    def identity(self) -> str:
        """Hex SHA-256 of all that its answers depend on: weights, calibration, size.

        The same for two exports of one model, whose files differ.
        """
        facts = self.served.facts
        names = (*OF_ANSWERS, *OF_CALIBRATION)
        told = {name: facts.get(name) for name in names}
        told["weights"] = _weights(self.served.folder)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 that stands for all of its files."""
        return files.fingerprint(self.served.folder)


def _weights(version: pathlib.Path) -> list[str]:
    """Hashes of all variables, in an order that no export changes."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    types = reader.get_variable_to_dtype_map()
    names = (name for name, kind in types.items() if kind != tf.string)
    return sorted(
        hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest() for name in names
    )


def open_model(folder: str | pathlib.Path, *, trust: bool = False) -> Model:
    """Opens a run folder or a SavedModel folder.

    Raises:
        errors.BadInput: there is none, it is damaged, half published or not vouched
            for.
    """
    folder = pathlib.Path(folder)
    is_run = (folder / run_folders.CONFIG).is_file()
    run = run_folders.load(folder) if is_run else None
    served = predict.open_model(folder, trust=trust)
    trained = (
        training_pictures.of_run(folder)
        if is_run
        else training_pictures.of_export(served.folder)
    )
    chose = _chose(folder) if is_run else frozenset()
    return Model(str(folder), served, run, trained, chose)


def check_known(model: Model) -> None:
    """Refuses a model of which nobody knows what it was trained on.

    Raises:
        errors.BadInput: it is one.
    """
    if unknown := model.training_set.unknown:
        raise errors.BadInput(
            f"{model.name}: nobody knows which pictures {', '.join(unknown)} was "
            "trained on, an older version kept no list; name its run, or train it "
            "again."
        )


def _chose(run: pathlib.Path) -> frozenset[str]:
    """Pixels of the devices that have chosen the epoch or the threshold of a run."""
    return frozenset(
        row.pixel_sha256
        for row in kept_splits.rows_of(run)
        if row.used and row.split in run_folders.CALIBRATED_ON
    )


def open_old(
    over: str, base: pathlib.Path, new: Model, *, trust: bool = False
) -> Model:
    """Opens the model that is to be replaced: the newest version below `base`.

    Args:
        over: the same by another name, such as its run; may be empty.
        base: folder of the versions.
        new: what is to replace it.
        trust: as in `export.load`.

    Raises:
        errors.BadInput: there is none, `over` is another model, or both are the same,
            or nobody knows what one of them was trained on.
    """
    published = version_folders.versions(base)
    if not published and not over:
        raise errors.BadInput(
            f"{base}: holds no version yet; publish the first one with nexperia export "
            f"--run RUN --out {base}, or name --over."
        )
    in_force = open_model(published[-1], trust=trust) if published else None
    old = open_model(over, trust=trust) if over else in_force
    if in_force is not None and old.identity != in_force.identity:
        raise errors.BadInput(
            f"--over {over}: is not {in_force.served.folder}, the version in force "
            "there, with its weights and threshold; leave --over out."
        )
    if old.identity == new.identity:
        raise errors.BadInput(
            f"{new.name}: is the same model as {old.name}, weights and threshold; name "
            "a newer one."
        )
    for model in (new, old):
        check_known(model)
    return old
