"""imagededup's side of dedupe.py: PHash at its defaults, in its own interpreter.

    python benchmarks/dedupe_peer.py FOLDER ANSWER

Writes ANSWER, JSON with the seconds of each step and the pairs of names that
imagededup calls duplicates. It needs imagededup with a torch and a torchvision that fit
one another: importing it imports torchvision, though hashing uses none of it.
"""

import json
import pathlib
import sys
import time

from imagededup.methods import PHash


def main(folder: pathlib.Path, answer: pathlib.Path) -> None:
    """Encodes and searches a folder."""
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
