"""ResNet, ResNeXt and wide ResNet: one backbone, of which two numbers differ.

Names and shapes only, so that a command line is checked before Keras is imported.
"""

import dataclasses

from nexperia_tf import bounds, errors


@dataclasses.dataclass(frozen=True)
class Shape:
    """What tells one backbone from another.

    Attributes:
        blocks: number of bottlenecks in each stage.
        groups: groups of the 3x3 convolutions.
        width: channels of one group in the first stage.
        planes: channels of each stage before expansion.
        stem: channels of the stem.
    """

    blocks: tuple[int, ...]
    groups: int = 1
    width: int = 64
    planes: tuple[int, ...] = (64, 128, 256, 512)
    stem: int = 64

    def inner(self, stage: int) -> int:
        """Channels of the 3x3 convolutions of a stage, counted from 0."""
        return self.planes[stage] * self.width // 64 * self.groups

    @property
    def stride(self) -> int:
        """Pixels of the picture between two places of the last stage."""
        return 4 * 2 ** (len(self.blocks) - 1)  # the stem's, halved at each stage


BACKBONES = {
    "resnet26": Shape((2, 2, 2, 2)),
    "resnet50": Shape((3, 4, 6, 3)),
    "resnext50_32x4d": Shape((3, 4, 6, 3), groups=32, width=4),
    "resnext101_32x8d": Shape((3, 4, 23, 3), groups=32, width=8),
    "resnext101_64x4d": Shape((3, 4, 23, 3), groups=64, width=4),
    "wide_resnet50_2": Shape((3, 4, 6, 3), width=128),
    "wide_resnet101_2": Shape((3, 4, 23, 3), width=128),
    "resnext26_32x4d": Shape((2, 2, 2, 2), groups=32, width=4),
    "wide_resnet26_2": Shape((2, 2, 2, 2), width=128),
    # A quarter of the channels everywhere: for small data, many epochs and a CPU.
    "resnet26_quarter": Shape((2, 2, 2, 2), planes=(16, 32, 64, 128), stem=32),
}
AUTO = "auto"  # by the pictures and the machine
ALIASES = {"resnext": "resnext50_32x4d", "wide_resnet": "wide_resnet50_2"}


def names() -> list[str]:
    """All names of networks that `--backbone` takes."""
    return [*ALIASES, *BACKBONES]


def names_and_auto() -> list[str]:
    """All that `--backbone` takes."""
    return [AUTO, *names()]


def shape(backbone: str) -> Shape:
    """The shape that a name or an alias stands for.

    Raises:
        errors.BadInput: there is no such backbone.
    """
    return BACKBONES[full_name(backbone)]


def full_name(backbone: str) -> str:
    """The backbone's name with aliases resolved.

    Raises:
        errors.BadInput: there is no such backbone.
    """
    name = ALIASES.get(backbone, backbone)
    if name not in BACKBONES:
        said = bounds.unknown(backbone, names())
        raise errors.BadInput(f"--backbone {backbone}: {said}.")
    return name
