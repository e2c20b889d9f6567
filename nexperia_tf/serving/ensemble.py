"""Several models as one SavedModel: a picture is decoded once and scored by all."""

import dataclasses
import pathlib
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files, labels, predictions
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import (
    calibration,
    certificate,
    choices,
    clustered,
    metrics,
    operating_point,
)

if typing.TYPE_CHECKING:
    import tensorflow as tf

    from nexperia_tf.serving import export

METHODS = ("mean", "logit-mean", "weights")
# What one decode for all needs.
ALIKE = ("image_size", "channels", "labels", "depth_range")
OF = ("scores", "logits")


@dataclasses.dataclass(frozen=True)
class Combination:
    """How the answers of the models are combined.

    Attributes:
        of: "scores" takes the weighted mean of the probabilities, "logits" the weighted
            sum of the calibrated logits.
        weights: one number a member, none below 0; those of scores sum to 1.
        bias: added to the sum of logits.
    """

    of: str
    weights: tuple[float, ...]
    bias: float = 0.0

    def logit(self, logits: "tf.Tensor") -> "tf.Tensor":
        """Calibrated logits of shape `(members, N)` to the ensemble's, `(N,)`.

        A mean of scores is taken in log space, where confident members keep their
        digits; its logit is log p - log(1 - p).
        """
        import tensorflow as tf

        weights = tf.constant(self.weights, tf.float32)[:, tf.newaxis]
        if self.of == "logits":
            return tf.reduce_sum(weights * logits, axis=0) + self.bias
        log_weights = tf.math.log(weights)

        def log_mean(log_p: tf.Tensor) -> tf.Tensor:
            return tf.reduce_logsumexp(log_weights + log_p, axis=0)

        defect, good = tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
        return log_mean(defect) - log_mean(good)


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


def combination(method: Sequence[str], members: Sequence[Member]) -> Combination:
    """The combination that `--method` names.

    Args:
        method: ("mean",), ("logit-mean",) or ("weights", FILE).
        members: the models, whose names a file of weights must give.

    Raises:
        errors.BadInput: no such method, or a file that does not fit.
    """
    equal = (1 / len(members),) * len(members)
    match tuple(method):
        case ("mean",):
            return Combination("scores", equal)
        case ("logit-mean",):
            return Combination("logits", equal)
        case ("weights", path):
            return read_weights(path, [member.name for member in members])
    raise errors.BadInput(
        "--method: mean, logit-mean, or weights FILE, behind the models. Received "
        f"{' '.join(method)}."
    )


def read_weights(path: str | pathlib.Path, names: Sequence[str]) -> Combination:
    """Reads `{"of": "logits", "weights": {"NAME": .6, ...}, "bias": 0}`.

    Weights of scores are shares: they are divided by their sum.

    Raises:
        errors.BadInput: a member without weight, a name of no member, two members of
            one name, a number below 0, or nothing above 0.
    """
    payload = files.read_json(path)
    of, given, bias = payload.get("of"), payload.get("weights"), payload.get("bias", 0)
    if of not in OF or not isinstance(given, dict) or not _is_number(bias):
        raise errors.BadInput(
            f'{path}: needs "of" ({" or ".join(OF)}), "weights" (name to number) and '
            'at will "bias" (a number).'
        )
    if sorted(given) != sorted(names):
        raise errors.BadInput(
            f"{path}: weighs {', '.join(sorted(given))}, but the models are "
            f"{', '.join(sorted(names))}; give each one weight, by its folder's name."
        )
    weights = [given[name] for name in names]
    if not all(_is_number(w) and w >= 0 for w in weights) or not any(weights):
        raise errors.BadInput(
            f"{path}: weights are numbers of 0 or more, one of them above 0. Received "
            f"{weights}."
        )
    if of == "scores":
        if bias:
            raise errors.BadInput(f"{path}: scores take no bias. Received {bias}.")
        weights = [weight / sum(weights) for weight in weights]
    return Combination(of, tuple(map(float, weights)), float(bias))


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
    )


@dataclasses.dataclass(frozen=True)
class CalibrationDevices:
    """The devices that calibrate an ensemble and set its threshold.

    Attributes:
        scored: the ensemble's scores of them, before any calibration of its own.
        selection: how many models they chose among.
        seen: those that a member was trained on; None where that is not known.
    """

    scored: predictions.Predictions
    selection: choices.Choices
    seen: training_pictures.Overlap | None = None


def calibration_devices(
    members: Sequence[Member], combined: Combination, *, fitted: bool = False
) -> CalibrationDevices | None:
    """The members' common calibration devices, else their validation devices.

    Args:
        members: the models.
        combined: how the members' logits are combined.
        fitted: whether its weights may come from the validation devices.

    Returns:
        None where members bring none or they are different devices.
    """
    for split in run_folders.CALIBRATED_ON:
        tables = [getattr(member, split) for member in members]
        if None in tables or len({frozenset(t.image_id) for t in tables}) > 1:
            continue
        tables = predictions.aligned(tables)
        logits = np.stack([calibration.logits(t.score) for t in tables])
        score = run_folders.probability(
            combined.logit(logits.astype(np.float32)).numpy()
        )
        source = f"the members' common {split}"
        scored = dataclasses.replace(tables[0], score=score, source=source)
        selection = selected_from(members, split, fitted=fitted)
        return CalibrationDevices(scored, selection, _seen(members, scored.image_id))
    return None


def _seen(
    members: Sequence[Member], names: Sequence[str]
) -> training_pictures.Overlap | None:
    """Which devices any member was trained on, by the list that names most of them."""
    lists = [member.hashes for member in members if member.hashes is not None]
    if not lists:
        return None
    fullest = max(lists, key=lambda hashes: sum(name in hashes.own for name in names))
    return training_pictures.overlap(
        names,
        fullest,
        training_pictures.merged(member.training_set for member in members),
    )


def selected_from(
    members: Sequence[Member], split: str = "validation", *, fitted: bool = False
) -> choices.Choices:
    """How many ensembles the devices of a split chose among.

    Args:
        members: the models.
        split: which devices.
        fitted: whether the weights may come from the validation devices.
    """
    if fitted and split == "validation":
        return choices.UNKNOWN
    return choices.product(
        member.selection.get(split, choices.UNKNOWN) for member in members
    )


def calibrate(
    combined: Combination,
    validation: predictions.Predictions | None,
    *,
    selection: choices.Choices = choices.ASSUMED,
    seen: training_pictures.Overlap | None = None,
    max_escape: float | None = None,
    confidence: Annotated[float, *bounds.SHARE] = certificate.CONFIDENCE,
    recalibrate: bool = False,
) -> run_folders.Calibration:
    """Temperature, offset and threshold of the ensemble.

    Logits are calibrated again on the validation split, where there is one. A mean of
    scores is that mean and stays as it is, unless `recalibrate` asks for more. Neither
    changes which device scores below which, so neither costs the guarantee anything.

    Args:
        combined: how the members' logits are combined.
        validation: the ensemble's scores of the devices to calibrate on.
        selection: how many models these chose among.
        seen: those that a member was trained on; any spoils the guarantee.
        max_escape: escape rate to guarantee; None leaves the threshold at .5.
        confidence: of that guarantee.
        recalibrate: calibrate a mean of scores, too.

    Raises:
        errors.BadInput: `max_escape` cannot be guaranteed, or there are no devices to
            calibrate on.
    """
    fitted = run_folders.Calibration()
    if recalibrate and validation is None:
        raise errors.BadInput(
            "--recalibrate: needs run folders that share their validation devices; "
            "leave it out, the mean of calibrated scores stays as it is."
        )
    if validation is not None and (recalibrate or combined.of == "logits"):
        fitted = calibration.fit(calibration.logits(validation.score), validation.label)
    if max_escape is None:
        return fitted
    if validation is None:
        raise errors.BadInput(
            "--max-escape: needs run folders that share their validation devices; "
            "leave it out, the threshold is .5 then."
        )
    score = fitted.scores(calibration.logits(validation.score))
    defects = validation.label == labels.POSITIVE
    groups = clustered.groups_of(validation)
    choice = certificate.choose(
        score[defects],
        groups=None if groups is None else groups[defects],
        grouped_by=clustered.word_of(validation) or "group",
        usage=certificate.Usage.of(selection, seen),
        max_escape=max_escape,
        confidence=confidence,
    )
    if not choice.guaranteed:
        raise errors.BadInput(f"--max-escape {max_escape}: refused: {choice.refusal}")
    return dataclasses.replace(
        fitted,
        threshold=operating_point.serving_threshold(choice.threshold),
        origin=run_folders.GUARANTEED,
        basis=certificate.promise(choice.certificate(validation.source)),
    )


def publish(
    members: Sequence[Member],
    combined: Combination,
    base: pathlib.Path,
    *,
    in_force: run_folders.Calibration,
    selection: choices.Choices = choices.UNKNOWN,
) -> pathlib.Path:
    """Writes the ensemble's next version below `base`, whole or not at all.

    Args:
        members: from `open_members`.
        combined: how the members' logits are combined.
        base: the folder TensorFlow Serving watches.
        in_force: temperature, offset and threshold of the ensemble.
        selection: how many models its validation devices chose among, from
            `selected_from`.

    Returns:
        the version's folder; its signatures are those of `export.publish_logit`.
    """
    import tensorflow as tf

    from nexperia_tf.serving import export

    def logit(images: tf.Tensor) -> tf.Tensor:
        # No member waits for another: TensorFlow runs them side by side.
        logits = tf.stack([member.logit(images) for member in members])
        return in_force.logits(combined.logit(logits))

    facts = members[0].served.facts
    books = [training_pictures.of_export(member.served.folder) for member in members]
    return export.publish_logit(
        logit,
        base,
        image_size=facts["image_size"],
        channels=facts["channels"],
        calibration=in_force,
        trained_on=training_pictures.merged(books),
        facts={"combines": combined.of, "bias": combined.bias}
        | {choices.CHOSE_AMONG: selection.count}
        | {export.DEPTH_RANGE: members[0].served.depth_range}
        | {
            choices.MEMBERS: [
                _described(member, weight)
                for member, weight in zip(members, combined.weights)
            ]
        },
    )


def _described(member: Member, weight: float) -> dict:
    copied = ("backbone", "members", "temperature", "offset")
    facts = member.served.facts
    return {"name": member.name, "weight": weight} | {
        name: facts[name] for name in copied if name in facts
    }


def _log_loss_line(
    combined: Combination,
    in_force: run_folders.Calibration,
    validation: predictions.Predictions,
) -> str:
    """The log loss on the validation devices, and the one after calibrating again."""
    score = in_force.scores(calibration.logits(validation.score))
    refit = calibration.fit(calibration.logits(score), validation.label)
    now = metrics.log_loss(validation.label, score)
    best = metrics.log_loss(validation.label, calibration.rescaled(score, refit))
    line = f"Log loss on the common validation {now:.4f}"
    if combined.of == "logits" or (in_force.temperature, in_force.offset) != (1, 0):
        return line
    return (
        f"{line}; --recalibrate would make it {best:.4f}, by temperature "
        f"{refit.temperature:.3g} and offset {refit.offset:+.3g}"
    )


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Writes several models as one SavedModel for TensorFlow Serving."""

    models: tyro.conf.Positional[tuple[str, ...]]
    """Run folders or SavedModel folders, two or more."""

    out: str
    """Base folder to publish the next version in."""

    method: tuple[str, ...] = ("mean",)
    """mean (of scores), logit-mean (of calibrated logits), or weights FILE."""

    max_escape: Annotated[float | None, *bounds.SHARE] = None
    """Escape rate to guarantee by the runs' common calibration split, else by their
    validation split; the threshold is .5 when not given."""

    confidence: Annotated[float, *bounds.SHARE] = certificate.CONFIDENCE
    """Confidence of that guarantee."""

    recalibrate: bool = False
    """Calibrate a mean of scores again, too, by the runs' common validation devices: it
    is a probability then, and no longer the mean. Logits always are."""

    trust: bool = False
    """Combine SavedModels that no MANIFEST.sha256 vouches for: they are programs."""


def main(arguments: Arguments) -> None:
    """Opens, combines, publishes and says where."""
    if arguments.max_escape is None:
        bounds.check_unused(arguments, ["confidence"], "without --max-escape")
    command.import_tensorflow()
    files.check_writable(arguments.out)
    members = open_members(arguments.models, trust=arguments.trust)
    combined = combination(arguments.method, members)
    fitted = arguments.method[0] == "weights"
    devices = calibration_devices(members, combined, fitted=fitted)
    validation = None if devices is None else devices.scored
    in_force = calibrate(
        combined,
        validation,
        selection=choices.ASSUMED if devices is None else devices.selection,
        seen=None if devices is None else devices.seen,
        max_escape=arguments.max_escape,
        confidence=arguments.confidence,
        recalibrate=arguments.recalibrate,
    )
    base = pathlib.Path(arguments.out)
    selection = selected_from(members, fitted=fitted)
    folder = publish(members, combined, base, in_force=in_force, selection=selection)
    for member, weight in zip(members, combined.weights):
        print(f"{member.name}: weight {weight:.4g}")
    print(f"Temperature {in_force.temperature:.4g}, offset {in_force.offset:+.4g}")
    if devices is not None:
        print(_log_loss_line(combined, in_force, devices.scored))
        usage = certificate.Usage.of(devices.selection, devices.seen)
        if warning := usage.warning:
            print(f"warning: {warning}.")
    print(f"In force: {in_force.words}")
    print(f"SavedModel: {folder}")
