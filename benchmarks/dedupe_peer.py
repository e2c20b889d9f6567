"""imagededup's side of dedupe.py: PHash at its defaults, in its own interpreter.

    python benchmarks/dedupe_peer.py FOLDER ANSWER

Writes ANSWER, JSON with the seconds of each step and the pairs of names that
imagededup calls duplicates.
"""

import importlib.util
import json
import pathlib
import re
import sys
import time

import torch

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def declare_operators() -> None:
    """Names torchvision's operators where its compiled part does not.

    imagededup imports it, though hashing uses none of it; its compiled part fits one
    build of torch only.
    """
    try:
        import torchvision  # noqa: F401

        return
    except RuntimeError:  # an operator does not exist
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
    source = pathlib.Path(importlib.util.find_spec("torchvision").origin)
    text = source.with_name("_meta_registrations.py").read_text()
    for name in set(re.findall(r'(?:_meta\("|fake\("torchvision::)(\w+)"', text)):
        OPERATORS.define(f"{name}(Tensor x) -> Tensor")


def main(folder: pathlib.Path, answer: pathlib.Path) -> None:
    """Encodes and searches a folder."""
    declare_operators()
    from imagededup.methods import PHash

    start = time.perf_counter()
    hasher = PHash(verbose=False)
    encodings = hasher.encode_images(image_dir=folder, recursive=True)
    encoded = time.perf_counter()
    found = hasher.find_duplicates(encoding_map=encodings)
    seconds = {"read": encoded - start, "search": time.perf_counter() - encoded}
    pairs = {
        (min(name, other), max(name, other))
        for name, others in found.items()
        for other in others
    }
    answer.write_text(json.dumps({"seconds": seconds, "pairs": sorted(pairs)}))


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
