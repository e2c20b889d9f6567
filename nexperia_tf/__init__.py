"""Good and defective semiconductor devices, distinguished by their photographs.

>>> sorted(set(__all__) - {"__version__"})
['Config', 'evaluate', 'load', 'prepare', 'train']
"""

import importlib
import typing

from nexperia_tf.version import __version__

__all__ = ["Config", "__version__", "evaluate", "load", "prepare", "train"]

if typing.TYPE_CHECKING:
    from nexperia_tf.api import evaluate, load, prepare, train
    from nexperia_tf.configs import Config


def __getattr__(name: str):
    # Imported when first used: importing the package must cost nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "nexperia_tf.configs" if name == "Config" else "nexperia_tf.api"
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
