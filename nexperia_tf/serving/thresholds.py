"""The one threshold in force: asked for by a person, chosen, stored and exported."""

import dataclasses
import math
import typing

from nexperia_tf import errors, labels, locks, predictions
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import certificate, choices, metrics, operating_point

if typing.TYPE_CHECKING:
    import pathlib

TPR = "tpr="


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a person asked for: a threshold, or its catch rate.

    Attributes:
        threshold: devices with a score at or above it are called defect.
        tpr: share of defects to catch, in (0, 1]; None where a threshold is given.
    """

    threshold: float | None = None
    tpr: float | None = None


def asked(text: str, *, flag: str) -> Wanted:
    """Reads `.3` or `tpr=.99`.

    >>> asked("tpr=.99", flag="--set-threshold").tpr
    0.99

    Raises:
        errors.BadInput: neither, or a number that makes no sense.
    """
    wants_rate = text.strip().startswith(TPR)
    try:
        number = float(text.strip().removeprefix(TPR))
    except ValueError:
        number = math.nan
    if not 0 < number < 1 and not (wants_rate and number == 1):
        raise errors.BadInput(
            f"{flag} {text}: a score between 0 and 1, such as .3, or {TPR}.99, the "
            "share of defects to catch."
        )
    return Wanted(tpr=number) if wants_rate else Wanted(threshold=number)


def decided(
    before: run_folders.Calibration,
    wanted: Wanted,
    chosen_on: predictions.Predictions,
    *,
    seen: training_pictures.Overlap | None = None,
    rounding: float = operating_point.ROUNDING,
) -> run_folders.Calibration:
    """The calibration with the requested threshold, marked as not guaranteed.

    A catch rate gives the highest threshold that catches that share of the defects of
    `chosen_on`, of which those of `seen` were trained on; `rounding` is taken as
    `operating_point.serving_threshold` does.
    """
    if wanted.threshold is not None:
        return dataclasses.replace(
            before,
            threshold=wanted.threshold,
            origin=run_folders.SET,
            basis="",
            reject_from=None,
        )
    (point,) = metrics.fpr_at_tpr(chosen_on.label, chosen_on.score, (wanted.tpr,))
    n_defect = int((chosen_on.label == labels.POSITIVE).sum())
    basis = (
        f"{TPR}{wanted.tpr:g} on {chosen_on.source}: {n_defect - point.misses} of "
        f"{n_defect} defects"
    )
    if warning := certificate.Usage.of(choices.UNKNOWN, seen).warning:
        basis += f"; {warning}"
    return dataclasses.replace(
        before,
        threshold=operating_point.serving_threshold(point.threshold, rounding=rounding),
        origin=run_folders.TARGET,
        basis=basis,
        reject_from=None,
    )


def target_in(basis: str) -> float:
    """The share of defects to catch that a basis of `decided` names.

    >>> target_in("tpr=0.99 on validation: 99 of 100 defects")
    0.99
    """
    return float(basis.removeprefix(TPR).split()[0])


def store(run: run_folders.Run, in_force: run_folders.Calibration) -> "pathlib.Path":
    """Puts a threshold into force: exports it and writes calibration.json.

    The export comes first: when it fails, nothing has changed.

    Returns:
        the new SavedModel's folder.
    """
    from nexperia_tf.serving import export

    with locks.held(run.folder, busy=run_folders.BUSY):
        version = export.publish_run(run, in_force)
    print(f"Stored in {run.folder / run_folders.CALIBRATION}: {in_force.words}")
    print(f"SavedModel: {version}")
    return version
