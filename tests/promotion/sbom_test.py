"""The bill of materials holds what CycloneDX 1.6 asks for."""

import importlib.metadata
import re

from nexperia_tf.promotion import sbom

# bom-1.6.schema.json: required of the document, of a component, and their choices.
TYPES = {
    "application",
    "framework",
    "library",
    "container",
    "platform",
    "operating-system",
    "device",
    "device-driver",
    "firmware",
    "file",
    "machine-learning-model",
    "data",
    "cryptographic-asset",
}
SERIAL = r"^urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"


def test_what_the_schema_requires_is_there():
    bill = sbom.document(when="2026-11-27T06:00:00+00:00")
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.match(SERIAL, bill["serialNumber"]) and bill["version"] == 1
    components = [bill["metadata"]["component"], *bill["components"]]
    for each in components:
        assert each["type"] in TYPES and each["name"]
        for licence in each.get("licenses", ()):
            assert [*licence] in (["expression"], ["license"])
    references = [each["bom-ref"] for each in components]
    assert len(set(references)) == len(references)


def test_every_package_that_runs_a_model_is_in_it_with_its_version():
    found = {c["name"]: c for c in sbom.document(when="")["components"]}
    for name in ("tensorflow", "keras", "numpy", "scikit-learn", "pillow"):
        assert found[name]["version"] == importlib.metadata.version(name)
        assert found[name]["purl"] == f"pkg:pypi/{name}@{found[name]['version']}"
        assert found[name]["licenses"]
