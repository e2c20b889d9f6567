"""The models of an ensemble: what each brings, and whether they go together."""

import dataclasses
import pathlib
import typing
from collections.abc import Callable, Mapping, Sequence

from nexperia_tf import errors, labels, predictions
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import choices

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

# What one decode for all needs.
ALIKE = ("image_size", "channels", "labels", "depth_range")


@dataclasses.dataclass(frozen=True)
class Member:
    """A model that takes part.

    Attributes:
        name: of its run, as reports call it.
        served: its SavedModel.
        logit: from letterboxed uint8 pictures to its calibrated logits.
        validation: its scores of the validation split, where it is a run.
        calibration: its scores of the split calibration, where it is a run and has one.
        selection: by split, how many models its devices chose among; an export knows of
            its validation devices only.
        training_set: the devices it was trained on.
        hashes: what its pictures show, where it is a run that kept a list of them.
    """

    name: str
    served: "export.Served"
    logit: Callable
    validation: predictions.Predictions | None
    calibration: predictions.Predictions | None = None
    selection: Mapping[str, choices.Choices] = dataclasses.field(default_factory=dict)
    training_set: training_pictures.TrainingSet = dataclasses.field(
        default_factory=training_pictures.TrainingSet
    )
    hashes: training_pictures.PictureHashes | None = None


def open_members(
    folders: Sequence[str | pathlib.Path], *, trust: bool = False
) -> list[Member]:
    """Loads run folders or SavedModel folders; `trust` as in `export.load`.

    Raises:
        errors.BadInput: less than two, one cannot be used, or they do not go together.
    """
    if len(folders) < 2:
        raise errors.BadInput(
            f"MODEL: an ensemble takes two or more. Received {len(folders)}."
        )
    members = [_open(pathlib.Path(folder), trust=trust) for folder in folders]
    for member in members:
        _check_alike(members[0], member)
    return members


def _open(folder: pathlib.Path, *, trust: bool) -> Member:
    from nexperia_tf.serving import export

    tables: dict[str, predictions.Predictions] = {}
    served = export.load(folder, trust=trust)
    selection = {"validation": choices.of_facts(served.facts)}
    training_set, hashes = training_pictures.of_export(served.folder), None
    if (folder / run_folders.CONFIG).is_file():
        training_set, hashes = (
            training_pictures.of_run(folder),
            training_pictures.hashes_of_run(folder),
        )
        run = run_folders.load(folder)
        if differs := export.disagreement(run):
            raise errors.BadInput(differs)
        for split in run_folders.CALIBRATED_ON:
            path = folder / "predictions" / f"{split}.csv"
            if path.is_file():
                tables[split] = predictions.read(path)
                selection[split] = choices.of_run(run, split)
    return Member(
        run_folders.known_as(folder),
        served,
        served.logit,
        tables.get("validation"),
        tables.get("calibration"),
        selection,
        training_set,
        hashes,
    )


def _check_alike(first: Member, member: Member) -> None:
    wanted = first.served.facts | {"labels": list(labels.NAMES)}
    for key in ALIKE:
        value = member.served.facts.get(key)
        if value != wanted.get(key):
            raise errors.BadInput(
                f"{member.served.folder}: its {key} is {value}, but the ensemble of "
                f"{first.served.folder} needs {wanted.get(key)}; members share "
                f"{', '.join(ALIKE)}."
            )
