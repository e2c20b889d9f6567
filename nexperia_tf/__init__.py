"""Good semiconductor devices told from defective ones by their photographs."""

from nexperia_tf.version import __version__

__all__ = ["__version__"]
