"""A run folder, read: the config, the model, the scores."""

import dataclasses
import functools
import pathlib
import typing

import numpy as np

from nexperia_tf import configs, errors, files, labels, predictions

if typing.TYPE_CHECKING:
    import keras

    from nexperia_tf.data import records

# Later stages take these names from here.
CONFIG = "config.json"
ENVIRONMENT = "environment.json"
CALIBRATION = "calibration.json"
METRICS = "metrics.json"
HISTORY = "history.csv"
CURVES = "curves.png"
MODEL = "model.keras"
SAVED_MODEL = "saved_model"
CHECKPOINTS = "checkpoints"
SCORED_SPLITS = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What turns a logit into a score and a score into a verdict.

    Attributes:
        temperature: score = sigmoid(logit / temperature).
        threshold: devices with a score at or above it are called defect.
    """

    temperature: float = 1.0
    threshold: float = 0.5


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run folder.

    Attributes:
        folder: where it is.
        config: its config.json, with `channels` and other facts of the run under `run`.
    """

    folder: pathlib.Path
    config: dict

    @property
    def name(self) -> str:
        """The folder's own name, for tables."""
        return self.folder.resolve().name

    @property
    def image_size(self) -> int:
        """Side of the letterboxed square, pixels."""
        return self.config["image_size"]

    @property
    def channels(self) -> int:
        """1 for grey data, 3 for colour."""
        return self.config["run"]["channels"]

    @functools.cached_property
    def calibration(self) -> Calibration:
        """Temperature and threshold as they stand in calibration.json."""
        return read_calibration(self.folder / CALIBRATION)

    @functools.cached_property
    def dataset(self) -> "records.Dataset":
        """The records the run was trained on, built again where they are gone."""
        from nexperia_tf.data import records

        config = configs.from_json(self.config, where=str(self.folder / CONFIG))
        return records.build(
            config.data,
            data_dir=config.data_dir,
            unboxed=None if config.unboxed == "auto" else config.unboxed,
            good=config.good or None,
            group=config.group or None,
        )

    def model(self) -> "keras.Model":
        """The best model of the run; gives the raw logit of shape `(batch, 1)`.

        Raises:
            errors.BadInput: the file differs from what training wrote.
        """
        files.verify_manifest(self.folder, only=MODEL)
        return load_model(self.folder / MODEL)

    def predictions(self, split: str) -> predictions.Predictions:
        """The scores of a split: as written by training, else computed now."""
        path = self.folder / "predictions" / f"{split}.csv"
        if path.is_file():
            return predictions.read(path)
        logits = logits_of(
            self.model(),
            self.dataset,
            split,
            image_size=self.image_size,
            channels=self.channels,
        )
        return table(self.dataset, split, logits, self.calibration.temperature)


def load(folder: str | pathlib.Path) -> Run:
    """Opens a run folder.

    Raises:
        errors.BadInput: it is no run folder, or the run has not ended.
    """
    folder = pathlib.Path(folder)
    if not (folder / CONFIG).is_file():
        raise errors.BadInput(
            f"{folder}: not a run folder ({CONFIG} is missing); name one that train.py "
            "wrote."
        )
    if not (folder / files.MANIFEST).is_file():
        raise errors.BadInput(
            f"{folder}: the run has not ended; continue it with train.py --resume "
            f"--out {folder}."
        )
    return Run(folder, files.read_json(folder / CONFIG))


def load_model(path: str | pathlib.Path) -> "keras.Model":
    """Loads a model.keras with Keras' safe mode on."""
    import keras

    from nexperia_tf.models import classifier  # noqa: F401  its layers register here

    try:
        return keras.saving.load_model(path, safe_mode=True)
    except (ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise errors.BadInput(
            f"{path}: cannot be loaded as a model ({first}); restore it or train again."
        ) from None


def read_calibration(path: str | pathlib.Path) -> Calibration:
    """Reads calibration.json.

    Raises:
        errors.BadInput: it is missing, or a number in it makes no sense.
    """
    payload = files.read_json(path)
    calibration = Calibration(payload.get("temperature"), payload.get("threshold"))
    for name in ("temperature", "threshold"):
        value = getattr(calibration, name)
        if not isinstance(value, int | float) or not value > 0:
            raise errors.BadInput(f"{path}: {name} is {value!r}; a number above 0.")
    return calibration


def write_calibration(path: str | pathlib.Path, calibration: Calibration) -> None:
    """Publishes calibration.json."""
    files.write_json(path, {"schema": 1} | dataclasses.asdict(calibration))


def logits_of(
    model: "keras.Model",
    dataset: "records.Dataset",
    split: str,
    *,
    image_size: int,
    channels: int,
    batch_size: int = 64,
) -> np.ndarray:
    """Raw logits of every device of a split, float32 of shape `(devices,)`."""
    from nexperia_tf.data import pipeline

    batches = pipeline.evaluation_batches(
        dataset,
        split,
        image_size=image_size,
        channels=channels,
        batch_size=batch_size,
    )
    return model.predict(batches, verbose=0).ravel()


def table(
    dataset: "records.Dataset", split: str, logits: np.ndarray, temperature: float
) -> predictions.Predictions:
    """The predictions table of a split, from its logits in record order."""
    columns = metadata(dataset, split)
    return predictions.Predictions(
        image_id=columns.pop("image_id"),
        label=columns.pop("label"),
        score=probability(logits, temperature),
        columns=columns,
        source=f"{dataset.name} {split}",
    )


def metadata(dataset: "records.Dataset", split: str) -> dict[str, np.ndarray]:
    """What a predictions table says of the devices, in record order.

    Returns:
        arrays of shape `(devices,)` by column: image_id and label (-1 for unlabelled),
        and group, lot, machine, defect_type as text.
    """
    from nexperia_tf.data import records

    names = ("image_id", "label", *predictions.OPTIONAL)
    rows = records.load(dataset, split).map(lambda record: [record[n] for n in names])
    columns = zip(*rows.as_numpy_iterator())
    return {
        name: np.array([v.decode() if isinstance(v, bytes) else v for v in values])
        for name, values in zip(names, columns)
    }


def probability(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """sigmoid(logits / temperature) in float64, without overflow at either end."""
    scaled = np.asarray(logits, np.float64) / temperature
    return np.exp(-np.logaddexp(0, -scaled))


def verdicts(scores: np.ndarray, threshold: float) -> list[str]:
    """`defect` for every score at or above the threshold, else `good`."""
    return [labels.NAMES[int(score >= threshold)] for score in scores]
