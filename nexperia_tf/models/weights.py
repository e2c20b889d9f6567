"""`nexperia weights BACKBONE`: published ImageNet weights, found, fetched and checked.

No Keras here, so that what lies in the cache is known before it is imported.
"""

import dataclasses
import hashlib
import pathlib
import re
from typing import Annotated

import tyro

from nexperia_tf import bounds, command, errors, files
from nexperia_tf.models import backbones

FILE_NAME = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class Published:
    """Free weights at the hub, under `timm/`.

    Attributes:
        fine_tuning: the best recipe to go on training from.
        fixed: the first torchvision weights, which serve better as fixed features
            ([Kornblith et al., 2021](https://arxiv.org/abs/2010.16402)).
        megabytes: size of either file.
    """

    fine_tuning: str
    fixed: str
    megabytes: int


IMAGENET = {
    "resnet26": Published("resnet26.bt_in1k", "resnet26.bt_in1k", 64),
    "resnet50": Published("resnet50.a1_in1k", "resnet50.tv_in1k", 102),
    "resnext50_32x4d": Published(
        "resnext50_32x4d.a1h_in1k", "resnext50_32x4d.tv_in1k", 100
    ),
    "resnext101_32x8d": Published(
        "resnext101_32x8d.tv2_in1k", "resnext101_32x8d.tv_in1k", 356
    ),
    "resnext101_64x4d": Published(
        "resnext101_64x4d.tv_in1k", "resnext101_64x4d.tv_in1k", 335
    ),
    "wide_resnet50_2": Published(
        "wide_resnet50_2.racm_in1k", "wide_resnet50_2.tv_in1k", 276
    ),
    "wide_resnet101_2": Published(
        "wide_resnet101_2.tv2_in1k", "wide_resnet101_2.tv_in1k", 508
    ),
}
# As timm 1.0.31 registers them, by who trained. Weights named fb_* are CC-BY-NC-4.0.
LICENCES = {
    "a1_in1k": "Apache-2.0",
    "a1h_in1k": "Apache-2.0",
    "bt_in1k": "Apache-2.0",
    "racm_in1k": "Apache-2.0",
    "tv_in1k": "BSD-3-Clause",
    "tv2_in1k": "BSD-3-Clause",
}


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Fetches published ImageNet weights, which train then takes by itself, or for a
    machine without network."""

    backbone: tyro.conf.Positional[Annotated[str, *bounds.one_of(backbones.names)]]
    """Network as `train --backbone` takes it, such as resnext or wide_resnet."""

    out: str = ""
    """File to copy them to, for `train --weights FILE`; only the hub's cache holds them
    when empty."""

    fixed: bool = False
    """Take those that serve best as fixed features, not those to train on from."""


def main(arguments: Arguments) -> None:
    """Fetches, checks and says where the file is."""
    if arguments.out:
        files.refuse_existing(arguments.out)
        files.check_writable(arguments.out)
    name = backbones.full_name(arguments.backbone)
    path = download(name, fixed=arguments.fixed)
    if arguments.out:
        files.write_bytes(arguments.out, path.read_bytes())
    print(f"{arguments.out or path}: SHA-256 {files.sha256(path)}")


def file_of(weights: str, backbone: str, *, fixed: bool = False) -> pathlib.Path | None:
    """The file that `--weights` stands for; None where a network starts anew.

    Args:
        weights: `none`, `auto` (what the hub's local cache holds), `imagenet` (that,
            or fetched), or a path, which is not looked at.
        backbone: full name.
        fixed: take the weights that serve best without fine-tuning.

    Raises:
        errors.BadInput: see `download` and `cached`.
    """
    if weights == "imagenet":
        return download(backbone, fixed=fixed)
    if weights == "auto":
        return cached(backbone)
    return None if weights == "none" else pathlib.Path(weights)


def find_published(name: str) -> Published:
    """The published weights of a backbone, by its full name.

    Raises:
        errors.BadInput: nothing is published for it.
    """
    if name not in IMAGENET:
        raise errors.BadInput(
            f"--weights imagenet: nothing is published for {name}; "
            f"take one of {', '.join(IMAGENET)}, or --weights none"
        )
    return IMAGENET[name]


def licence(name: str) -> str:
    """SPDX name of the licence of published weights.

    >>> licence("resnet26.bt_in1k"), licence("wide_resnet50_2.tv_in1k")
    ('Apache-2.0', 'BSD-3-Clause')
    """
    return LICENCES[name.partition(".")[2]]


def cached(backbone: str) -> pathlib.Path | None:
    """The file to go on training from, where the hub's cache holds it; asks no network.

    Args:
        backbone: full name; None is given where nothing is published for it, too.

    Raises:
        errors.BadInput: the file's content is not what was published.
    """
    if backbone not in IMAGENET:
        return None
    import huggingface_hub

    path = huggingface_hub.try_to_load_from_cache(
        f"timm/{IMAGENET[backbone].fine_tuning}", FILE_NAME
    )
    if not isinstance(path, str):  # None, or that the hub has no such file
        return None
    _check(pathlib.Path(path))
    return pathlib.Path(path)


def how_to_fetch(backbone: str) -> str:
    """What to run for a backbone's weights, their size and licence; may be empty.

    >>> how_to_fetch("resnet26")
    '`nexperia weights resnet26` fetches ImageNet weights (64 MB, Apache-2.0)'
    >>> how_to_fetch("resnet26_quarter")
    ''
    """
    if backbone not in IMAGENET:
        return ""
    published = IMAGENET[backbone]
    return (
        f"`nexperia weights {backbone}` fetches ImageNet weights "
        f"({published.megabytes} MB, {licence(published.fine_tuning)})"
    )


def download(backbone: str, *, fixed: bool = False) -> pathlib.Path:
    """The published weights' file, from the hub's local cache or fetched, and checked.

    Raises:
        errors.BadInput: nothing is published, the hub is out of reach, or the file's
            SHA-256 is not the one under which the hub keeps it.
    """
    import huggingface_hub

    published = find_published(backbone)
    repository = f"timm/{published.fixed if fixed else published.fine_tuning}"
    try:
        path = pathlib.Path(huggingface_hub.hf_hub_download(repository, FILE_NAME))
    except Exception as error:  # the client passes on its transport's errors as well
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise errors.BadInput(
            f"--weights imagenet: {repository} is not cached and cannot be fetched "
            f"({reason}); fetch its {FILE_NAME} on another machine, then pass "
            "--weights FILE"
        ) from None
    _check(path)
    return path


def _check(path: pathlib.Path) -> None:
    """Compares a cached file with the SHA-256 that the hub names its content by.

    The hub keeps large files by their SHA-256, and its client names the cached content
    so; that name came with the download, from the hub and not from the content. On file
    systems without links the cache has no such name, and there is nothing to compare.
    """
    expected = path.resolve().name
    if not re.fullmatch("[0-9a-f]{64}", expected):
        return
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        raise errors.BadInput(
            f"{path}: SHA-256 is {digest}, published is {expected}; "
            "delete the file and run again"
        )
