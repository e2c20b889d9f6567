"""ResNet, ResNeXt and wide ResNet: one backbone, of which two numbers differ."""

import dataclasses

import keras

from nexperia_tf import errors
from nexperia_tf.models import blocks

EXPANSION = 4  # channels out of a bottleneck, for each of its planes


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


BACKBONES = {
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
ALIASES = {"resnext": "resnext50_32x4d", "wide_resnet": "wide_resnet50_2"}


def full_name(backbone: str) -> str:
    """The backbone's name with aliases resolved.

    Raises:
        errors.BadInput: there is no such backbone.
    """
    name = ALIASES.get(backbone, backbone)
    if name not in BACKBONES:
        known = ", ".join([*ALIASES, *BACKBONES])
        raise errors.BadInput(f"--backbone {backbone}: unknown; choose one of {known}")
    return name


def backbone(images: keras.KerasTensor, shape: Shape) -> keras.KerasTensor:
    """Adds stem, stages and pooled features to the graph of `images`.

    Args:
        images: standardised images, `(batch, height, width, channels)`.
        shape: which backbone.

    Returns:
        float32 features of shape `(batch, 4 * planes[-1])`; the layers that end the
        parts are named `stem`, `stage1` ... `stage4` and `features`.
    """
    images = blocks.stem(images, shape.stem)  # (batch, height / 4, width / 4, stem)
    for stage, count in enumerate(shape.blocks):
        for block in range(count):
            name = f"stage{stage + 1}_block{block + 1}"
            last = block == count - 1
            images = blocks.bottleneck(
                images,
                inner=shape.inner(stage),
                outer=shape.planes[stage] * EXPANSION,
                groups=shape.groups,
                stride=2 if stage > 0 and block == 0 else 1,
                name=name,
                output_name=f"stage{stage + 1}" if last else name,
            )
    return keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(images)
