"""The bill of materials: which packages a model was compared and published with.

CycloneDX 1.6, the form that customers' tools read, of what this Python has installed.
"""

import importlib.metadata
import platform
import re
import uuid
from collections.abc import Iterator

from nexperia_tf import version

SPEC = "1.6"
MEDIA_TYPE = "application/vnd.cyclonedx+json"
_LONGEST = 100  # characters of a licence's name; some packages give its whole text


def document(*, when: str) -> dict:
    """The bill of materials of this Python.

    Args:
        when: time of its making, ISO 8601.
    """
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": when,
            "component": {
                "type": "application",
                "bom-ref": "nexperia_tf",
                "name": "nexperia_tf",
                "version": version.__version__,
            },
        },
        "components": [
            {
                "type": "platform",
                "bom-ref": "python",
                "name": platform.python_implementation(),
                "version": platform.python_version(),
            },
            *_packages(),
        ],
    }


def _packages() -> Iterator[dict]:
    """Every installed package once, sorted by name."""
    found = {}
    for each in importlib.metadata.distributions():
        name = each.metadata["Name"]
        if name:  # one that is half removed has none
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), each)
    for name, each in sorted(found.items()):
        if name != "nexperia-tf":
            url = f"pkg:pypi/{name}@{each.version}"
            component = {"type": "library", "bom-ref": url, "name": name}
            yield component | {
                "version": each.version,
                "purl": url,
                **_licence(each.metadata),
            }


def _licence(metadata) -> dict:
    expression = metadata.get("License-Expression")
    if expression:
        return {"licenses": [{"expression": expression}]}
    named = (metadata.get("License") or "").strip()
    if not named or "\n" in named or len(named) > _LONGEST or named == "UNKNOWN":
        kinds = metadata.get_all("Classifier") or []
        kinds = [k.rpartition(" :: ")[2] for k in kinds if k.startswith("License ::")]
        named = ", ".join(kinds)
    return {"licenses": [{"license": {"name": named}}]} if named else {}
