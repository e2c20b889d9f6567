"""What to try with a network that learns no more than simple numbers tell."""

from nexperia_tf import configs

MOST = 3  # suggestions: who is told everything tries nothing


def what_to_try(config: configs.Config) -> str:
    """Flags that helped elsewhere and that a run has not used, in words.

    >>> what_to_try(configs.of(standardise="picture", weights="imagenet"))
    '--rotation 0 --zoom 0, --drawn (docs/training.md) or a larger --image-size'
    """
    pictures, network = config.pictures, config.network
    changed = pictures.augment == "default" and (pictures.rotation or pictures.zoom)
    found = [
        "--rotation 0 --zoom 0" if changed else "",
        "" if pictures.standardise == "picture" else "--standardise picture",
        "" if network.init or network.weights != "none" else "--weights imagenet",
        "" if config.drawn.drawn or network.init else "--drawn (docs/training.md)",
        "a larger --image-size",
        "more --epochs",
        "more pictures",
    ]
    first = [words for words in found if words][:MOST]
    return f"{', '.join(first[:-1])} or {first[-1]}"
