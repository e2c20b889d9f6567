"""A random forest on a network's features: what needs no fine-tuning of the network."""

import dataclasses
import pathlib
import shutil
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files, labels, predictions
from nexperia_tf.data import archives, manifest, progress
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import calibration, metrics
from nexperia_tf.study import features

if typing.TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

SCHEMA = 1  # of FACTS
FACTS = "forest.json"
FOREST = "forest.skops"
TRUSTED = "sklearn.tree._tree.Tree"  # the one type skops does not know by itself
TREES = 100
SCORED_SPLITS = ("validation", "calibration", "test", "unlabelled")
# Tried by --tuned, besides the default of one leaf a device and sqrt(numbers) a split.
GRID = [
    {"n_estimators": 500, "max_features": share, "min_samples_leaf": leaf}
    for share in ("sqrt", 0.1, 0.3)
    for leaf in (1, 3, 10)
]


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The forest that ranked the validation devices best.

    Attributes:
        forest: fitted on the train split alone.
        tried: settings and validation AUC of each forest, in the order tried.
        best: which of `tried` it is.
    """

    forest: "RandomForestClassifier"
    tried: list[dict]
    best: int


def fit(
    train: features.Features,
    validation: features.Features,
    *,
    trees: Annotated[int, *bounds.within(ge=1, le=1_000_000)] = TREES,
    tuned: bool = False,
    grid: Sequence[Mapping] | None = None,
    seed: Annotated[int, *bounds.SEED] = 0,
) -> Chosen:
    """Grows forests on `train` and keeps the one with the best validation AUC.

    Args:
        train: features and labels to grow on.
        validation: those that choose between settings.
        trees: of the default forest.
        tuned: try all of `grid` too.
        grid: what scikit-learn's forest takes, one mapping for each to try; GRID when
            not given.
        seed: of bootstraps and splits.

    Raises:
        errors.BadInput: a class is missing, or the splits have other numbers.
    """
    from sklearn import ensemble

    for split, part in (("train", train), ("validation", validation)):
        _check_labels(split, part.label)
    _check_width(train.values.shape[1], validation, "validation")
    settings = [{"n_estimators": trees}, *((grid or GRID) if tuned else [])]
    tried, best, chosen = [], -1, None
    for number, setting in enumerate(progress.track(settings, "Growing forests")):
        forest = ensemble.RandomForestClassifier(
            **setting, random_state=seed, n_jobs=-1
        )
        forest.fit(train.values, train.label)
        # Threads would add the trees up in any order, and the last bit with them.
        forest.set_params(n_jobs=None)
        auc = metrics.auc(validation.label, probability(forest, validation))
        if chosen is None or auc > tried[best]["validation_auc"]:
            best, chosen = number, forest
        tried.append(setting | {"validation_auc": auc})
    return Chosen(chosen, tried, best)


def _check_labels(split: str, label: np.ndarray) -> None:
    n_good, n_defect = int(np.sum(label == 0)), int(np.sum(label == labels.POSITIVE))
    if not n_good or not n_defect or n_good + n_defect < len(label):
        raise errors.BadInput(
            f"{split}: a forest needs good and defect devices, all with a label. "
            f"Received {n_good} good and {n_defect} defect of {len(label)}."
        )


def _check_width(width: int, part: features.Features, what: str) -> None:
    if part.values.shape[1] != width:
        raise errors.BadInput(
            f"{what}: has {part.values.shape[1]} numbers a device, the forest takes "
            f"{width}; use the stage and image size it was grown on."
        )


def probability(
    forest: "RandomForestClassifier", part: features.Features
) -> np.ndarray:
    """Probability of defect, float64 of shape `(devices,)`.

    The mean of the trees, with half a tree more on either side: where all agree, the
    probability is not 0 or 1, which no calibration could move.
    """
    column = list(forest.classes_).index(labels.POSITIVE)
    mean = forest.predict_proba(part.values)[:, column]
    return (mean * forest.n_estimators + 0.5) / (forest.n_estimators + 1)


def save(folder: pathlib.Path, forest: "RandomForestClassifier", facts: dict) -> None:
    """Writes a forest, what is known of it, and MANIFEST.sha256 into `folder`."""
    skops_io().dump(forest, folder / FOREST)
    files.write_json(folder / FACTS, {"schema": SCHEMA} | facts)
    files.write_manifest(folder)


def load(folder: str | pathlib.Path) -> "RandomForestClassifier":
    """Loads a forest, after its SHA-256, trusting nothing but trees.

    Raises:
        errors.BadInput: the folder is damaged, or the file holds another type.
    """
    reader = skops_io()
    folder = pathlib.Path(folder)
    files.verify_manifest(folder)
    path = folder / FOREST
    if not path.is_file():
        raise errors.BadInput(f"{path}: no such file; name a folder of this command.")
    archives.check(path)
    try:
        unknown = set(reader.get_untrusted_types(file=path)) - {TRUSTED}
    except Exception as error:  # skops raises many kinds on a file that lies
        raise errors.BadInput(f"{path}: {_unreadable(error)}") from None
    if unknown:
        raise errors.BadInput(
            f"{path}: holds {', '.join(sorted(unknown))}, which no forest needs; it is "
            "not loaded."
        )
    try:
        forest = reader.load(path, trusted=[TRUSTED])
    except Exception as error:
        raise errors.BadInput(f"{path}: {_unreadable(error)}") from None
    from sklearn.ensemble import RandomForestClassifier

    if not isinstance(forest, RandomForestClassifier):
        raise errors.BadInput(f"{path}: holds a {type(forest).__name__}, no forest.")
    return forest


def _unreadable(error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"cannot be read as a forest ({first}); grow it again."


def skops_io() -> types.ModuleType:
    """skops.io, which only the extra `forest` installs.

    Raises:
        errors.BadInput: it is not installed.
    """
    try:
        import skops.io
    except ModuleNotFoundError:
        raise errors.BadInput(
            "forests are kept by skops, which is not installed; "
            "pip install 'nexperia_tf[forest]'"
        ) from None
    return skops.io


def scored(
    forest: "RandomForestClassifier",
    part: features.Features,
    *,
    calibrated: run_folders.Calibration,
    source: str,
) -> predictions.Predictions:
    """The predictions table of these devices, calibrated as networks are.

    Raises:
        errors.BadInput: the forest was grown on another number of features.
    """
    _check_width(forest.n_features_in_, part, source)
    score = calibrated.scores(calibration.logits(probability(forest, part)))
    return part.table(score, source=source)


def publish(
    out: str | pathlib.Path,
    chosen: Chosen,
    splits: Mapping[str, features.Features],
    facts: Mapping,
    *,
    learned: pathlib.Path | None = None,
) -> None:
    """Writes the chosen forest and its predictions, whole or not at all.

    Args:
        out: the folder, which must not exist.
        chosen: from `fit`.
        splits: validation and others to score; the calibration split, else validation,
            says what a probability is worth.
        facts: what else forest.json shall say.
        learned: the folder of its features, which says what they were trained on.
    """
    fitted_on = next(split for split in run_folders.CALIBRATED_ON if split in splits)
    logits = calibration.logits(probability(chosen.forest, splits[fitted_on]))
    calibrated = calibration.fit(logits, splits[fitted_on].label, where=fitted_on)
    facts = {**facts, "tried": chosen.tried, "best": chosen.best}
    with files.new_folder(out) as partial:
        save(partial, chosen.forest, facts | dataclasses.asdict(calibrated))
        forest = load(partial)  # what is scored is what was saved
        (partial / "predictions").mkdir()
        for split, part in splits.items():
            path = partial / "predictions" / f"{split}.csv"
            table = scored(forest, part, calibrated=calibrated, source=split)
            predictions.write(path, table)
        if learned and (learned / training_pictures.TRAINED_ON).is_file():
            _write_trained_on(partial, learned, pathlib.Path(out).resolve().name)
        files.write_manifest(partial)


def _write_trained_on(folder: pathlib.Path, learned: pathlib.Path, name: str) -> None:
    """Carries on what features were trained on; the forest learned from these, too."""
    pictures = learned / run_folders.PICTURES
    shutil.copyfile(pictures, folder / run_folders.PICTURES)
    own = training_pictures.of_rows(manifest.read(pictures), name)
    before = training_pictures.read(learned / training_pictures.TRAINED_ON)
    merged = training_pictures.merged([own, before])
    training_pictures.write(folder / training_pictures.TRAINED_ON, merged)


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Grows a random forest on features; writes it and its predictions."""

    features: tyro.conf.Positional[str]
    """Folder that the command features wrote, with splits train and validation."""

    out: str
    """Folder to write; must not exist yet."""

    trees: Annotated[int, *bounds.within(ge=1, le=1_000_000)] = TREES
    """Trees of the default forest."""

    tuned: bool = False
    """Try nine more settings of 500 trees; the validation AUC decides."""

    seed: Annotated[int, *bounds.SEED] = 0
    """Of bootstraps and splits."""


def main(arguments: Arguments) -> None:
    """Grows, saves, loads what was saved, scores with that."""
    folder = pathlib.Path(arguments.features)
    files.refuse_existing(arguments.out)
    skops_io()  # before a forest is grown that could not be kept
    files.verify_manifest(folder)
    train = features.read(folder / "train.npz")
    validation = features.read(folder / "validation.npz")
    chosen = fit(
        train,
        validation,
        trees=arguments.trees,
        tuned=arguments.tuned,
        seed=arguments.seed,
    )
    splits = {"validation": validation}
    for split in SCORED_SPLITS:
        if (folder / f"{split}.npz").is_file():
            splits[split] = features.read(folder / f"{split}.npz")
    facts = {"features": files.read_json(folder / features.FACTS)}
    facts |= {"seed": arguments.seed}
    publish(arguments.out, chosen, splits, facts, learned=folder)
    best = chosen.tried[chosen.best]
    of = f", best of {len(chosen.tried)} forests" * (len(chosen.tried) > 1)
    print(f"Validation AUC {best['validation_auc']:.4f}{of}: {_setting(best)}")
    print(f"In force: {run_folders.Calibration().words}")
    print(f"Forest: {arguments.out}")


def _setting(tried: dict) -> str:
    return ", ".join(f"{k} {v}" for k, v in tried.items() if k != "validation_auc")
