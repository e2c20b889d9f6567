"""What to try with a network that learns no more than simple numbers tell."""

from nexperia_tf import configs
from nexperia_tf.models import backbones, weights

MOST = 3  # suggestions: who is told everything tries nothing


def what_to_try(config: configs.Config) -> str:
    """Flags that helped elsewhere and that a run has not used, in words.

    >>> what_to_try(configs.of(standardise="picture", weights="imagenet"))
    '--rotation 0 --zoom 0, --drawn (docs/training.md) or a larger --image-size'
    >>> what_to_try(configs.of(zoom=0.0, rotation=0.0))
    '--standardise picture, --weights imagenet or --drawn (docs/training.md)'
    """
    pictures, drawn = config.pictures, config.drawn.drawn or config.network.init
    changed = pictures.augment == "default" and (pictures.rotation or pictures.zoom)
    found = [
        "--rotation 0 --zoom 0" if changed else "",
        "" if pictures.standardise == "picture" else "--standardise picture",
        "--weights imagenet" if _could_start_from_weights(config.network) else "",
        "" if drawn else "--drawn (docs/training.md)",
        "a larger --image-size",
        "more --epochs",
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
