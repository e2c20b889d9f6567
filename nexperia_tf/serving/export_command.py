"""`nexperia export`: a run's best model as the next version of its SavedModel."""

import dataclasses
from typing import Annotated, Literal

from nexperia_tf import bounds, command, files, locks
from nexperia_tf.runs import neighbours, run_folders


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Writes a run's best model as a SavedModel for TensorFlow Serving."""

    run: str = ""
    """Run folder that nexperia train wrote."""

    out: str = ""
    """Base folder to publish the next version in; RUN/saved_model when empty, and
    RUN/saved_model_bfloat16 for bfloat16."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 takes half the space, and scores batches faster where the processor has
    amx_bf16 or avx512_bf16. Its threshold is chosen anew, as that of the run was; up to
    500 test pictures say which verdicts change."""

    look_alikes: Annotated[int, *bounds.within(ge=0, le=neighbours.MOST)] = (
        neighbours.MOST_EXPORTED
    )
    """Training pictures, small and with their names, that go along with --out, for the
    page of nexperia serve to show similar ones; 0 for a model that is given away."""


def main(arguments: Arguments) -> None:
    """Publishes one more version with the run's calibration.json as it stands now."""
    run_folders.load(arguments.run)  # a folder that is no run is not to be locked
    command.import_tensorflow()
    with locks.held(arguments.run, busy=run_folders.BUSY):
        _export(arguments)


def _export(arguments: Arguments) -> None:
    from nexperia_tf.serving import export

    run = run_folders.load(arguments.run)
    asked = {"out": arguments.out, "most_look_alikes": arguments.look_alikes}
    if arguments.precision == export.FLOAT32:
        in_force, compared = run.calibration, None
        folder = export.publish_run(run, in_force, **asked)
    else:
        from nexperia_tf.serving import bfloat16

        folder, in_force, compared = bfloat16.publish(run, **asked)
        if not arguments.out:
            files.write_manifest(run.folder)
    print(f"In force: {in_force.words}")
    for line in compared.lines() if compared else ():
        print(line)
    print(f"SavedModel: {folder}")
    if (folder / neighbours.EXPORTED).is_file():
        print(
            f"With it go at most {arguments.look_alikes} training pictures, small and "
            "with their names, to show look-alikes; --look-alikes 0 leaves them out."
        )
