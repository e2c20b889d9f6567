"""How a network goes on learning from published weights."""

import types

from nexperia_tf import bounds
from nexperia_tf.configs import recipes

# Half the rate, a little less towards the stem, and a longer warm-up while the head is
# still random. Batch norms learn: with their statistics fixed, a third of the rate and
# layer_decay .75 a new product was hardly learned, see benchmarks/RESULTS.md. Not
# measured with ImageNet's weights.
FINE_TUNING = types.MappingProxyType(
    {
        "learning_rate": 5e-4,
        "layer_decay": 0.9,
        "warmup_epochs": 2.0,
        "freeze_batch_norm": False,
    }
)


def applied(config):
    """The Config with what `FINE_TUNING` says for fields that nobody has chosen.

    As it is where nothing is fine-tuned: `weights` is none, or `fine_tuning` is off.

    >>> from nexperia_tf import configs
    >>> tuned = applied(configs.of(weights="imagenet", learning_rate=1e-4))
    >>> tuned.optimisation.learning_rate, tuned.optimisation.layer_decay
    (0.0001, 0.9)
    """
    network = config.network
    if network.weights == "none" or not network.fine_tuning:
        return config
    default, given = type(config)().flat(), config.flat()
    usual = recipes.VALUES.get(given["recipe"], {})
    tuned = {
        name: value
        for name, value in FINE_TUNING.items()
        if given[name] in (default[name], usual.get(name, default[name]))
    }
    return config.changed(**tuned)


def described(config) -> str:
    """The recipe's values in a Config, as flags.

    >>> from nexperia_tf import configs
    >>> described(applied(configs.of(weights="imagenet", layer_decay=0.5)))[:40]
    '--learning-rate 0.0005 --layer-decay 0.5'
    """
    values = config.flat()
    return " ".join(bounds.flag(name, values[name]) for name in FINE_TUNING)
