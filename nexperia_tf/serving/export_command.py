"""`nexperia export`: a run's best model as the next version of its SavedModel."""

import dataclasses

from nexperia_tf import command, locks
from nexperia_tf.runs import run_folders


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Writes a run's best model as a SavedModel for TensorFlow Serving."""

    run: str = ""
    """Run folder that nexperia train wrote."""

    out: str = ""
    """Base folder to publish the next version in; RUN/saved_model when empty."""


def main(arguments: Arguments) -> None:
    """Publishes one more version with the run's calibration.json as it stands now."""
    run_folders.load(arguments.run)  # a folder that is no run is not to be locked
    command.import_tensorflow()
    with locks.held(arguments.run, busy=run_folders.BUSY):
        _export(arguments)


def _export(arguments: Arguments) -> None:
    from nexperia_tf.serving import export

    run = run_folders.load(arguments.run)
    folder = export.publish_run(run, run.calibration, out=arguments.out)
    print(f"In force: {run.calibration.words}")
    print(f"SavedModel: {folder}")
