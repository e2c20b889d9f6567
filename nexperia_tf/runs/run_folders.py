"""A run folder, read: the config, the model, the scores."""

import dataclasses
import functools
import pathlib
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from nexperia_tf import bounds, configs, errors, files, labels, predictions, sizes
from nexperia_tf.data import source
from nexperia_tf.data.measure import depth

if typing.TYPE_CHECKING:
    import keras

    from nexperia_tf.data.records import store

# Later stages take these names from here.
CONFIG = "config.json"
ENVIRONMENT = "environment.json"
CALIBRATION = "calibration.json"
METRICS = "metrics.json"
HISTORY = "history.csv"
CURVES = "curves.png"
MODEL = "model.keras"
SAVED_MODEL = "saved_model"
BASELINE = "baseline"  # its predictions/SPLIT.csv: what simple numbers reach
FIRST = "first"  # folder of the first stage, whose weights the second one starts from
PICTURES = "pictures.csv"  # the manifest of its records, as data.kept_splits reads it
CHECKPOINTS = "checkpoints"
BUSY = "changes this run"  # said where it is waited for
# Which devices choose the threshold: those that chose nothing, where there are any.
CALIBRATED_ON = ("calibration", "validation")
SCORED_SPLITS = ("validation", "calibration", "test")


# Where a threshold can come from, as it is said; GUARANTEED alone carries a promise.
_REJECT_FROM = typing.Annotated[float | int | None, *bounds.within(gt=0, le=1)]
DEFAULT, GUARANTEED, TARGET, SET = "default", "guaranteed", "target", "set"
ORIGINS = {
    DEFAULT: "default",
    GUARANTEED: "guaranteed",
    TARGET: "chosen for a catch rate",
    SET: "set by hand",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Calibration:
    """What turns a logit into a score and a score into a verdict.

    Attributes:
        temperature, offset: score = sigmoid(logit / temperature + offset).
        threshold: devices with a score at or above it are called defect.
        origin: where the threshold comes from, one of `ORIGINS`.
        basis: what it rests on, in words, such as "tpr=.99 on validation of runs/a".
        reject_from: score from which a device is certain enough to be rejected without
            a look, so that scores between are for a person; None where no such score
            has been certified.
    """

    temperature: float = 1.0
    offset: float = 0.0
    threshold: float = 0.5
    origin: str = DEFAULT
    basis: str = ""
    reject_from: float | None = None

    def logits(self, raw):
        """Calibrated logits of a network's own; arrays and tensors of any shape."""
        return raw / self.temperature + self.offset

    def scores(self, raw: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of defect, float64, of a network's own logits."""
        return probability(self.logits(np.asarray(raw, np.float64)))

    @property
    def words(self) -> str:
        """The threshold in the one form of words that every command uses.

        >>> Calibration().words
        'threshold 0.5 (default, not guaranteed)'
        >>> basis = "at most 0.5 % escapes with 95 % confidence"
        >>> Calibration(threshold=0.12, origin=GUARANTEED, basis=basis).words
        'threshold 0.12 (guaranteed: at most 0.5 % escapes with 95 % confidence)'
        """
        if self.origin == GUARANTEED:
            why = ": ".join(filter(None, (ORIGINS[GUARANTEED], self.basis)))
        else:
            why = f"{self.basis or ORIGINS[self.origin]}, not guaranteed"
        return f"threshold {self.threshold:.6g} ({why})"


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run folder.

    Attributes:
        folder: where it is.
        config: its settings, as config.json holds them.
        facts: what it found out: channels, sizes of splits, share of defects ...
        elsewhere: whether its records are to be made of pictures named by `at`.
        depth_range: that of the 16-bit pictures it has learned from, whatever `at` has
            named.
    """

    folder: pathlib.Path
    config: configs.Config
    facts: Mapping
    elsewhere: bool = False
    depth_range: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The folder's own name, for tables."""
        return self.folder.resolve().name

    @property
    def image_size(self) -> sizes.Size:
        """Of the canvas that its pictures are letterboxed to, pixels."""
        return sizes.Size.of(self.config.pictures.image_size)

    @property
    def channels(self) -> int:
        """1 for grey data, 3 for colour."""
        channels = self.facts.get("channels")
        if channels not in (1, 3):
            raise errors.BadInput(
                f"{self.folder / CONFIG}: channels {channels!r}: 1 for grey or 3 for "
                "colour."
            )
        return channels

    @functools.cached_property
    def calibration(self) -> Calibration:
        """Temperature, offset and threshold as they stand in calibration.json."""
        return read_calibration(self.folder / CALIBRATION)

    @property
    def kept_epoch(self) -> "KeptEpoch | None":
        """Which epoch was kept; None where the run does not say."""
        path = self.folder / METRICS
        facts = files.read_json(path) if path.is_file() else {}
        return KeptEpoch.of(facts["epochs"]) if "epochs" in facts else None

    @property
    def baseline(self) -> Mapping:
        """What metrics.json says of the baseline; empty where the run has none."""
        path = self.folder / METRICS
        facts = files.read_json(path) if path.is_file() else {}
        return facts.get(BASELINE, {})

    def at(self, place: source.DataSource) -> "Run":
        """The same run with its pictures where `place` says, as far as it does."""
        config = self.config.changed(**vars(place.over(self.config.data)))
        return dataclasses.replace(self, config=config, elsewhere=bool(place.data))

    @functools.cached_property
    def dataset(self) -> "store.Dataset":
        """The records the run was trained on, built again where they are gone.

        Pictures that `at` has named are taken in place of those, with the splits that
        the run knows them by.
        """
        if not self.elsewhere:
            return dataset_of(self.config, self.folder / PICTURES)
        from nexperia_tf.data.records import reading, store

        named = self.config.data
        dataset = store.build(
            named,
            calibration_share=named.calibration_share,
            init=self.folder,
            seen_by=depth.Model(str(self.folder), self.depth_range),
        )
        if reading.channels(dataset) > self.channels:
            raise errors.BadInput(
                f"{named.data}: holds colour pictures, {self.folder} has learned from "
                "grey ones; name grey ones."
            )
        return dataset

    def model(self, *, with_map: bool = False) -> "keras.Model":
        """The best model of the run; gives the raw logit of shape `(batch, 1)`.

        Args:
            with_map: take it as it is kept: where it has learned a map, it gives a dict
                of `logit` and `map`, raw logits of shape `(batch, rows, columns)`.

        Raises:
            errors.BadInput: the file differs from what training wrote.
        """
        from nexperia_tf.models import classifier

        files.verify_manifest(self.folder, only=MODEL)
        kept = load_model(self.folder / MODEL)
        return kept if with_map else classifier.without_map(kept)

    def predictions(self, split: str) -> predictions.Predictions:
        """The scores of a split: as written by training, else computed now."""
        path = self.folder / "predictions" / f"{split}.csv"
        if path.is_file():
            return predictions.read(path)
        logits = logits_of(self.model(), self.dataset, split)
        return table(self.dataset, split, self.calibration.scores(logits))


def known_as(path: pathlib.Path) -> str:
    """What the report calls it.

    `runs/a/predictions/test.csv` and `runs/a/saved_model/1` are known as `a`,
    `scores.csv` as `scores`.
    """
    path = path.resolve()
    if path.is_file():
        inside = path.parent.name == "predictions"
        return path.parent.parent.name if inside else path.stem
    if path.name.isdecimal():
        path = path.parent
    return path.parent.name if path.name == "saved_model" else path.name


def dataset_of(config: configs.Config, pictures: pathlib.Path) -> "store.Dataset":
    """The records of a config.

    Args:
        config: what names them.
        pictures: the run's copy of their manifest. Where it is there, these very
            records are taken, whatever has been added to the raw folder since; where
            they are gone, the new ones keep its splits.
    """
    from nexperia_tf.data.records import store

    keep_splits, depth_range = config.data.keep_splits, depth_range_of(config)
    is_kept = depth_range is not None and not config.data.depth_range
    data = dataclasses.replace(config.data, depth_range=depth_range)
    fold, place = config.data.fold, data.data_dir
    if fold:
        place = store.fold_place(place)
    if pictures.is_file():
        found = store.of_manifest(pictures, place, depth_range=depth_range)
        if found:
            return found
        if not fold:  # whose splits are dealt anew, alike
            keep_splits = str(pictures.parent)
    return store.build(
        data,
        calibration_share=config.data.calibration_share,
        keep_splits=keep_splits,
        init=config.network.init,
        seen_by=depth.Model(config.network.init, depth_range) if is_kept else None,
        fold=fold,
    )


def depth_range_of(config: configs.Config) -> tuple[float, float] | None:
    """The range of 16-bit pictures that is given, else that of the run of `--init`."""
    before = pathlib.Path(config.network.init)
    if config.data.depth_range or not config.network.init:
        return config.data.depth_range
    if not (before / CONFIG).is_file():  # a run may outlive the one it started from
        return None
    return load(before).config.data.depth_range


def load(folder: str | pathlib.Path) -> Run:
    """Opens a run folder.

    Raises:
        errors.BadInput: it is no run folder, or the run has not ended.
    """
    folder = pathlib.Path(folder)
    if not (folder / CONFIG).is_file():
        raise errors.BadInput(
            f"{folder}: not a run folder ({CONFIG} is missing); name one that "
            "nexperia train wrote."
        )
    if not (folder / files.MANIFEST).is_file():
        raise errors.BadInput(
            f"{folder}: the run has not ended; continue it with "
            f"nexperia train --resume --out {folder}."
        )
    payload = files.read_json(folder / CONFIG)
    config = configs.from_json(payload, where=str(folder / CONFIG))
    depth_range = config.data.depth_range
    return Run(folder, config, configs.facts_from(payload), depth_range=depth_range)


def load_model(path: str | pathlib.Path) -> "keras.Model":
    """Loads a model.keras with Keras' safe mode on, its map among it if it has one.

    Raises:
        errors.BadInput: it is damaged, or no network of this package.
    """
    import keras

    from nexperia_tf.models import (
        classifier,  # noqa: F401  its layers register here
        model_file,
    )

    model_file.check(path)
    try:
        return keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises many kinds on a config that lies
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise errors.BadInput(
            f"{path}: cannot be loaded as a model ({first}); restore it or train again."
        ) from None


def read_calibration(path: str | pathlib.Path) -> Calibration:
    """Reads calibration.json.

    Raises:
        errors.BadInput: it is missing, or a number in it makes no sense.
    """
    return calibration_from(files.read_json(path), where=str(path))


def calibration_from(payload: Mapping, *, where: str) -> Calibration:
    """The calibration that calibration.json or a SavedModel's nexperia.json holds.

    What older versions wrote has no offset and does not say where its threshold comes
    from: such a threshold counts as not guaranteed.

    Raises:
        errors.BadInput: a number is missing or makes no sense; `where` names the file.
    """
    found = {f.name: f.default for f in dataclasses.fields(Calibration)}
    found |= {name: payload[name] for name in found if name in payload}
    found |= {name: payload.get(name) for name in ("temperature", "threshold")}
    for name, lowest, highest in (
        ("temperature", 0.0, np.inf),
        ("offset", -np.inf, np.inf),
        ("threshold", 0.0, 1.0),
    ):
        value = found[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise errors.BadInput(f"{where}: {name} is {value!r}; a number.")
        if not (lowest < value <= highest and np.isfinite(value)):
            raise errors.BadInput(
                f"{where}: {name} is {value!r}; a number above {lowest:g} and at most "
                f"{highest:g}."
            )
    if found["origin"] not in ORIGINS:
        raise errors.BadInput(
            f"{where}: origin is {found['origin']!r}; one of {', '.join(ORIGINS)}."
        )
    if said := bounds.problem(found["reject_from"], _REJECT_FROM):
        raise errors.BadInput(
            f"{where}: reject_from is {found['reject_from']!r}: {said}."
        )
    if "origin" not in payload and found["threshold"] != Calibration.threshold:
        found["basis"] = "stored by an older version"
    return Calibration(**found)


def write_calibration(path: str | pathlib.Path, calibration: Calibration) -> None:
    """Publishes calibration.json."""
    files.write_json(path, {"schema": 1} | dataclasses.asdict(calibration))


@dataclasses.dataclass(frozen=True)
class KeptEpoch:
    """Which epoch a run kept, for a sentence.

    >>> str(KeptEpoch(9, "auc")), str(KeptEpoch(1, "partial_auc"))
    ('best of 9 epochs', 'only epoch')
    >>> str(KeptEpoch(9, "last"))
    'last of 9 epochs'

    Attributes:
        trained: epochs there were.
        monitor: what decided, as `--monitor` names it.
    """

    trained: int
    monitor: str

    @classmethod
    def of(cls, epochs: Mapping) -> "KeptEpoch":
        """From `epochs` in a run's metrics.json."""
        return cls(epochs["trained"], epochs["monitor"])

    @property
    def selected(self) -> bool:
        """Whether validation selected it: its figures there are the best of as many."""
        return self.trained > 1 and self.monitor != "last"

    def __str__(self) -> str:
        if self.trained == 1:
            return "only epoch"
        of = f"of {self.trained} epochs"
        if not self.selected:
            return f"last {of}"
        by = {"auc": "", "partial_auc": " by partial AUC", "accuracy": " by accuracy"}
        return f"best {of}{by[self.monitor]}"


def logits_of(
    model: "keras.Model",
    dataset: "store.Dataset",
    split: str,
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """Raw logits of every device of a split, float32 of shape `(devices,)`."""
    from nexperia_tf.data.input import batching, pictures

    _, *sides, channels = model.input.shape
    shown = pictures.Pictures(sizes.Size(*sides), channels, cache="none")
    batches = batching.evaluation(dataset, split, shown, batch_size=batch_size)
    return model.predict(batching.images(batches), verbose=0).ravel()


def table(
    dataset: "store.Dataset", split: str, score: Sequence[float]
) -> predictions.Predictions:
    """The predictions table of a split, from the scores of its devices.

    Args:
        dataset: the records.
        split: which of its splits.
        score: probability of defect by device, in the order of the records.
    """
    from nexperia_tf.data.records import reading

    columns = reading.metadata(dataset, split)
    return predictions.Predictions(
        image_id=columns.pop("image_id"),
        label=columns.pop("label"),
        score=score,
        columns=columns,
        source=f"{dataset.name} {split}",
    )


def probability(logits: np.ndarray) -> np.ndarray:
    """sigmoid(logits) in float64, without overflow at either end."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))


def verdicts(scores: np.ndarray, threshold: float) -> list[str]:
    """`defect` for every score at or above the threshold, else `good`."""
    return [labels.NAMES[int(score >= threshold)] for score in scores]
