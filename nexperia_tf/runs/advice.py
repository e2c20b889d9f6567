"""What to try with a network that learns no more than simple numbers tell."""

import pathlib

from nexperia_tf import configs, labels
from nexperia_tf.configs import recipes
from nexperia_tf.data import manifest
from nexperia_tf.models import backbones, weights
from nexperia_tf.runs import run_folders

MOST = 3  # suggestions: who is told everything tries nothing


def has_boxes(folder: pathlib.Path) -> bool:
    """Whether a run has learned from defects with a box, as far as it says."""
    path = folder / run_folders.PICTURES
    rows = manifest.read(path) if path.is_file() else []
    taught = (r for r in rows if r.split == "train" and r.label == labels.DEFECT)
    return any(row.used and row.boxes for row in taught)


def what_to_try(config: configs.Config, *, boxed: bool = False) -> str:
    """What helped elsewhere and a run has not used, in words.

    Args:
        config: of the run.
        boxed: whether it has learned from boxes.

    >>> what_to_try(configs.of(weights="imagenet"))
    '--recipe standard, boxes of the defects (docs/data.md) or a larger --image-size'
    >>> what_to_try(configs.of(recipe="standard", weights="imagenet"))
    'boxes of the defects (docs/data.md), a larger --image-size or more pictures'
    >>> what_to_try(configs.of(recipe="standard", weights="imagenet"), boxed=True)
    'a larger --image-size or more pictures'
    """
    found = [
        "--recipe standard" if config.recipe.recipe == recipes.PLAIN else "",
        "--weights imagenet" if _could_start_from_weights(config.network) else "",
        "" if boxed else "boxes of the defects (docs/data.md)",
        "a larger --image-size",
        "more pictures",
    ]
    first = [words for words in found if words][:MOST]
    return f"{', '.join(first[:-1])} or {first[-1]}"


def _could_start_from_weights(network) -> bool:
    """Whether there are published weights that a run has not started from."""
    if network.init or network.weights not in ("none", "auto"):
        return False
    # A run may be of a backbone that is no longer known.
    name = backbones.ALIASES.get(network.backbone, network.backbone)
    return name in weights.IMAGENET
