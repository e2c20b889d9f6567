"""Temperature, offset and threshold of an ensemble, and the devices they rest on."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import numpy as np

from nexperia_tf import bounds, errors, labels, predictions
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.serving.combination import Combination
from nexperia_tf.serving.members import Member
from nexperia_tf.statistics import (
    calibration,
    certificate,
    choices,
    clustered,
    metrics,
    operating_point,
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


def devices_of(
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
    return guaranteed(
        fitted,
        dataclasses.replace(validation, score=score),
        usage=certificate.Usage.of(selection, seen),
        max_escape=max_escape,
        confidence=confidence,
    )


def guaranteed(
    fitted: run_folders.Calibration,
    scored: predictions.Predictions,
    *,
    usage: certificate.Usage,
    max_escape: float,
    confidence: float,
    rounding: float = operating_point.ROUNDING,
) -> run_folders.Calibration:
    """The calibration with the threshold that certifies an escape rate.

    Args:
        fitted: its temperature and offset.
        scored: devices with the scores that it gives them.
        usage: what these were used for before.
        max_escape: the rate.
        confidence: of the guarantee.
        rounding: as `operating_point.serving_threshold` takes it.

    Raises:
        errors.BadInput: these devices cannot certify it.
    """
    defects = scored.label == labels.POSITIVE
    groups = clustered.groups_of(scored)
    choice = certificate.choose(
        scored.score[defects],
        groups=None if groups is None else groups[defects],
        grouped_by=clustered.word_of(scored) or "group",
        usage=usage,
        max_escape=max_escape,
        confidence=confidence,
    )
    if not choice.guaranteed:
        raise errors.BadInput(f"--max-escape {max_escape}: refused: {choice.refusal}")
    band = operating_point.band(
        scored.label,
        scored.score,
        pass_below=choice.threshold,
        groups=groups,
        choices=usage.models,
        confidence=confidence,
    )
    return dataclasses.replace(
        fitted,
        threshold=operating_point.serving_threshold(
            choice.threshold, rounding=rounding
        ),
        reject_from=operating_point.serving_reject_from(band, rounding=rounding),
        origin=run_folders.GUARANTEED,
        basis=certificate.promise(choice.certificate(scored.source)),
    )


def log_loss_line(
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
