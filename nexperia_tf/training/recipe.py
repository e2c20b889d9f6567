"""What is left open in a config, closed by its recipe, its pictures and the machine."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from nexperia_tf import configs, errors, files, labels, sizes
from nexperia_tf.configs import recipes
from nexperia_tf.data import manifest
from nexperia_tf.data.input import order as ordering
from nexperia_tf.data.input import pictures as picturing
from nexperia_tf.data.records import reading, store
from nexperia_tf.runs import run_folders
from nexperia_tf.training import image_size, model_setup

LOOKED_AT = 200  # good training pictures, to see how they may be mirrored
SMALL = 32  # pixels a side, at which they are compared
# Of one core for a picture of 224 x 224 that the thin network learns from, half of them
# with a drawn defect: .015 to .03 on the AMD EPYC of benchmarks/RESULTS.md.
CPU_SECONDS = 0.02
AS_ALIKE = 1.05  # times as far from the others as it was: a mirrored picture fits in


def closed(
    config: configs.Config,
    folder: pathlib.Path,
    dataset: store.Dataset,
    rows: list[manifest.Row],
    *,
    machines: int,
) -> tuple[configs.Config, list[str]]:
    """The config with its recipe's values, canvas and depth range; not yet `epochs`.

    A run that is resumed keeps what it began with.

    Args:
        config: as it is asked for.
        folder: of the run.
        dataset: its records.
        rows: of the training split.
        machines: how many train together.

    Returns:
        the config, and what to say of the weights it starts from.

    Raises:
        errors.BadInput: a map or a first stage is asked for that nothing would teach.
    """
    began = folder / run_folders.CONFIG
    if began.is_file():
        config = as_begun(config, began)
    depth_range = dataset.depth_range or run_folders.depth_range_of(config)
    size = image_size.chosen(config.pictures.image_size, rows)
    config = config.changed(depth_range=depth_range, image_size=size.plain)
    config, said = model_setup.started(with_backbone(config), machines=machines)
    facts = _facts(config, dataset, rows)
    config = recipes.filled(config, facts)
    _check_taught(config, facts)
    return config, said


def _check_taught(config: configs.Config, facts: recipes.Facts) -> None:
    first = config.first
    if first.first_epochs != 0 and not first.first_drawn and not facts.boxed:
        raise errors.BadInput(
            "--first-epochs: no training defect has a box and none is drawn, so a "
            "first stage would see good pictures alone; pass --first-drawn .5, too, or "
            "leave it out."
        )
    drawn = config.drawn.drawn or first.first_drawn
    if config.drawn.drawn_map and not drawn and not facts.boxed:
        raise errors.BadInput(
            f"--drawn-map {config.drawn.drawn_map:g}: no training defect has a box and "
            "none is drawn, so no place is known; pass --drawn .3, too, or leave it "
            "out."
        )


def with_backbone(config: configs.Config) -> configs.Config:
    """The config with the network that its recipe takes, which hangs on no picture."""
    facts = recipes.Facts(
        _has_gpu(), given=0, placed=0, boxed=0, flips="", before=_before(config)
    )
    backbone = recipes.filled(config, facts).network.backbone
    return config.changed(backbone=backbone)


def as_begun(config: configs.Config, began: pathlib.Path) -> configs.Config:
    """What is open is taken from the config.json of the run."""
    stored = configs.from_json(files.read_json(began), where=str(began)).flat()
    is_open = [f for f, v in config.flat().items() if v in (None, recipes.AUTO)]
    return config.changed(**{field: stored[field] for field in is_open})


def _facts(
    config: configs.Config, dataset: store.Dataset, rows: list[manifest.Row]
) -> recipes.Facts:
    defects = [row for row in rows if row.label == labels.DEFECT]
    boxed = sum(bool(row.boxes) for row in defects)
    return recipes.Facts(
        gpu=_has_gpu(),
        given=len(defects),
        placed=len(rows) - len(defects) + boxed,
        boxed=boxed,
        flips=_flips(dataset) if config.pictures.flip is None else "",
        before=_before(config),
    )


def _has_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def _before(config: configs.Config) -> dict[str, object]:
    """Settings of the run of `--init`, by field."""
    init = config.network.init
    return run_folders.load(init).config.flat() if init else {}


def described(
    config: configs.Config, order: ordering.Order, first: ordering.Order | None
) -> str:
    """What the recipe came to, in a line.

    Args:
        config: with nothing open.
        order: of the training devices.
        first: the same of the first stage; None where there is none.
    """
    flat = config.flat()
    epochs = [f"{flat['epochs']} epochs of {order.steps:,}"]
    steps = flat["epochs"] * order.steps
    if first:
        epochs.insert(0, f"{flat['first_epochs']} epochs of {first.steps:,}")
        steps += flat["first_epochs"] * first.steps
    drawn = flat["first_drawn"] if first else flat["drawn"]
    parts = [
        f"recipe {flat['recipe']}: {flat['backbone']} at {flat['image_size']}",
        f"{' and '.join(epochs)} steps{_minutes(config, steps)}",
        "each picture standardised" if flat["standardise"] == "picture" else "",
        f"mirrored {flat['flip']}" if flat["flip"] != "none" else "",
        f"defects drawn on {drawn:.0%} of good pictures" if drawn else "",
        "the last weights are kept" if flat["monitor"] == "last" else "",
    ]
    return "; ".join(filter(None, parts)) + " (any flag overrules it)."


def _minutes(config: configs.Config, steps: int) -> str:
    """About how long a CPU takes for so many steps of the thin network; else ""."""
    if config.network.backbone != recipes.THIN or _has_gpu():
        return ""
    size = sizes.Size.of(config.pictures.image_size)
    pictures = steps * config.optimisation.batch_size * size.area / image_size.AREA
    minutes = pictures * CPU_SECONDS / 60 / (os.cpu_count() or 1)
    return f" (some {max(1, round(minutes))} minutes)"


def _flips(dataset: store.Dataset) -> str:
    """Mirroring after which good pictures are as alike as before: a `--flip`."""
    given = reading.metadata(dataset, "train", ("label",))["label"]
    good = np.flatnonzero(given == labels.NAMES.index(labels.GOOD))
    some = np.random.default_rng(0).permutation(good)[:LOOKED_AT]
    shown = picturing.Pictures(sizes.Size(SMALL, SMALL), 1, cache="none")
    return mirroring(shown.taker(dataset, "train")(np.sort(some))[..., 0])


def mirroring(pictures: np.ndarray) -> str:
    """Along which axes pictures may be mirrored and still look like the others.

    A marking or a lead that always points one way would point the other way: a mirrored
    picture is then farther from the others than it was.

    Args:
        pictures: uint8 array of shape `(pictures, height, width)`, of good devices.

    Returns:
        none, horizontal, vertical or both.

    >>> ramp = np.tile(np.arange(32, dtype=np.uint8), (9, 32, 1))
    >>> mirroring(ramp), mirroring(ramp.transpose(0, 2, 1))
    ('vertical', 'horizontal')
    """
    values = pictures.astype(np.float32).reshape(len(pictures), -1)
    values -= values.mean(axis=1, keepdims=True)
    values /= values.std(axis=1, keepdims=True) + 1e-6
    shape = pictures.shape
    found = []
    for name, axis in (("horizontal", 2), ("vertical", 1)):
        mirrored = np.flip(values.reshape(shape), axis).reshape(values.shape)
        if _distance(mirrored, values) <= AS_ALIKE * _distance(values, values) + 1e-6:
            found.append(name)
    return "both" if len(found) == 2 else (*found, "none")[0]


def _distance(one: np.ndarray, others: np.ndarray) -> float:
    """Median distance of different pictures of two sets in the same order."""
    apart = ~np.eye(len(one), dtype=bool)
    squared = (2 - 2 * one @ others.T / one.shape[1])[apart]
    return float(np.sqrt(max(np.median(squared), 0))) if len(squared) else 0.0
