"""Writes timm's answers that our models are held to; needs `pip install .[goldens]`.

    python tests/models/make_goldens.py tests/models/goldens       # the small committed
    python tests/models/make_goldens.py --full FOLDER             # every full backbone
    python tests/models/make_goldens.py --full --size 96 --only resnet26 FOLDER
    NEXPERIA_TF_GOLDENS=FOLDER pytest tests/models/pretrained_test.py

For each network: NAME.safetensors (random weights) and NAME.npz with `pixels` (uint8,
batch height width channels), `stage4` (channels last), `features` and `logits`.
"""

import argparse
import pathlib

import numpy as np
import safetensors.torch
import timm
import torch
from timm.models import resnet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = {  # what resnet.ResNet is told, and the picture's height and width
    "plain": ({"base_width": 64}, (32, 32)),
    "grouped": ({"cardinality": 8, "base_width": 32}, (45, 39)),
    "wide": ({"base_width": 128}, (33, 48)),
}
FULL = (
    "resnet26",
    "resnet50",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)


def randomise(model: torch.nn.Module) -> None:
    """Gives batch norms weights and statistics that a mistake would not survive."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)


def write(folder: pathlib.Path, name: str, model: torch.nn.Module, size) -> None:
    randomise(model)
    model.eval()
    pixels = torch.randint(0, 256, (2, *size, 3), dtype=torch.uint8)
    images = (pixels / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.inference_mode():
        stage4 = model.forward_features(images.permute(0, 3, 1, 2))
        features = model.forward_head(stage4, pre_logits=True)
        logits = model.forward_head(stage4)
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(model.state_dict(), folder / f"{name}.safetensors")
    np.savez_compressed(
        folder / f"{name}.npz",
        pixels=pixels.numpy(),
        stage4=stage4.permute(0, 2, 3, 1).numpy(),
        features=features.numpy(),
        logits=logits.numpy(),
    )
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{name}: {count:,} parameters, largest logit {logits.abs().max():.3g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="full-size networks")
    parser.add_argument("--size", type=int, default=224, help="side of their pictures")
    parser.add_argument("--only", nargs="+", default=FULL, help="some of them")
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, timm {timm.__version__}")
    torch.manual_seed(0)
    if arguments.full:
        for name in arguments.only:
            model = timm.create_model(name, zero_init_last=False)
            write(arguments.folder, name, model, (arguments.size, arguments.size))
        return
    for name, (knobs, size) in SMALL.items():
        model = resnet.ResNet(
            resnet.Bottleneck,
            (1, 2, 1, 1),
            num_classes=10,
            channels=(8, 8, 16, 16),
            zero_init_last=False,
            **knobs,
        )
        write(arguments.folder, name, model, size)


if __name__ == "__main__":
    main()
