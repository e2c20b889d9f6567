"""Good semiconductor devices told from defective ones by their photographs."""

__version__ = "0.1.0"
