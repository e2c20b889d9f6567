"""What a training takes where its flags leave it open: `--recipe`.

A recipe is a table of values by field of `configs.Config`. It fills what is None or
"auto" there, so a flag always wins. How long it trains and with which network follows
from the pictures and the machine. How the values were found stands in
benchmarks/RESULTS.md, "Recipes".
"""

import dataclasses
import math
import typing
from collections.abc import Mapping

if typing.TYPE_CHECKING:
    from nexperia_tf import configs

AUTO, PLAIN, STANDARD, SEARCH = "auto", "plain", "standard", "search"
FIRST_STEPS, STEPS = 1000, 300  # of the two stages of the standard recipe
FIRST_PASSES, PASSES = 8, 4  # over the training pictures, where these are more
THIN = "resnet26_quarter"  # where there is no GPU
SHORTEST = 50  # steps of an epoch: it is validated after each
# A network goes on seeing pictures as it has learned to.
KEPT = ("backbone", "standardise")
# Of --augment: by seed to the bit, and a map moves with its picture.
REPEATABLE = ("default", "none", "crop")

_PLAIN = {  # the defaults of the package before it had recipes
    "standardise": "imagenet",
    "flip": "horizontal",
    "rotation": 10.0,
    "zoom": 0.1,
    "brightness": 0.06,
    "contrast": 0.2,
    "tone": 0.0,
    "backbone": "resnext",
    "freeze": "none",
    "epochs": 20,
    "epoch_steps": 0,
    "learning_rate": 1e-3,
    "warmup_epochs": 1.0,
    "ema": 0.0,
    "first_epochs": 0,
    "first_drawn": 0.0,
    "first_learning_rate": 1e-3,
    "drawn": 0.0,
    "drawn_look": "dark",
    "drawn_map": 0.0,
    "patience": 10,
}
_STANDARD = _PLAIN | {  # found on parts left out by group, of two products
    "standardise": "picture",
    "rotation": 3.0,
    "zoom": 0.06,
    "brightness": 0.03,
    "tone": 0.3,
    "epochs": None,
    "epoch_steps": SHORTEST,
    "ema": 0.99,
    "first_epochs": None,
    "first_drawn": 0.5,
    "drawn": 0.25,  # so that the map forgets nothing
    "drawn_look": "any",
    "drawn_map": 1.0,
    "learning_rate": 2e-4,
    "freeze": "stage3",
}
# In the standard recipe where no first stage comes before: all is learned in one.
_ALONE = {"learning_rate": 1e-3, "freeze": "none", "first_epochs": 0, "drawn": 0.33}
VALUES: Mapping[str, Mapping[str, object]] = {
    PLAIN: _PLAIN,
    STANDARD: _STANDARD,
    SEARCH: _STANDARD,  # what its trials differ from, see configs.candidates
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a recipe goes by.

    Attributes:
        gpu: whether there is one.
        given: training devices with a given defect.
        placed: training devices of the first stage: good, or a defect with a box.
        boxed: those with a box.
        flips: mirroring that leaves pictures as they are wont to be, as `--flip`.
        before: settings of the run of `--init`, by field; empty where there is none.
    """

    gpu: bool
    given: int
    placed: int
    boxed: int
    flips: str
    before: Mapping[str, object] = dataclasses.field(default_factory=dict)


def filled(config: "configs.Config", facts: Facts) -> "configs.Config":
    """The config with what its recipe decides, but for numbers of epochs."""
    asked = config.flat()
    name = asked["recipe"] if asked["recipe"] != AUTO else STANDARD
    values = dict(VALUES[name]) | {"recipe": name}
    if name != PLAIN:
        values |= _standard(asked, facts)
    values |= {f: facts.before[f] for f in KEPT if f in facts.before}
    is_open = [field for field in values if open_in(asked, field)]
    config = config.changed(**{field: values[field] for field in is_open})
    if "freeze" in is_open and config.network.freeze != "none":
        config = config.changed(freeze_batch_norm=True)
    return config


def reopened(config: "configs.Config", name: str) -> "configs.Config":
    """The config with all open that another recipe is to decide.

    >>> from nexperia_tf import configs
    >>> again = reopened(configs.of(image_size="64", flip="both"), STANDARD)
    >>> again.pictures.image_size, again.pictures.flip, again.recipe.recipe
    ('64', None, 'standard')
    """
    initial = type(config)().flat()
    decided = (*VALUES[PLAIN], "freeze_batch_norm", "monitor")
    return config.changed(recipe=name, **{field: initial[field] for field in decided})


def open_in(values: Mapping[str, object], field: str) -> bool:
    """Whether no flag says what a field is to be.

    >>> open_in({"flip": None, "zoom": 0.0}, "flip"), open_in({"zoom": 0.0}, "zoom")
    (True, False)
    """
    return values[field] is None or values[field] == AUTO


def searches(config: "configs.Config") -> bool:
    """Whether `--recipe search` has something left to decide.

    In the config.json of a run that has searched nothing is left.
    """
    asked = config.flat()
    return asked["recipe"] == SEARCH and any(
        open_in(asked, field) for field in VALUES[SEARCH]
    )


def _standard(asked: Mapping[str, object], facts: Facts) -> dict[str, object]:
    """Where the standard recipe follows the pictures, the machine and the flags."""
    values: dict[str, object] = {}
    if asked["augment"] != "none":
        values["flip"] = facts.flips
    is_published = asked["weights"] not in ("auto", "none")
    thin = not facts.gpu and not is_published
    values["backbone"] = THIN if thin else "resnext"
    if is_published and asked["fine_tuning"]:
        values["first_learning_rate"] = asked["learning_rate"]
    if asked["patience"] is None:
        values["monitor"] = "last"
    if facts.before:  # it has learned what defects look like
        values["first_epochs"] = 0
    elif asked["first_epochs"] == 0 or _one_stage(asked, facts):
        values |= _ALONE
    nothing_to_map = asked["drawn"] == 0 == asked["first_drawn"] and not facts.boxed
    would_stray = asked["augment"] not in REPEATABLE
    if nothing_to_map or would_stray or asked["balance"] == "loss":
        values["drawn_map"] = 0.0
    return values


def _one_stage(asked: Mapping[str, object], facts: Facts) -> bool:
    """Whether either of two stages, of which nobody asks, has too little to see."""
    nothing_first = asked["first_drawn"] == 0 and not facts.boxed
    too_few_first = facts.placed < asked["batch_size"]
    nothing_then = asked["drawn_only"] or not facts.given
    too_little = nothing_first or too_few_first or nothing_then
    return too_little and asked["first_epochs"] is None


def with_epochs(
    config: "configs.Config",
    *,
    devices: int,
    steps: int,
    first_steps: int | None = None,
) -> "configs.Config":
    """The config with as many epochs as the standard recipe wants, where none are said.

    Args:
        config: as `filled` gives it.
        devices: of the training split.
        steps: of an epoch.
        first_steps: of an epoch of the first stage; as many by default.

    >>> from nexperia_tf import configs
    >>> some = configs.of(epochs=None, first_epochs=None)
    >>> few = with_epochs(some, devices=200, steps=50)
    >>> few.first.first_epochs, few.optimisation.epochs
    (20, 6)
    """
    batches = devices / config.optimisation.batch_size
    first_steps = first_steps or steps
    stages = config.first.first_epochs, config.optimisation.epochs
    first, last = stages
    if last is None:
        alone = first == 0
        wanted = STEPS + alone * FIRST_STEPS, (PASSES + alone * FIRST_PASSES) * batches
        last = math.ceil(max(wanted) / steps)
        first = math.ceil(max(FIRST_STEPS, FIRST_PASSES * batches) / first_steps)
    elif first is None:
        first = math.ceil(last * FIRST_STEPS / STEPS)
    first = first if stages[0] is None else stages[0]
    return config.changed(first_epochs=first, epochs=last)


def drawn_are_defects(config: "configs.Config") -> bool:
    """Whether drawn defects are learned as defects, or teach the map alone.

    In a second stage the given labels alone say what is a defect.
    """
    return not (config.first.first_epochs and config.drawn.drawn_map)


def first_stage(config: "configs.Config") -> "configs.Config":
    """What the first stage of a run is trained with.

    Of the minutes of `--time-budget` it has those of its share of the epochs.

    >>> from nexperia_tf import configs
    >>> both = configs.of(first_epochs=24, epochs=6, time_budget=10.0)
    >>> first_stage(both).run.time_budget
    8.0
    """
    first = config.first
    share = first.first_epochs / (first.first_epochs + config.optimisation.epochs)
    return config.changed(
        epochs=first.first_epochs,
        learning_rate=first.first_learning_rate,
        drawn=first.first_drawn,
        boxed_only=True,
        first_epochs=0,
        freeze="none",
        freeze_batch_norm=False,
        monitor="last",
        time_budget=config.run.time_budget * share,
    )
