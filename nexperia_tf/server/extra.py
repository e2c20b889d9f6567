"""Whether the libraries of the extra `serve` are installed."""

import importlib.util

from nexperia_tf import errors

LIBRARIES = (
    "fastapi",
    "grpc",
    "pg8000",
    "prometheus_client",
    "python_multipart",
    "sqlalchemy",
    "tensorflow_serving",
    "uvicorn",
    "watchdog",
)


def require() -> None:
    """Raises errors.BadInput where a library that serving needs is missing."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise errors.BadInput(
            f"{missing[0]}: is not installed; pip install 'nexperia_tf[serve]' brings "
            "what serving and its history need."
        )
