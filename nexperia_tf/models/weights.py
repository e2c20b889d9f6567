"""`nexperia weights BACKBONE`: published ImageNet weights, fetched and checked."""

import dataclasses
from typing import Annotated

import tyro

from nexperia_tf import bounds, command, files
from nexperia_tf.models import backbones


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Fetches published ImageNet weights, for `train --weights imagenet` or a machine
    without network."""

    backbone: tyro.conf.Positional[Annotated[str, *bounds.one_of(backbones.names)]]
    """Network as `train --backbone` takes it, such as resnext or wide_resnet."""

    out: str = ""
    """File to copy them to, for `train --weights FILE`; only the hub's cache holds them
    when empty."""

    fixed: bool = False
    """Take those that serve best as fixed features, not those to train on from."""


def main(arguments: Arguments) -> None:
    """Fetches, checks and says where the file is."""
    command.import_tensorflow()
    from nexperia_tf.models import pretrained

    if arguments.out:
        files.refuse_existing(arguments.out)
        files.check_writable(arguments.out)
    name = backbones.full_name(arguments.backbone)
    path = pretrained.download(name, fixed=arguments.fixed)
    if arguments.out:
        files.write_bytes(arguments.out, path.read_bytes())
    print(f"{arguments.out or path}: SHA-256 {files.sha256(path)}")
