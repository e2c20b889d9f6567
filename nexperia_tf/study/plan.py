"""Which networks a study trains, and in which order."""

import dataclasses
import itertools
import pathlib
from collections.abc import Mapping, Sequence

from nexperia_tf import configs, errors, sizes
from nexperia_tf.configs import checks, fine_tuning
from nexperia_tf.data.source import DataSource

RESNEXT, WIDE = "resnext", "wide"
BCE, FOCAL = "bce", "focal"
PAIRS = tuple(itertools.product((RESNEXT, WIDE), (BCE, FOCAL)))
MEMBERS = tuple(f"{network}-{loss}" for network, loss in PAIRS)
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
ORIGINAL = "original"  # the family of the original recipe


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the training lots: what folds.py makes of them.

    Attributes:
        kind: FOLD, all but one part of the lots; or BAG, lots drawn with replacement.
        number: which fold, or the seed of the draw.
    """

    kind: str
    number: int

    @property
    def name(self) -> str:
        """Of its folder, and in the names of runs: fold1, bag3."""
        return f"{self.kind}{self.number}"


FOLD, BAG = "fold", "bag"


@dataclasses.dataclass(frozen=True)
class Step:
    """A network to train.

    Attributes:
        name: of its run folder.
        title: how tables call it.
        config: all of it, but for `like`.
        like: runs of whose losses the best, on validation, is taken.
        part: the fold or bag it is trained on; None for the data as they are.
    """

    name: str
    title: str
    config: configs.Config
    like: tuple[str, ...] = ()
    part: Part | None = None

    @property
    def judged_on_test(self) -> bool:
        """Whether it was trained for the test devices of the study."""
        is_fold = self.part is not None and self.part.kind == FOLD
        return self.name != PRETRAINED and not is_fold

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
    image_size: int | str = sizes.AUTO,
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
        image_size: of runs that leave it to the pictures of the study.

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
    base = _settled(base.changed(**shared), image_size)
    checks.check(base)
    steps, families = [], []
    if backbone_data:
        steps.append(_backbone(base, backbone_data))
    if scale == "paper":
        original, family = _original(shared, image_size)
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


def _settled(config: configs.Config, image_size: int | str) -> configs.Config:
    """With what a run would find for itself, so that all runs of a study share it."""
    if config.pictures.image_size == sizes.AUTO:
        config = config.changed(image_size=image_size)
    if config.network.weights == "auto":
        config = config.changed(weights="none")
    return fine_tuning.applied(config)


def _original(
    shared: Mapping[str, object], image_size: int | str
) -> tuple[list[Step], Family]:
    """The four networks of the original study, to the letter.

    Which wide ResNet it took its report leaves open; alpha .25 fell on the defects.
    """
    name = ORIGINAL
    base = _settled(configs.load("study_original").changed(**shared), image_size)
    backbone = base.network.backbone
    networks = {RESNEXT: backbone, WIDE: PARTNERS[backbone]}
    losses = {BCE: {}, FOCAL: {"loss": "focal", "gamma": 2.0, "alpha": 0.25}}
    steps = []
    for member, (network, loss) in zip(MEMBERS, PAIRS):
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
    steps, tried = _tried(base, wide, Family(name, {}), sweep)
    repeat = _Repetition({RESNEXT: base, WIDE: wide}, Family(name, tried))
    seeded = {
        member: [repeat.with_seed(member, base.run.seed, s) for s in range(1, seeds)]
        for member in MEMBERS
    }
    folds, bags = {}, []
    if extended:
        folds = {
            member: [repeat.on_fold(member, n) for n in range(1, FOLDS + 1)]
            for member in MEMBERS
        }
        bags = [repeat.on_bag(number) for number in range(1, BAGS + 1)]
    further = itertools.chain(*seeded.values(), *folds.values(), bags)
    family = Family(
        name,
        tried,
        {member: _names(made) for member, made in seeded.items() if made},
        {member: _names(made) for member, made in folds.items()},
        _names(bags),
    )
    return [*steps, *further], family


def _names(steps: Sequence[Step]) -> tuple[str, ...]:
    return tuple(step.name for step in steps)


def _tried(
    base: configs.Config,
    wide: configs.Config,
    family: Family,
    sweep: Mapping[str, tuple[Setting, ...]],
) -> tuple[list[Step], dict[str, tuple[str, ...]]]:
    """A ResNeXt for each setting of each loss, and a wide ResNet for each loss."""
    steps, tried = [], {}
    for loss, settings in sweep.items():
        member = f"{RESNEXT}-{loss}"
        swept = [_swept(base, family.title(member), member, s) for s in settings]
        steps += swept
        tried[member] = _names(swept)
    for loss in sweep:
        member, like = f"{WIDE}-{loss}", tried[f"{RESNEXT}-{loss}"]
        steps.append(Step(member, family.title(member), wide, like))
        tried[member] = (member,)
    return steps, tried


@dataclasses.dataclass(frozen=True)
class _Repetition:
    """Members once more: with another seed, on a fold, on a bag.

    Attributes:
        config_of: each network.
        family: with the runs that were tried, of whose losses the best is taken.
    """

    config_of: Mapping[str, configs.Config]
    family: Family

    def with_seed(self, member: str, first: int, number: int) -> Step:
        return self._step(
            member, f"seed{number}", f"seed {number}", seed=first + number
        )

    def on_fold(self, member: str, number: int) -> Step:
        part = Part(FOLD, number)
        step = self._step(member, part.name, f"fold {number}")
        return dataclasses.replace(step, part=part)

    def on_bag(self, number: int) -> Step:
        part = Part(BAG, number)
        step = self._step(self.family.bagged, part.name, f"bag {number}")
        return dataclasses.replace(step, name=part.name, part=part)

    def _step(self, member: str, suffix: str, words: str, **changed) -> Step:
        network, loss = PAIRS[MEMBERS.index(member)]
        return Step(
            f"{member}-{suffix}",
            f"{self.family.title(member)}, {words}",
            self.config_of[network].changed(**changed),
            self.family.tried[f"{RESNEXT}-{loss}"],
        )


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
    if step.part:
        parts.append(step.part.name)
    return ", ".join(parts) or "as the config says"


def _short(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return pathlib.PurePath(text).name if "/" in text else text
