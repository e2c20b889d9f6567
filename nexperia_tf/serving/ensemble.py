"""Several models as one SavedModel: a picture is decoded once and scored by all."""

import dataclasses
import pathlib
import typing
from collections.abc import Sequence
from typing import Annotated

import tyro

from nexperia_tf import bounds, command, files
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.serving import combination, ensemble_calibration
from nexperia_tf.serving.combination import Combination
from nexperia_tf.serving.members import Member, open_members
from nexperia_tf.statistics import certificate, choices

if typing.TYPE_CHECKING:
    pass


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
            `ensemble_calibration.selected_from`.

    Returns:
        the version's folder; its signatures are those of `export.publish_logit`. Their
        `map` is the mean of the members' maps where all have one of the same shape,
        and `unfamiliar` the mean of theirs where all give it, whatever the weights of
        their logits; else there is none.
    """
    import tensorflow as tf

    from nexperia_tf.serving import export

    shapes = {member.served.map_shape for member in members}
    shared = [export.MAP] if len(shapes) == 1 and None not in shapes else []
    if all(member.served.gives(export.UNFAMILIAR) for member in members):
        shared.append(export.UNFAMILIAR)

    def logit(images: tf.Tensor) -> tf.Tensor | dict[str, tf.Tensor]:
        # No member waits for another: TensorFlow runs them side by side.
        if not shared:
            return joined([member.logit(images) for member in members])
        found = [member.served.everything(images) for member in members]
        means = {
            name: tf.reduce_mean(tf.stack([one[name] for one in found]), axis=0)
            for name in shared
        }
        return {export.LOGIT: joined([one[export.LOGIT] for one in found]), **means}

    def joined(logits: list[tf.Tensor]) -> tf.Tensor:
        return in_force.logits(combined.logit(tf.stack(logits)))

    facts = members[0].served.facts
    books = [training_pictures.of_export(member.served.folder) for member in members]
    return export.publish_logit(
        logit,
        base,
        image_size=members[0].served.image_size,
        channels=facts["channels"],
        calibration=in_force,
        trained_on=training_pictures.merged(books),
        facts={"combines": combined.of, "bias": combined.bias}
        | {choices.CHOSE_AMONG: selection.count}
        | {export.DEPTH_RANGE: members[0].served.depth_range}
        | {export.NUMBER_TYPE: _number_type(members)}
        | {
            choices.MEMBERS: [
                _described(member, weight)
                for member, weight in zip(members, combined.weights)
            ]
        },
    )


def _number_type(members: Sequence[Member]) -> str:
    """The shortest that a member computes in."""
    from nexperia_tf.serving import export

    found = {m.served.facts.get(export.NUMBER_TYPE, export.FLOAT32) for m in members}
    return export.BFLOAT16 if export.BFLOAT16 in found else export.FLOAT32


def _described(member: Member, weight: float) -> dict:
    copied = ("backbone", "members", "temperature", "offset")
    facts = member.served.facts
    return {"name": member.name, "weight": weight} | {
        name: facts[name] for name in copied if name in facts
    }


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
    combined = combination.asked(arguments.method, [member.name for member in members])
    fitted = arguments.method[0] == "weights"
    devices = ensemble_calibration.devices_of(members, combined, fitted=fitted)
    validation = None if devices is None else devices.scored
    in_force = ensemble_calibration.calibrate(
        combined,
        validation,
        selection=choices.ASSUMED if devices is None else devices.selection,
        seen=None if devices is None else devices.seen,
        max_escape=arguments.max_escape,
        confidence=arguments.confidence,
        recalibrate=arguments.recalibrate,
    )
    base = pathlib.Path(arguments.out)
    selection = ensemble_calibration.selected_from(members, fitted=fitted)
    folder = publish(members, combined, base, in_force=in_force, selection=selection)
    for member, weight in zip(members, combined.weights):
        print(f"{member.name}: weight {weight:.4g}")
    print(f"Temperature {in_force.temperature:.4g}, offset {in_force.offset:+.4g}")
    if devices is not None:
        print(ensemble_calibration.log_loss_line(combined, in_force, devices.scored))
        usage = certificate.Usage.of(devices.selection, devices.seen)
        if warning := usage.warning:
            print(f"warning: {warning}.")
    print(f"In force: {in_force.words}")
    print(f"SavedModel: {folder}")
