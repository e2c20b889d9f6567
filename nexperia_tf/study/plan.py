"""Which networks a study trains, and in which order."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from nexperia_tf import configs, errors
from nexperia_tf.configs import checks
from nexperia_tf.data.source import DataSource

RESNEXT, WIDE = "resnext", "wide"
BCE, FOCAL = "bce", "focal"
MEMBERS = tuple(
    f"{network}-{loss}" for network in (RESNEXT, WIDE) for loss in (BCE, FOCAL)
)
TITLES = {
    "resnext-bce": "ResNeXt",
    "resnext-focal": "ResNeXt + focal",
    "wide-bce": "wide-ResNet",
    "wide-focal": "wide-ResNet + focal",
}
# The wide ResNet as deep as a ResNeXt.
PARTNERS = {
    "resnext26_32x4d": "wide_resnet26_2",
    "resnext": "wide_resnet",
    "resnext50_32x4d": "wide_resnet50_2",
    "resnext101_32x8d": "wide_resnet101_2",
    "resnext101_64x4d": "wide_resnet101_2",
}
# Alpha and gamma of either loss: as many for cross-entropy (gamma 0) as for focal loss.
# Alpha .25 on defects is the original's.
Setting = tuple[float, float | None]
SHORT: dict[str, tuple[Setting, ...]] = {
    BCE: ((0.0, None), (0.0, 0.25), (0.0, 0.75)),
    FOCAL: ((2.0, None), (2.0, 0.25), (1.0, 0.75)),
}
LONG: dict[str, tuple[Setting, ...]] = {
    BCE: (*SHORT[BCE], (0.0, 0.1), (0.0, 0.4), (0.0, 0.9)),
    FOCAL: (*SHORT[FOCAL], (1.0, None), (3.0, None), (2.0, 0.75)),
}
SMALL_PASSES = 10_000  # pictures that each small run sees, in whole epochs
FOLDS = 3
BAGS = 5
EXTENDED_SEEDS = 3
PRETRAINED = "pretrained"  # the run on sample devices that column (a) takes


@dataclasses.dataclass(frozen=True)
class Step:
    """A network to train.

    Attributes:
        name: of its run folder.
        title: how tables call it.
        config: all of it, but for `like`.
        like: runs of whose losses the best, on validation, is taken.
        dealt: the fold or bag it is trained on, "" for the data as they are.
    """

    name: str
    title: str
    config: configs.Config
    like: tuple[str, ...] = ()
    dealt: str = ""

    def resolved(
        self, trained: Mapping[str, configs.Config], best: str
    ) -> configs.Config:
        """The config with the loss of the run named `best`, where it waited for one."""
        if not self.like:
            return self.config
        chosen = trained[best]
        loss = chosen.loss
        return self.config.changed(loss=loss.loss, gamma=loss.gamma, alpha=loss.alpha)


@dataclasses.dataclass(frozen=True)
class Family:
    """Four networks of one recipe: two architectures, two losses.

    Attributes:
        name: "" where there is one recipe only.
        tried: for each of MEMBERS the runs of which the best is the member.
        seeds: for each of MEMBERS its repetitions.
        folds: for each of MEMBERS its runs on all folds but one.
        bags: runs on bootstraps of lots.
        bagged: the member they repeat.
    """

    name: str
    tried: Mapping[str, tuple[str, ...]]
    seeds: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    folds: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    bags: tuple[str, ...] = ()
    bagged: str = "resnext-focal"

    def title(self, member: str) -> str:
        """How tables call a member."""
        return f"{TITLES[member]}, {self.name}" if self.name else TITLES[member]


@dataclasses.dataclass(frozen=True)
class Plan:
    """All runs of a study, in order, and what its tables make of them.

    Attributes:
        steps: the runs.
        families: the last one is ours; ensembles beyond the mean are tried on it.
        base: the config that the others differ from.
    """

    steps: tuple[Step, ...]
    families: tuple[Family, ...]
    base: configs.Config

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


def make(
    *,
    scale: str = "small",
    config: str = "",
    seeds: int = 1,
    extended: bool = False,
    train_devices: int | None = None,
    backbone_data: str = "",
    shared: Mapping[str, object] | None = None,
) -> Plan:
    """Plans a study.

    Args:
        scale: small or paper.
        config: name or file of a config in place of the scale's own.
        seeds: how often each of the four networks is trained.
        extended: add out-of-fold runs, bags and more seeds.
        train_devices: size of the training split, from which small runs take their
            epochs; None leaves them.
        backbone_data: data of the run that column (a) of Table 1 takes; "" for none.
        shared: fields that all runs get, such as `data`.

    Raises:
        errors.BadInput: a number below 1, or a backbone without a wide partner.
    """
    if seeds < 1:
        raise errors.BadInput(f"--seeds {seeds}: from 1 on.")
    shared = dict(shared or {})
    base = configs.load(
        config or {"small": "study_small", "paper": "study_ours"}[scale]
    )
    if scale == "small" and not config and train_devices:
        epochs = max(3, round(SMALL_PASSES / train_devices))
        base = base.changed(epochs=epochs)
    base = base.changed(**shared)
    checks.check(base)
    steps, families = [], []
    if backbone_data:
        steps.append(_backbone(base, backbone_data))
    if scale == "paper":
        original, family = _original(shared)
        steps += original
        families.append(family)
    ours, family = _ours(
        base,
        name="ours" if scale == "paper" else "",
        sweep=LONG if scale == "paper" else SHORT,
        seeds=seeds,
        extended=extended,
    )
    return Plan((*steps, *ours), (*families, family), base)


def _backbone(base: configs.Config, data: str) -> Step:
    drawn = DataSource(data, base.data.data_dir)
    config = base.changed(loss="bce", **vars(drawn))
    return Step(PRETRAINED, "ResNeXt trained on other drawn devices", config)


def _original(shared: Mapping[str, object]) -> tuple[list[Step], Family]:
    """The four networks of the original study, to the letter.

    Which wide ResNet it took its report leaves open; alpha .25 fell on the defects.
    """
    name = "original"
    base = configs.load("study_original").changed(**shared)
    backbone = base.network.backbone
    networks = {RESNEXT: backbone, WIDE: PARTNERS[backbone]}
    losses = {BCE: {}, FOCAL: {"loss": "focal", "gamma": 2.0, "alpha": 0.25}}
    steps = []
    for member in MEMBERS:
        network, loss = member.split("-")
        config = base.changed(backbone=networks[network], **losses[loss])
        steps.append(Step(f"{name}-{member}", f"{TITLES[member]}, {name}", config))
    return steps, Family(name, {m: (f"{name}-{m}",) for m in MEMBERS})


def _ours(
    base: configs.Config,
    *,
    name: str,
    sweep: Mapping[str, tuple[Setting, ...]],
    seeds: int,
    extended: bool,
) -> tuple[list[Step], Family]:
    """Swept ResNeXts, wide ResNets with the chosen losses, and what else is asked."""
    if base.network.backbone not in PARTNERS:
        raise errors.BadInput(
            f"backbone {base.network.backbone}: a study compares a ResNeXt with a "
            f"wide ResNet; take one of {', '.join(PARTNERS)}."
        )
    wide = base.changed(backbone=PARTNERS[base.network.backbone])
    shown = Family(name, {})
    steps, tried = [], {}
    for loss, settings in sweep.items():
        member = f"{RESNEXT}-{loss}"
        swept = [_swept(base, shown.title(member), member, one) for one in settings]
        steps += swept
        tried[member] = tuple(step.name for step in swept)
    for loss in sweep:
        member, like = f"{WIDE}-{loss}", tried[f"{RESNEXT}-{loss}"]
        steps.append(Step(member, shown.title(member), wide, like))
        tried[member] = (member,)

    def repeated(word: str, count: range, change: Callable[[int], dict]) -> dict:
        """Every member once more for each of `count`."""
        names = {}
        for member in MEMBERS:
            config = base if member.startswith(RESNEXT) else wide
            like = tried[f"{RESNEXT}-{member.partition('-')[2]}"]
            for number in count:
                steps.append(
                    Step(
                        f"{member}-{word}{number}",
                        f"{shown.title(member)}, {word} {number}",
                        config.changed(**change(number)),
                        like,
                        dealt=f"{word}{number}" if word == "fold" else "",
                    )
                )
                names.setdefault(member, []).append(steps[-1].name)
        return {member: tuple(found) for member, found in names.items()}

    first = base.run.seed
    more = repeated("seed", range(1, seeds), lambda seed: {"seed": first + seed})
    folds, bags = {}, []
    if extended:
        folds = repeated("fold", range(1, FOLDS + 1), lambda number: {})
        for number in range(1, BAGS + 1):
            title = f"{shown.title(shown.bagged)}, bag {number}"
            bag = Step(f"bag{number}", title, base, tried[shown.bagged], f"bag{number}")
            steps.append(bag)
            bags.append(bag.name)
    return steps, Family(name, tried, more, folds, tuple(bags))


def _swept(base: configs.Config, title: str, member: str, setting: Setting) -> Step:
    gamma, alpha = setting
    # Cross-entropy with alpha is focal loss that discounts nothing.
    plain = gamma == 0 and alpha is None
    config = base.changed(loss="bce" if plain else "focal", gamma=gamma, alpha=alpha)
    name, words = member, title
    if gamma not in (0, 2):
        name, words = f"{name}-gamma{gamma:g}", f"{words}, gamma {gamma:g}"
    if alpha is not None:
        name, words = f"{name}-alpha{100 * alpha:.0f}", f"{words}, alpha {alpha:g}"
    return Step(name, words, config)


def differs(step: Step, base: configs.Config) -> str:
    """What a run does otherwise than the base, in words for the plan's table."""
    hidden = {"out", "data_dir"} | ({"loss", "gamma", "alpha"} if step.like else set())
    before = base.flat()
    parts = [
        f"{name.replace('_', ' ')} {_short(value)}"
        for name, value in step.config.flat().items()
        if value != before[name] and name not in hidden
    ]
    if step.like:
        parts.append(f"loss of the best {step.like[0]}")
    if step.dealt:
        parts.append(step.dealt)
    return ", ".join(parts) or "as the config says"


def _short(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return pathlib.PurePath(text).name if "/" in text else text
