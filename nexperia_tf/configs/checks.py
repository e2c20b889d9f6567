"""Which values of a Config do not go together, found before anything is read."""

import pathlib
from collections.abc import Iterator, Sequence

from nexperia_tf import bounds, errors
from nexperia_tf.configs import recipes

LAYOUTS = ("second_stage", "first_stage", "hand_over", "folder")  # of --data
NO_CHANGES = ("none", "crop")  # of --augment, that leave brightness and the like alone
STARTS = ("auto", "none", "imagenet")  # of --weights, besides files


def check(config) -> None:
    """Raises errors.BadInput when a value breaks its bounds or two do not go together.

    >>> from nexperia_tf import configs
    >>> check(configs.of(ema=1.0))
    Traceback (most recent call last):
    nexperia_tf.errors.BadInput: --ema 1.0: a number in [0, 1) is expected.
    """
    bounds.check(config)
    if config.drawn.drawn_only and config.drawn.drawn == 0:
        raise errors.BadInput(
            "--drawn-only leaves nothing but good pictures; pass --drawn .5, too."
        )
    if config.drawn.drawn_only and config.first.first_epochs:
        raise errors.BadInput(
            "--drawn-only and --first-epochs: the stage after the first learns from "
            "given defects; leave one of them out."
        )
    if config.drawn.boxed_only and config.drawn.drawn_only:
        raise errors.BadInput(
            "--boxed-only and --drawn-only: one learns from given defects with a box, "
            "the other from none; leave one of them out."
        )
    if config.drawn.drawn_map:
        _check_map(config)
    if config.run.deterministic:
        _check_deterministic(config)
    network = config.network
    if network.init and network.weights not in ("none", "auto"):
        raise errors.BadInput(
            f"--init {network.init} and --weights {network.weights}: a run starts from "
            "one of them; leave the other out."
        )


def check_asked(config, *, resume: bool = False) -> None:
    """All that can be wrong with a training before anything is read.

    Args:
        config: what is asked for.
        resume: a run that has begun keeps what it began with, records and all.

    Raises:
        errors.BadInput: see `check`, `check_used`, `check_files`, `check_search`.
    """
    check(config)
    if not resume:
        check_used(config)
        check_files(config)
        check_search(config)


def check_search(config) -> None:
    """Refuses a search without an end, or with two.

    >>> from nexperia_tf import configs
    >>> check_search(configs.Config().changed(recipe="search"))
    Traceback (most recent call last):
    nexperia_tf.errors.BadInput: --recipe search: say how many minutes the whole \
command may take with --time-budget 30, or replay a plan with --search-plan FILE.
    """
    minutes, plan = config.run.time_budget, config.recipe.search_plan
    if recipes.searches(config) and not (minutes or plan):
        raise errors.BadInput(
            "--recipe search: say how many minutes the whole command may take with "
            "--time-budget 30, or replay a plan with --search-plan FILE."
        )
    if minutes and plan:
        raise errors.BadInput(
            f"--search-plan {plan} and --time-budget {minutes:g}: the plan says what "
            "is tried; leave one of them out."
        )
    if plan and not pathlib.Path(plan).is_file():
        raise errors.BadInput(f"--search-plan {plan}: no such file.")


def _check_map(config) -> None:
    if config.loss.balance == "loss":
        raise errors.BadInput(
            "--balance loss weighs devices, not the places of --drawn-map; leave one "
            "of them out."
        )
    if config.pictures.augment not in recipes.REPEATABLE:
        raise errors.BadInput(
            f"--augment {config.pictures.augment} would move a defect away from its "
            "place in --drawn-map; leave one of them out."
        )


def _check_deterministic(config) -> None:
    if config.run.time_budget and config.recipe.recipe != recipes.SEARCH:
        raise errors.BadInput(
            "--time-budget ends a run by the clock, which --deterministic cannot "
            "repeat; leave one of them out."
        )
    if config.pictures.augment not in recipes.REPEATABLE:
        raise errors.BadInput(
            f"--augment {config.pictures.augment}: keras-cv's layers keep random "
            "numbers of their own, which --deterministic cannot repeat; leave one of "
            "them out."
        )


def check_used(config) -> None:
    """Refuses a value that was chosen and would be ignored.

    Raises:
        errors.BadInput: a value differs from its default where another one leaves it
            without effect.
    """
    usual = recipes.VALUES.get(config.recipe.recipe, {})
    for names, because in _without_effect(config):
        bounds.check_unused(config, names, because, usual=usual)


def _without_effect(config) -> Iterator[tuple[Sequence[str], str]]:
    """Fields that are ignored, and why."""
    policy = config.pictures.augment
    if config.loss.loss == "bce":
        yield ("alpha", "gamma"), "with --loss bce"
    if config.optimisation.schedule != "step":
        yield ("step_epochs",), "without --schedule step"
    if config.recipe.recipe != recipes.SEARCH:
        yield ("search_plan",), "without --recipe search"
    first = config.first
    if config.drawn.drawn == 0 and 0 in (first.first_epochs, first.first_drawn):
        yield ("drawn_look",), "with --drawn 0"
    if first.first_epochs == 0 and first.first_drawn != 0:
        yield ("first_drawn", "first_learning_rate"), "with --first-epochs 0"
    if policy in NO_CHANGES:
        changes = ("rotation", "zoom", "brightness", "contrast", "tone")
        yield changes, f"with --augment {policy}"
    if policy == "none":
        yield ("flip",), "with --augment none"
    if config.run.monitor == "last":
        yield ("patience",), "with --monitor last"


def check_files(config) -> None:
    """Refuses names of files and folders that are not there.

    Raises:
        errors.BadInput: naming the flag, what it was given, and what it takes.
    """
    weights = pathlib.Path(config.network.weights)
    if config.network.weights not in STARTS and not weights.is_file():
        raise errors.BadInput(f"--weights {weights}: {missing(config)}.")
    init = pathlib.Path(config.network.init)
    if config.network.init and not (init / "config.json").is_file():
        raise errors.BadInput(
            f"--init {init}: not a run folder (config.json is missing); name one that "
            "train wrote."
        )
    keep = pathlib.Path(config.data.keep_splits)
    if config.data.keep_splits not in ("auto", "none") and not keep.is_dir():
        raise errors.BadInput(
            f"--keep-splits {keep}: no such folder; pass auto, none, or a run, "
            "prepared or data folder."
        )
    raw = _raw_folder(config.data.data)
    if raw is not None and not raw.is_dir():
        raise errors.BadInput(
            f"--data {config.data.data}: {raw} is no folder; pass sample, a folder of "
            "pictures, or LAYOUT:FOLDER."
        )


def missing(config) -> str:
    """What to say of a file of `--weights` that is not there.

    A config.json names the file in the hub's cache that its run once found.
    """
    if "models--timm--" in config.network.weights:
        return (
            "no longer in the hub's cache; fetch it with `nexperia weights "
            f"{config.network.backbone}`, or pass --weights auto or none"
        )
    return f"no such file; pass {', '.join(STARTS)} or a .safetensors file"


def _raw_folder(data: str) -> pathlib.Path | None:
    """The folder that `--data` names; None for the sample."""
    if data == "sample":
        return None
    layout, _, rest = data.partition(":")
    return pathlib.Path(rest if layout in LAYOUTS else data)
