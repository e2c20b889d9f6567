"""What a run needs to know of its records before it trains."""

import dataclasses
import pathlib

import numpy as np

from nexperia_tf import configs, errors, files, labels, sizes
from nexperia_tf.configs import checks, recipes
from nexperia_tf.data import manifest
from nexperia_tf.data.input import balance
from nexperia_tf.data.input import order as ordering
from nexperia_tf.data.input import pictures as picturing
from nexperia_tf.data.prepare import command as prepare
from nexperia_tf.data.prepare import summary
from nexperia_tf.data.records import reading, store
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.training import devices, image_size, recipe

MANIFEST = "manifest.csv"  # of the records


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run needs to know of its records.

    Attributes:
        dataset: the records.
        pictures: how they are decoded; grey where every one is.
        order: how the training devices are dealt to batches.
        training_set: the pictures that training and the runs before it learn from.
        first: the order of the first stage; None where there is none.
    """

    dataset: store.Dataset
    pictures: picturing.Pictures
    order: ordering.Order
    training_set: training_pictures.TrainingSet
    first: ordering.Order | None = None

    @property
    def of_first_stage(self) -> "Data":
        """The same, with the order of the first stage."""
        return dataclasses.replace(self, order=self.first, first=None)


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of a run, and what their manifest says of each picture."""

    dataset: store.Dataset
    rows: list[manifest.Row]

    @property
    def train(self) -> list[manifest.Row]:
        """Those of the training split."""
        return [row for row in self.rows if row.split == "train"]


def opened(
    config: configs.Config, folder: pathlib.Path, workers: devices.Workers
) -> Records:
    """Makes or finds the records.

    Raises:
        errors.BadInput: the pictures cannot be trained on.
    """
    with workers.chief_first():  # where they share a disk, the others find it all made
        dataset = run_folders.dataset_of(config, folder / run_folders.PICTURES)
    rows = manifest.read(dataset.prepared / MANIFEST)
    splits = reading.split_sizes(dataset)
    _check_classes(dataset, rows, "train", drawn=bool(config.drawn.drawn))
    _check_classes(dataset, rows, "validation")
    if manifest.CALIBRATION in splits:
        _check_classes(dataset, rows, manifest.CALIBRATION)
    if workers.chief:
        _say_what_preparing_found(dataset)
    return Records(dataset, rows)


def gather(
    config: configs.Config,
    records: Records,
    folder: pathlib.Path,
    workers: devices.Workers,
) -> tuple[configs.Config, Data]:
    """The config with nothing left open, and its data.

    Raises:
        errors.BadInput: the pictures cannot be trained on.
    """
    config, said = closed(config, records, folder, workers)
    training_set = training_set_of(config, folder, records.rows)
    config, data = dealt(config, records, training_set)
    size = sizes.Size.of(config.pictures.image_size)
    if workers.chief:
        line = recipe.described(config, data.order, data.first)
        print(*said, line, image_size.described(size, records.train), sep="\n")
    check_seen(config, records.rows, training_set, say=workers.chief)
    return config, data


def closed(
    config: configs.Config,
    records: Records,
    folder: pathlib.Path,
    workers: devices.Workers,
) -> tuple[configs.Config, list[str]]:
    """The config as its recipe closes it, but for `epochs`, and what to say of it."""
    config, said = recipe.closed(
        config, folder, records.dataset, records.train, machines=workers.count
    )
    checks.check(config)
    return config, said


def dealt(
    config: configs.Config,
    records: Records,
    training_set: training_pictures.TrainingSet,
    *,
    left_out: frozenset[str] = frozenset(),
) -> tuple[configs.Config, Data]:
    """The config with its epochs, and how its devices are dealt.

    Args:
        config: as `closed` gives it.
        records: of the run.
        training_set: what it and the runs before it learn from.
        left_out: image ids of training devices that are judged instead.

    Raises:
        errors.BadInput: the devices make no batch.
    """
    rows = [row for row in records.train if row.image_id not in left_out]
    order = _order(config, rows, left_out)
    first = _first_order(config, rows, left_out)
    config = recipes.with_epochs(
        config,
        devices=len(rows),
        steps=order.steps,
        first_steps=(first or order).steps,
    )
    pictures = picturing.Pictures(
        sizes.Size.of(config.pictures.image_size),
        reading.channels(records.dataset),
        config.pictures.cache,
    )
    return config, Data(records.dataset, pictures, order, training_set, first)


def _first_order(
    config: configs.Config, rows: list[manifest.Row], left_out: frozenset[str]
) -> ordering.Order | None:
    """How devices are dealt in the first stage, None where there is none."""
    if config.first.first_epochs == 0:
        return None
    drawn = config.first.first_drawn
    return _order(config.changed(drawn=drawn, boxed_only=True), rows, left_out)


def _order(
    config: configs.Config, rows: list, left_out: frozenset[str]
) -> ordering.Order:
    given = np.array([row.label == labels.DEFECT for row in rows], int)
    if config.drawn.boxed_only:
        given = ordering.dealt(given, np.array([bool(row.boxes) for row in rows]))
    counted = balance.Balance.of(
        given,
        kind=config.loss.balance,
        drawn=config.drawn.drawn,
        drawn_only=config.drawn.drawn_only,
    )
    batch_size = config.optimisation.batch_size
    if counted.devices < batch_size:
        raise errors.BadInput(
            f"{config.data.data}: {counted.devices} training devices make no batch of "
            f"{batch_size}; pass a smaller --batch-size."
        )
    least = config.optimisation.epoch_steps
    boxed_only = config.drawn.boxed_only
    return ordering.Order(
        batch_size, config.run.seed, counted, least, boxed_only, left_out
    )


def training_set_of(
    config: configs.Config, folder: pathlib.Path, rows: list
) -> training_pictures.TrainingSet:
    """What the run learns from, with what the run it starts from has learned from."""
    if (folder / training_pictures.TRAINED_ON).is_file():  # a run that is resumed
        return training_pictures.read(folder / training_pictures.TRAINED_ON)
    name = folder.resolve().name
    own = training_pictures.of_rows(rows, name, without_defects=config.drawn.drawn_only)
    init = config.network.init
    before = [training_pictures.of_run(init)] if init else []
    return training_pictures.merged([own, *before])


def check_seen(
    config: configs.Config,
    rows: list,
    training_set: training_pictures.TrainingSet,
    *,
    say: bool,
) -> None:
    """Says which pictures of other splits are learned from, or refuses them."""
    hashes = training_pictures.hashes_of_rows(rows)
    for split in run_folders.SCORED_SPLITS:
        names = [row.image_id for row in rows if row.used and row.split == split]
        said = training_pictures.described(
            training_pictures.overlap(names, hashes, training_set).counts(), split
        )
        if said and names and config.data.refuse_seen:
            raise errors.BadInput(
                f"--refuse-seen: {said}; leave --init out, or keep the splits it had "
                "with --keep-splits."
            )
        if said and names and say:
            print(f"warning: {said}")


def _say_what_preparing_found(dataset: store.Dataset) -> None:
    for line in summary.facts(_summary_of(dataset)):
        print(line)
    for line in summary.warnings(_summary_of(dataset)):
        print(f"warning: {line}")


def _summary_of(dataset: store.Dataset) -> dict:
    return files.read_json(dataset.prepared / prepare.SUMMARY)


def _check_classes(
    dataset: store.Dataset, rows: list, split: str, *, drawn: bool = False
) -> None:
    given = [row.label for row in rows if row.split == split]
    n_defect = given.count(labels.DEFECT)
    if n_defect == len(given) or not (n_defect or drawn):
        lacking = _summary_of(dataset).get("lacking")
        raise errors.BadInput(
            f"{dataset.prepared / 'manifest.csv'}: training needs good and defect "
            f"devices in split {split}. Received {len(given) - n_defect} good and "
            f"{n_defect} defect; "
            + (lacking or "add pictures or move some by a split column")
            + "."
        )
