"""How a network goes on learning from published weights: gently, and from the top."""

import types

from nexperia_tf import bounds

# ImageNet's features are of use as they are: a lower rate, falling towards the stem, a
# longer warm-up while the head is still random, and batch-norm statistics that a few
# hundred pictures would only blur. Not measured with ImageNet's weights.
FINE_TUNING = types.MappingProxyType(
    {
        "learning_rate": 3e-4,
        "layer_decay": 0.75,
        "warmup_epochs": 2.0,
        "freeze_batch_norm": True,
    }
)


def applied(config):
    """The Config with what `FINE_TUNING` says for fields that are at their defaults.

    As it is where nothing is fine-tuned: `weights` is none, or `fine_tuning` is off.

    >>> from nexperia_tf import configs
    >>> tuned = applied(configs.of(weights="imagenet", learning_rate=1e-4))
    >>> tuned.optimisation.learning_rate, tuned.optimisation.layer_decay
    (0.0001, 0.75)
    """
    network = config.network
    if network.weights == "none" or not network.fine_tuning:
        return config
    default = type(config)().flat()
    given = config.flat()
    return config.changed(
        **{k: v for k, v in FINE_TUNING.items() if given[k] == default[k]}
    )


def described(config) -> str:
    """The recipe's values in a Config, as flags.

    >>> from nexperia_tf import configs
    >>> described(applied(configs.of(weights="imagenet", layer_decay=0.5)))[:40]
    '--learning-rate 0.0003 --layer-decay 0.5'
    """
    values = config.flat()
    return " ".join(bounds.flag(name, values[name]) for name in FINE_TUNING)
