"""The networks of a study, trained one after the other; finished ones are kept."""

import dataclasses
import pathlib
import time
from collections.abc import Iterator

import rich
import rich.table

from nexperia_tf import configs, errors, files
from nexperia_tf.configs import recipes
from nexperia_tf.data import tables
from nexperia_tf.runs import run_folders
from nexperia_tf.study import plan

RUNS = "runs"
PARTS = "dealt"  # folds and bags
BACKBONE_DEVICES = 2000  # drawn for the backbone of column (a)
BACKBONE_SEED = 1  # the sample itself is seed 0
NOT_COMPARED = ("out", "data_dir", "cache", "time_budget", "depth_range")


@dataclasses.dataclass
class Trained:
    """A finished run of the study.

    Attributes:
        step: what was planned.
        config: as it was trained.
        folder: the run folder.
        auc: on validation.
        kept: which epoch that is of, "best of 9 epochs"; "" where a run of an older
            version does not say.
        seconds: that its epochs took, over all resumptions.
    """

    step: plan.Step
    config: configs.Config
    folder: pathlib.Path
    auc: float
    kept: str
    seconds: float


def best(trained: dict[str, Trained], names: tuple[str, ...]) -> str:
    """The run with the best validation AUC; the first of equals."""
    return max(names, key=lambda name: trained[name].auc)


def train(planned: plan.Plan, out: pathlib.Path, dataset) -> dict[str, Trained]:
    """Trains what is not there yet, in order; shows the plan before and between.

    Args:
        planned: the runs.
        out: the study's folder.
        dataset: the records, from which folds and bags are made.

    Returns:
        every run by its name.

    Raises:
        errors.BadInput: a run cannot be trained, or one of another config is there.
    """
    trained: dict[str, Trained] = {}
    for step in planned.steps:
        chosen = best(trained, step.like) if step.like else ""
        known = {name: run.config for name, run in trained.items()}
        config = step.resolved(known, chosen)
        folder = out / RUNS / step.name
        if step.part:
            data = f"folder:{out / PARTS / step.part.name}"
            own = {"unboxed": "keep", "good": "", "group": ""}  # decided already
            # Its pictures have 8 bits, made of the range that the run is to know.
            config = config.changed(data=data, depth_range=dataset.depth_range, **own)
        if (folder / files.MANIFEST).is_file():
            _check_same(folder, config)
        else:
            show(planned, trained, now=step.name)
            if step.part:
                from nexperia_tf.study import folds

                folds.make(dataset, out / PARTS, step.part, count=plan.FOLDS)
            _train(step, config, folder)
        trained[step.name] = _opened(step, config, folder)
    show(planned, trained)
    return trained


def _train(step: plan.Step, config: configs.Config, folder: pathlib.Path) -> None:
    import keras

    from nexperia_tf.models import tensorflow_ops
    from nexperia_tf.training import loop

    if step.name == plan.PRETRAINED:
        _draw(config)
    config = config.changed(out=str(folder))
    started = time.monotonic()
    loop.train(config, resume=(folder / run_folders.CONFIG).is_file())
    keras.utils.clear_session()
    tensorflow_ops.forget_gradients()
    rich.print(f"{step.name}: {time.monotonic() - started:.0f} s")


def backbone_data(data_dir: str) -> str:
    """Data of the network for column (a): devices that no other run sees."""
    from nexperia_tf.sample import command as sample

    name = f"sample-v{sample.VERSION}-seed{BACKBONE_SEED}"
    return f"hand_over:{pathlib.Path(data_dir) / name / 'raw'}"


def _draw(config: configs.Config) -> None:
    from nexperia_tf.sample import command as sample

    raw = pathlib.Path(config.data.data.partition(":")[2])
    if not raw.exists():
        sample.draw(raw, devices=BACKBONE_DEVICES, seed=BACKBONE_SEED)


def _check_same(folder: pathlib.Path, config: configs.Config) -> None:
    """Refuses to take a finished run of another config for this one."""
    trained_with = configs.from_json(
        files.read_json(folder / run_folders.CONFIG),
        where=str(folder / run_folders.CONFIG),
    )
    had = trained_with.flat()
    for name, wanted in config.flat().items():
        is_open = (name, wanted) == ("precision", recipes.AUTO)  # by the machine
        if had[name] != wanted and not is_open and name not in NOT_COMPARED:
            raise errors.BadInput(
                f"{folder}: was trained with {name} {had[name]!r}, this study needs "
                f"{wanted!r}; name another --out, or remove that run."
            )


def _opened(step: plan.Step, config: configs.Config, folder: pathlib.Path) -> Trained:
    metrics = files.read_json(folder / run_folders.METRICS)
    return Trained(
        step,
        config,
        folder,
        auc=metrics["validation"]["auc"]["value"],
        kept=str(run_folders.load(folder).kept_epoch or ""),
        seconds=sum(_seconds(folder)),
    )


def _seconds(folder: pathlib.Path) -> Iterator[float]:
    history = tables.table(folder / run_folders.HISTORY, ["seconds"])
    return map(float, history.column("seconds"))


def show(
    planned: plan.Plan, trained: dict[str, Trained] | None = None, *, now: str = ""
) -> None:
    """Prints the plan as a table: what is done, what is trained now, what is left."""
    trained = trained or {}
    board = rich.table.Table(title=f"{len(trained)} of {len(planned.steps)} runs done")
    board.add_column("run", no_wrap=True)
    for column in ("what differs", "", "validation AUC", "which is", "training"):
        board.add_column(column)
    for step in planned.steps:
        done = trained.get(step.name)
        state = "done" if done else "now" if step.name == now else ""
        reached = ("", "", "")
        if done:
            reached = (f"{done.auc:.4f}", done.kept, f"{done.seconds:.0f} s")
        board.add_row(step.name, plan.differs(step, planned.base), state, *reached)
    rich.print(board)
