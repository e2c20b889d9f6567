"""The version of the package, which names of data folders depend on, too."""

__version__ = "0.1.0"
